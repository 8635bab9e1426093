"""How Keras's own layers decode one step at a time: adapters that implement the cache protocol for them."""

import keras
from keras import layers, ops

from kapps._keras_compat import compute_attention, has_gate, sliding_window
from kapps.layers.recurrent_cells import state_names

POINTWISE_LAYERS = (
    layers.Activation, layers.Add, layers.Average, layers.Concatenate, layers.Dense, layers.Dropout, layers.Embedding,
    layers.Identity, layers.LayerNormalization, layers.Multiply, layers.ReLU, layers.Rescaling,
    layers.ReversibleEmbedding, layers.RMSNormalization, layers.SpatialDropout1D, layers.Subtract,
)  # fmt: skip
"""Keras's layers whose output at a step depends on this step only; those of kapps have `pointwise = True`."""
POINTWISE_OPERATIONS = (
    "Absolute", "Add", "Cast", "Cos", "Divide", "Exp", "Equal", "Gelu", "Greater", "Less", "Log", "LogicalAnd",
    "LogicalNot", "LogicalOr", "Maximum", "Minimum", "Multiply", "Negative", "NotEqual", "Power", "Relu", "Sigmoid",
    "Silu", "Sin", "Sqrt", "Square", "Subtract", "Tanh", "TrueDivide",
)  # fmt: skip
"""The pointwise operations of `keras.ops`, by class name."""


class RecurrentDecoding:
    """A `keras.layers.RNN`, whose state is that of its cell."""

    decoding_position = False

    def __init__(self, layer):
        self.layer = layer

    def check_decoding(self, **arguments):
        del arguments
        check_recurrent(self.layer)

    def state_names(self):
        """Returns the names of the states: those that the cell has for them, or letters or numbers."""
        names = getattr(getattr(self.layer, "cell", None), "state_names", None)
        return names or state_names(self.layer.state_size)

    def decoding_state(self, batch, length):
        del length
        layer = self.layer
        return {
            name: keras.KerasTensor((batch, size), layer.compute_dtype)
            for name, size in zip(self.state_names(), layer.state_size, strict=True)
        }

    def decoding_step(self, x, position, state):
        del position
        names = self.state_names()
        output, new = self.layer.cell(x[:, 0], [state[name] for name in names])
        return ops.expand_dims(output, 1), dict(zip(names, keras.tree.flatten(new), strict=True))


def check_recurrent(layer):
    """Raises ValueError if a recurrent layer does not return its outputs at each step, in the order of the steps."""
    if not layer.return_sequences or layer.go_backwards or layer.return_state:
        raise ValueError(
            f"({type(layer).__name__}) has no step: it needs return_sequences=True, go_backwards=False and "
            "return_state=False"
        )


class AttentionDecoding:
    """A `keras.layers.MultiHeadAttention`: causal self-attention with a KV cache, or cross-attention."""

    def __init__(self, layer):
        self.layer = layer

    def check_decoding(
        self, value=None, attention_mask=None, use_causal_mask=False, return_attention_scores=False, **arguments
    ):  # fmt: skip
        del arguments
        if attention_mask is not None or return_attention_scores or has_gate(self.layer):
            raise ValueError(
                "has an attention_mask, a gate or return_attention_scores=True, which a decoding step does not support"
            )
        if (value is None) != use_causal_mask:
            raise ValueError(
                f"({type(self.layer).__name__}) has no step: self-attention needs use_causal_mask=True, and attention "
                "to the encoder needs use_causal_mask=False"
            )

    def decoding_memory(self, value, key=None):
        key = value if key is None else key
        # Without their masks: Keras warns that the dense layers inside drop them.
        return {
            "keys": self.layer.key_dense(ops.copy(key)),
            "values": self.layer.value_dense(ops.copy(value)),
        }

    def decoding_state(self, batch, length, memory):
        if memory:
            return {}
        layer = self.layer
        sizes = {"keys": layer.key_dim, "values": layer.value_dim}
        return {
            name: keras.KerasTensor((batch, length, layer.num_heads, size), layer.compute_dtype)
            for name, size in sizes.items()
        }

    def decoding_step(self, x, position, state, memory):
        layer, x = self.layer, ops.copy(x)
        query = layer.query_dense(x)
        if memory:
            mask = memory.get("value_mask")
            mask = None if mask is None else ops.expand_dims(mask, 1)
            y = compute_attention(layer, query, memory["keys"], memory["values"], mask)
            return layer.output_dense(y), {}
        steps = ops.expand_dims(ops.arange(ops.shape(state["keys"])[1], dtype="int32"), 0)
        is_this_step = (steps == position)[:, :, None, None]
        keys = ops.where(is_this_step, layer.key_dense(x), state["keys"])
        values = ops.where(is_this_step, layer.value_dense(x), state["values"])
        mask = steps <= position
        if sliding_window(layer) is not None:
            mask = mask & (position - steps < sliding_window(layer))
        y = compute_attention(layer, query, keys, values, mask[:, None])
        return layer.output_dense(y), {"keys": keys, "values": values}


class ConvolutionDecoding:
    """A causal `keras.layers.Conv1D`, whose state is the window of the last inputs that its kernel reaches."""

    decoding_position = False

    def __init__(self, layer):
        self.layer = layer

    @property
    def reach(self):
        """The number of earlier inputs that an output depends on."""
        return (self.layer.kernel_size[0] - 1) * self.layer.dilation_rate[0]

    def check_decoding(self, **arguments):
        del arguments
        layer = self.layer
        if layer.strides != (1,) or (layer.padding != "causal" and layer.kernel_size != (1,)):
            raise ValueError(
                f'({type(layer).__name__}) has no step: it needs padding="causal", or a kernel of 1, and strides=1'
            )

    def decoding_state(self, batch, length):
        del length
        layer = self.layer
        channels = layer.kernel.shape[1] * layer.groups
        shape = (batch, self.reach, channels)
        return {"window": keras.KerasTensor(shape, layer.compute_dtype)} if self.reach else {}

    def decoding_step(self, x, position, state):
        del position
        layer = self.layer
        if self.reach:
            x = ops.concatenate([state["window"], x], axis=1)
        y = ops.conv(
            x, layer.kernel, padding="valid", data_format="channels_last", dilation_rate=layer.dilation_rate[0]
        )  # fmt: skip
        y = y + layer.bias if layer.use_bias else y
        y = y if layer.activation is None else layer.activation(y)
        return y, {"window": x[:, 1:]} if self.reach else {}


ADAPTERS = {
    layers.RNN: RecurrentDecoding,
    layers.MultiHeadAttention: AttentionDecoding,
    layers.Conv1D: ConvolutionDecoding,
}
"""The adapters by the class of the layer, subclasses included."""


def find_decoding(layer):
    """Returns the object that implements the cache protocol for a layer: the layer, its adapter, or None."""
    if hasattr(layer, "decoding_step"):
        return layer
    kind = next((kind for kind in ADAPTERS if isinstance(layer, kind)), None)
    return None if kind is None else ADAPTERS[kind](layer)


def is_pointwise(layer):
    """Whether the output of a layer or operation at a step depends on this step only."""
    if isinstance(layer, POINTWISE_LAYERS) or getattr(layer, "pointwise", False):
        return True
    return type(layer).__name__ in POINTWISE_OPERATIONS
