"""Graphs without values: a builder's layers, shapes and names, in under a second and with no memory for weights."""

import contextlib
import dataclasses
import functools
import importlib
from unittest import mock

import keras
import models

import kapps
from kapps import cards
from kapps.model_record import main_output

DEEP_LAYERS = 100
DEEP = set((models.REFERENCE / "deep_graphs.txt").read_text(encoding="utf-8").split())
"""Builders of more than `DEEP_LAYERS` layers, each with a smaller one in its family. They are tested if it changed."""


@dataclasses.dataclass(frozen=True)
class Graph:
    """A model whose weights have shapes and no values.

    Args:
        card: the builder's card.
        builder: the builder.
        model: the model that the builder makes by default.
    """

    card: cards.Card
    builder: object
    model: keras.Model

    @property
    def predictions(self):
        """The tensor of the model's predictions; of a network with several exits that of the last."""
        return self.model.outputs[main_output(self.model.output_names)]

    @functools.cached_property
    def profile(self):
        """The model's profile; of a sequence of any length, over 8 steps."""
        shapes = [tuple(x.shape[1:]) for x in self.model.inputs]
        shapes = [tuple(8 if length is None else length for length in shape) for shape in shapes]
        return kapps.profile(self.model, shapes if len(shapes) > 1 else shapes[0])


def builder(name):
    """Returns the builder of a name of `kapps.list_models()`."""
    return getattr(importlib.import_module(cards.card(name).module), name)


@contextlib.contextmanager
def without_random_values():
    """In this context the initialisers of convolutions, dense layers and embeddings return zeros."""
    kinds = keras.initializers.VarianceScaling, keras.initializers.RandomNormal
    with contextlib.ExitStack() as stack:
        for kind in kinds:  # layers with normalised weights compute lengths of the initial ones
            stack.enter_context(mock.patch.object(kind, "__call__", _zeros))
        yield


def _zeros(initializer, shape, dtype=None, **_):
    return keras.ops.zeros(shape, dtype)


def build(function, **options):
    """Returns the model that a function builds; no initialiser runs, and the variables have shapes and no values."""
    with keras.StatelessScope(initialize_variables=False), without_random_values():
        model = function(**options)
    # Keras lists the variables to give them values later, which would hold the memory of every model in a session.
    keras.utils.clear_session(free_memory=False)
    # A profile reads the values of some weights; zeros take no time, orthogonal matrices of a large layer minutes.
    for variable in model.variables:
        variable._initializer = keras.initializers.Zeros()
    return model


def graph(name, **options):
    """Returns the graph of a builder, by its name."""
    function = builder(name)
    return Graph(cards.card(name), function, build(function, **options))


def layer_of(tensor):
    """Returns the layer whose output is a Keras tensor."""
    return tensor._keras_history.operation
