"""The private attributes of Keras that kapps uses, one function each.

A Keras release that changes one of them breaks this file only; `tests/test_keras_compat.py` has a test of each.
"""

import contextlib
from collections.abc import Iterator

import keras
from keras import ops
from keras.src.backend.common import global_state
from keras.src.backend.common.variables import AutocastScope

# Functional models and their tensors


def all_layers(model, include_self=True):
    """Returns a model's layers, and the layers inside them, as a list."""
    return list(model._flatten_layers(include_self=include_self))


def delete_traced_functions(model):
    """Deletes the functions that `fit`, `evaluate` and `predict` traced, after a change of a layer's call."""
    model.train_function = model.test_function = model.predict_function = None


def inner_layers(layer):
    """Returns the layers inside a layer without others inside them, in their order; the layer itself if it has none."""
    parts = list(layer._layers)
    return [x for part in parts for x in inner_layers(part)] if parts else [layer]


def producer(tensor):
    """Returns the layer or operation whose output a Keras tensor is."""
    return tensor._keras_history.operation


def call_nodes(operation):
    """Returns the calls of a layer or operation in all models: nodes with `input_tensors` and `output_tensors`."""
    return operation._inbound_nodes


def has_node(model, node):
    """Whether a call of a layer, one of `call_nodes`, belongs to this functional model."""
    return any(node in nodes for nodes in model._nodes_by_depth.values())


def output_in(model, layer):
    """Returns the output of a layer's first call in a functional model; the layer may also have calls in others."""
    return next(node for node in call_nodes(layer) if has_node(model, node)).output_tensors[0]


def run_through_graph(model, inputs, call):
    """Calls every layer of a functional model in the order of its graph.

    Args:
        model: a functional `keras.Model`.
        inputs: a list of tensors, one for each input of the model.
        call: `call(layer, *args, **kwargs)`, called in place of each layer; returns the layer's outputs.

    Returns:
        The model's outputs, as a list.
    """
    return keras.tree.flatten(model._run_through_graph(inputs, call_fn=call))


def get_mask(tensor):
    """Returns the Keras mask of a tensor, or None."""
    return getattr(tensor, "_keras_mask", None)


def first_mask(masks):
    """Returns the first mask of a structure of masks, such as those of a list of tensors, or None."""
    return next((mask for mask in keras.tree.flatten(masks) if mask is not None), None)


def set_mask(tensor, mask):
    """Sets the Keras mask of a tensor."""
    tensor._keras_mask = mask


# Attention layers


class MultiHeadAttention(keras.layers.MultiHeadAttention):
    """`keras.layers.MultiHeadAttention` with public names for the methods that a subclass replaces."""

    def compute_attention_mask(self, *args, **kwargs):
        """Returns the mask that `compute_attention` gets."""
        return super()._compute_attention_mask(*args, **kwargs)

    def compute_attention(self, *args, **kwargs):
        """Returns (output, scores) of projected queries, keys and values."""
        return super()._compute_attention(*args, **kwargs)

    def _compute_attention_mask(self, *args, **kwargs):
        return self.compute_attention_mask(*args, **kwargs)

    def _compute_attention(self, *args, **kwargs):
        return self.compute_attention(*args, **kwargs)

    @property
    def has_flash_attention(self):
        """Whether the layer uses the backend's flash attention."""
        return bool(self._flash_attention)

    def scale_query(self, query):
        """Returns the query divided by the square root of its width."""
        return query * self._inverse_sqrt_key_dim

    def dot_product(self, query, key):
        """Returns scores (batch, heads, queries, keys) of (batch, steps, heads, dim) each."""
        return ops.einsum(self._dot_product_equation, key, query)

    def combine(self, weights, value):
        """Returns the weighted values, (batch, queries, heads, dim)."""
        return ops.einsum(self._combine_equation, weights, value)

    def drop_weights(self, weights, training=None):
        """Returns the attention weights after the layer's dropout."""
        return self._dropout_layer(weights, training=training) if self._dropout else weights


