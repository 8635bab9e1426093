"""Writes a network's signatures as a SavedModel, with the weights as constants of the graph."""

import functools
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from kapps.export._inputs import model_input
from kapps.export._quiet import quiet

LARGEST = 1_900_000_000
"""Bytes of weights that fit into a graph, which is one protocol buffer of at most two gigabytes."""


class Signature(NamedTuple):
    """A signature of a SavedModel.

    Args:
        function: from tensors to a dictionary of tensors.
        inputs: a `tf.TensorSpec`, or a dictionary of them, that the function is traced with.
    """

    function: Callable
    inputs: tf.TensorSpec | dict[str, tf.TensorSpec]


def with_constant_weights(network: keras.Model) -> Callable:
    """Returns a function from the network's inputs to its outputs by name, with the weights as constants.

    TensorFlow arranges constant weights once for its fastest kernels, and variables at every call or not at
    all: MobileNet V2 takes 3.3 times as long with variables under oneDNN, and 1.3 times without it. A network
    with more than `LARGEST` bytes of weights keeps its variables.

    Args:
        network: from `inference_model`.
    """
    call = functools.partial(network, training=False)
    if 4 * network.count_params() > LARGEST:
        return call
    with keras.device("cpu:0"), quiet():
        traced = tf.function(call, autograph=False).get_concrete_function(
            model_input(network).spec(None)
        )
        frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    names = sorted(network.output)  # TensorFlow flattens a dictionary in the order of its keys

    def call_frozen(inputs):
        return dict(zip(names, tf.nest.flatten(frozen(*tf.nest.flatten(inputs))), strict=True))

    return call_frozen


def write_saved_model(
    path: str | os.PathLike, signatures: dict[str, Signature], resources: Sequence = ()
) -> None:
    """Writes a SavedModel.

    Args:
        path: of a directory that does not exist yet.
        signatures: by name.
        resources: lookup tables and layers that the signatures use.
    """
    with keras.device("cpu:0"), quiet():
        # The network is not tracked: TensorFlow finds the variables that signatures use, and would write them twice.
        archive = keras.export.ExportArchive()
        for resource in resources:
            archive.track(resource)
        for name, signature in signatures.items():
            archive.add_endpoint(name, signature.function, input_signature=[signature.inputs])
        # A served model needs no gradients, and gradients of constant weights cannot be written.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        archive.write_out(os.fspath(path), options=options, verbose=False)
