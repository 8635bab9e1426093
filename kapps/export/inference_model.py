"""What is exported: the model in float32, training off, with names that stay the same; and how it is written."""

import functools
import os
import re
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from kapps.cards import Preprocessing
from kapps.export import _inputs as inputs
from kapps.export._float32 import every_layer, in_float32, not_rebuilt
from kapps.export._quantization_ranges import apart
from kapps.export._quiet import quiet
from kapps.export.fold import fold

LARGEST = 1_900_000_000
"""Bytes of weights that fit into a graph, which is one protocol buffer, beside the rest of it."""

# "Stateless..." alone would not do: StatelessIf and StatelessWhile are plain control flow.
_RANDOM = re.compile(
    "Random|Multinomial|TruncatedNormal|StandardNormal|StatefulUniform|^Rng"
    "|StatelessShuffle|DistortedBoundingBox|CandidateSampler"
)


def serving(
    model: keras.Model,
    preprocessing: Preprocessing | None,
    *,
    folded: bool = True,
    whole: bool = False,
) -> keras.Model:
    """Returns the model in float32 as it is exported: named inputs (`inputs.taken`), a dictionary of named outputs.

    Args:
        model: as for `in_float32`.
        preprocessing: of images alone; where given, `image` is raw pixels in [0, 255] and its arithmetic part is
            the first layer.
        folded: whether batch norms go into the layers before them.
        whole: whether it is for whole numbers (`ranges.apart`).

    Raises:
        ValueError: as `in_float32` does.
    """
    rebuilt = in_float32(model)
    with keras.device("cpu:0"):
        if folded:
            try:
                rebuilt, _ = fold(rebuilt)
            except Exception as error:
                raise ValueError(not_rebuilt(model, error)) from error
        if whole:
            rebuilt = apart(rebuilt)
        what = inputs.taken(model)
        x = given = what.input()
        if preprocessing is not None:
            if what.name != inputs.IMAGE:
                raise ValueError(f"{model.name} takes {what.name}, and preprocessing is of images")
            mean, std = preprocessing.channels(model.input_shape[-1])
            scale = [preprocessing.scale / s for s in std]
            offset = [-m / s for m, s in zip(mean, std, strict=True)]
            x = keras.layers.Rescaling(scale, offset, dtype="float32", name="preprocessing")(x)
        # Said here: `model.export` calls with the default, and that leaves augmentation layers on.
        # Flat dictionaries are sorted; a model's own structure need not be a dictionary.
        flat = [x[name] for name in _names(rebuilt)] if isinstance(x, dict) else [x]
        outputs = rebuilt(keras.tree.pack_sequence_as(rebuilt.input, flat), training=False)
        return keras.Model(given, _named(rebuilt, outputs), name=model.name)


def _names(model) -> list[str]:
    """Returns the names of a model's inputs, in the order in which Keras flattens them."""
    given = model.input
    return sorted(given) if isinstance(given, dict) else [x.name for x in keras.tree.flatten(given)]


def class_names(network: keras.Model, names: Sequence[str] | None) -> list[str] | None:
    """Returns the names of the classes as strings; ValueError where they are not one for each score."""
    if names is None:
        return None
    names = [str(name) for name in names]
    outputs = list(network.output.values())
    width = outputs[0].shape[-1]
    if len(outputs) > 1 or len(names) != width:
        raise ValueError(
            f"{len(names)} class names, and {network.name} gives {width} scores an image"
            + (f" in each of {len(outputs)} outputs" if len(outputs) > 1 else "")
        )
    broken = [name for name in names if "\n" in name or "\r" in name]
    if broken:
        raise ValueError(f"the class name {broken[0]!r} has a line end")
    return names


def frozen(network: keras.Model):
    """Returns a function from the input to the outputs by name that holds the weights as constants.

    TensorFlow lays out constant weights once, for its fastest kernels, and variables at every call or not at
    all: MobileNet V2 takes 3.3 times as long from variables with oneDNN, 1.3 times without. A network
    beyond a protocol buffer's two gigabytes keeps its variables.

    Args:
        network: from `serving`.
    """
    plain = functools.partial(network, training=False)
    if 4 * network.count_params() > LARGEST:
        return plain
    traced = tf.function(plain, autograph=False).get_concrete_function(
        inputs.taken(network).spec(None)
    )
    constant = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    names = sorted(network.output)  # the order in which TensorFlow flattens a dictionary

    def call(x):
        return dict(zip(names, tf.nest.flatten(constant(*tf.nest.flatten(x))), strict=True))

    return call