def compute_attention(layer, query, key, value, mask=None):
    """Returns the output of a Keras attention layer for projected tensors, without dropout.

    Args:
        layer: a built `keras.layers.MultiHeadAttention`.
        query, key, value: (batch, steps, heads, dim).
        mask: bool (batch, queries, keys), or None.

    Returns:
        (batch, queries, heads, dim).
    """
    output, _ = layer._compute_attention(query, key, value, attention_mask=mask, training=False)
    return output


def sliding_window(layer):
    """Returns how many steps back a `keras.layers.MultiHeadAttention` attends, or None for all."""
    return layer._sliding_window


@contextlib.contextmanager
def without_flash_attention(layer):
    """In this context an attention layer of Keras does not use flash attention, which returns no weights."""
    flash = getattr(layer, "_flash_attention", None)
    if flash:
        layer._flash_attention = False
    try:
        yield
    finally:
        if flash:
            layer._flash_attention = flash


def has_gate(layer):
    """Whether a `keras.layers.MultiHeadAttention` multiplies its output by a learned gate."""
    return getattr(layer, "_gate_dense", None) is not None


# Training


def symbolic_build(model, batch):
    """Builds a compiled model's metrics and optimizer from one batch (x, y) or (x, y, sample_weight)."""
    model._symbolic_build(data_batch=batch)


def replace_symbolic_build(model, build):
    """Makes `fit` and `evaluate` call `build(iterator=None, data_batch=None)` where they build a model from data."""
    model._maybe_symbolic_build = build


def restore_symbolic_build(model):
    """Takes `replace_symbolic_build` back."""
    del model._maybe_symbolic_build


class DecayInsideStep:
    """Mixin of an optimizer whose `update_step` applies the weight decay itself."""

    def _apply_weight_decay(self, variables):
        """Does nothing, in place of the decay that Keras applies before the step."""


def uses_weight_decay(optimizer, variable):
    """Whether an optimizer applies its weight decay to a variable."""
    return optimizer._use_weight_decay(variable)


def moments(optimizer, variable):
    """Returns the variables of `keras.optimizers.Lamb` that hold the means of the gradient and of its square."""
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index], optimizer._velocities[index]


# Classes


def is_keras_operation(kind):
    """Whether a class is one of the operations behind `keras.ops`."""
    return kind.__module__.startswith("keras.src.ops.")


# KerasCV


def set_random_generator(layer, generator):
    """Sets the random generator of a KerasCV augmentation layer."""
    layer._random_generator = generator


def random_choice(layer):
    """Returns the layer with which KerasCV's RandAugment chooses its augmentations."""
    return layer._random_choice


# Variables without values, and in their own dtype


def without_autocast():
    """Returns a context in which variables have their own dtype, also inside a layer of mixed precision."""
    return AutocastScope(None)


@contextlib.contextmanager
def without_values() -> Iterator[list[keras.Variable]]:
    """In this context new variables have a shape and no values.

    The list that it yields holds them after the context: `give_values` and `set_value` give them values.
    """
    waiting = global_state.get_global_attribute("uninitialized_variables") or []
    global_state.set_global_attribute("uninitialized_variables", [])
    variables = []
    try:
        with keras.StatelessScope(initialize_variables=False) as scope:
            yield variables
        variables += global_state.get_global_attribute("uninitialized_variables")
        for variable in variables:
            value = scope.get_current_value(variable)
            if value is not None:  # that `build` assigned
                variable._initializer = _Constant(value)
    finally:
        global_state.set_global_attribute("uninitialized_variables", waiting)


def give_values(variables: list[keras.Variable]) -> None:
    """Gives variables without values those of their initializers."""
    for variable in variables:
        if variable._value is None:
            variable._deferred_initialize()


def set_value(variable: keras.Variable, value) -> None:
    """Assigns a value to a variable, which may have none yet."""
    if variable._value is None:
        variable._initializer = _Constant(value)
        variable._deferred_initialize()
    else:
        variable.assign(value)


class _Constant:
    """An initializer with one value."""

    def __init__(self, value):
        self.value = value

    def __call__(self, shape, dtype=None):
        del shape
        return keras.ops.convert_to_tensor(self.value, dtype)