def write(endpoints: dict, path: os.PathLike, *resources) -> None:
    """Writes a SavedModel of signatures, {name: (function, what it is traced with)}.

    Args:
        endpoints: the functions take and give tensors.
        path: of a directory that is not there yet.
        *resources: tables and the like that the functions use.
    """
    with keras.device("cpu:0"), quiet():
        # The weights that functions use are found by themselves; tracked too, each is written twice.
        archive = keras.export.ExportArchive()
        for resource in resources:
            archive.track(resource)
        for name, (function, spec) in endpoints.items():
            archive.add_endpoint(name, function, input_signature=[spec])
        # Nobody differentiates a served model, and gradients of constant weights could not be written.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        archive.write_out(os.fspath(path), options=options, verbose=False)


def refuse_random(network: keras.Model, batch: int | None = None) -> None:
    """Traces as `model.export` does, and refuses what gives no one answer.

    Args:
        network: what `serving` returned.
        batch: how many go into it at once, None for any number.

    Raises:
        ValueError: where the graph holds a random operation, or answers differently a second time.
    """
    what = inputs.taken(network)
    with keras.device("cpu:0"), quiet():
        function = tf.function(
            network.__call__, input_signature=[what.spec(batch)], autograph=False
        )
        function = function.get_concrete_function()
        definition = function.graph.as_graph_def()
        nodes = list(definition.node)
        nodes += [node for inner in definition.library.function for node in inner.node_def]
        kinds = {layer.name: type(layer).__name__ for layer in every_layer(network)}
        for node in nodes:
            if _RANDOM.search(node.op) and not node.op.startswith("__"):
                raise ValueError(
                    f"{network.name} is random outside training too: {_kind(node.name, kinds)} "
                    f"holds {node.op}; a file gives one answer, so let the data pipeline do this"
                )
        noise = keras.tree.map_structure(
            lambda array: tf.constant(array.repeat(batch or 1, axis=0)), what.example()
        )
        try:
            first, second = (keras.tree.flatten(function(noise)) for _ in range(2))
        except tf.errors.OpError as error:
            # The innermost cause stands last, before the name of its node.
            lines = [line for line in error.message.splitlines() if line.strip()]
            cause = [line for line in lines if "[[{{" not in line][-1].strip()
            raise ValueError(f"{network.name} does not run on this CPU: {cause}") from error
    for one, other in zip(first, second, strict=True):
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        # Sums that threads add up in another order may differ in the last bits.
        if not np.allclose(one, other, rtol=1e-5, atol=1e-6, equal_nan=True):
            raise ValueError(
                f"{network.name} answers the same input differently a second time (by up to "
                f"{np.abs(one - other).max():.1e}); a layer keeps state, which no exported file can"
            )


def _named(model, outputs) -> dict:
    """Names outputs by the dictionary they come in, else by activation, else by their layers."""
    if isinstance(outputs, dict):
        return outputs
    outputs = keras.tree.flatten(outputs)
    if len(outputs) == 1:
        return {"probabilities" if _ends_in_probabilities(model) else "logits": outputs[0]}
    names = model.output_names
    numbered = [f"{name}_{names[:at].count(name)}" for at, name in enumerate(names)]
    names = [n if names.count(n) == 1 else other for n, other in zip(names, numbered, strict=True)]
    return dict(zip(names, outputs, strict=True))


def _ends_in_probabilities(model) -> bool:
    last = {operation.name: operation for operation in model.operations}[model.output_names[0]]
    if hasattr(last, "operations"):
        return _ends_in_probabilities(last)
    if isinstance(last, keras.Sequential):
        last = last.layers[-1]
    activation = getattr(getattr(last, "activation", None), "__name__", type(last).__name__)
    return activation.lower() in ("softmax", "sigmoid")


def _kind(scope: str, kinds: dict[str, str]) -> str:
    """Returns the innermost layer that a node's scope such as "net_1/flip_1/uniform" speaks of."""
    for part in reversed(scope.split("/")):
        for name in (part, re.sub(r"_\d+$", "", part)):
            if name in kinds:
                return f"the layer {name!r} ({kinds[name]})"
    return "its graph"
