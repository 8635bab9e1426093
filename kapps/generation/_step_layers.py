"""What of recurrent and attention layers is left of one step: they hold the layer itself, and so share its weights."""

import keras
from keras import layers, ops

from kapps._keras_compat import compute_attention, sliding_window


class Holder(layers.Layer):
    """A layer around another one, `held`, whose weights it has."""

    def __init__(self, held, **kwargs):
        super().__init__(**kwargs)
        self.held = held
        self.supports_masking = True

    def build(self, input_shape):
        # What is held comes built, from the model or from its own configuration.
        del input_shape
        self.built = True

    def get_config(self):
        return {**super().get_config(), "held": keras.saving.serialize_keras_object(self.held)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("held")), **config)


@keras.saving.register_keras_serializable("kapps")
class Step(Holder):
    """One step of a cell, without a loop.

    Input: a list: x (batch, 1, features), and the states (batch, units). Output: the same of outputs and new states.
    Where the mask (batch, 1) hides the step, the states stay what they were.

    Args:
        held: a cell of `keras.layers.RNN`.
    """

    def build(self, input_shape):
        if not self.held.built:
            self.held.build((input_shape[0][0], input_shape[0][-1]))
        self.built = True

    def call(self, inputs, mask=None):
        x, *states = inputs
        output, new = self.held(x[:, 0], states)
        return self.kept(output, new, states, mask)

    def kept(self, output, new, states, mask):
        """Returns the layer's output: where the mask hides the step, the states are the old ones."""
        if mask is not None and mask[0] is not None:
            new = [ops.where(mask[0], one, old) for one, old in zip(new, states, strict=True)]
        return [ops.expand_dims(output, 1), *new]

    def compute_mask(self, inputs, mask=None):
        return [None if mask is None else mask[0], *[None] * (len(inputs) - 1)]

    def compute_output_shape(self, input_shape):
        x, *states = input_shape
        return [(x[0], 1, states[0][-1]), *states]


@keras.saving.register_keras_serializable("kapps")
class MemoryStep(Step):
    """One step of a cell that attends to a memory, such as `kapps.layers.attention_cells` has.

    Input: a list: x (batch, 1, features), the memory (batch, M, K), its keys, where some of it is padding int32 (batch,
    M), 0 there, and the states. Output: the same of outputs and new states.

    Args:
        held: called as `cell(x, states, memory=..., keys=..., memory_mask=...)`.
    """

    def build(self, input_shape):
        if not self.held.built:
            self.held.build((input_shape[0][0], input_shape[0][-1]), input_shape[1])
        self.built = True

    def call(self, inputs, mask=None):
        x, memory, keys, *seen = inputs[: -len(self.held.state_size)]
        states = inputs[-len(self.held.state_size) :]
        output, new = self.held(
            x[:, 0], states, memory=memory, keys=keys, memory_mask=seen[0] > 0 if seen else None
        )
        return self.kept(output, new, states, mask)

    def compute_mask(self, inputs, mask=None):
        del inputs
        return [None if mask is None else mask[0], *[None] * len(self.held.state_size)]

    def compute_output_shape(self, input_shape):
        x = input_shape[0]
        return [(x[0], 1, self.held.output_size), *input_shape[-len(self.held.state_size) :]]


@keras.saving.register_keras_serializable("kapps")
class AlignmentKeys(Holder):
    """What an alignment's scores need of a memory, (batch, M, K) to (batch, M, any), once for all queries.

    Args:
        held: a `kapps.layers.Alignment`.
    """

    def call(self, inputs):
        return self.held.keys(inputs)

    def compute_mask(self, inputs, mask=None):
        del inputs, mask


@keras.saving.register_keras_serializable("kapps")
class AlignmentQuery(Holder):
    """One query of an alignment to a memory whose keys are known.

    Input: [x (batch, 1, P), which query it is, int32 (batch, 1), the memory (batch, M, K), its keys], and int32 (batch,
    M), 0 where the memory is padding, where some of it is. Output: (batch, 1, K).

    Args:
        held: a `kapps.layers.Alignment`.
    """

    def call(self, inputs):
        x, i, memory, keys, *seen = inputs
        mask = seen[0] > 0 if seen else None
        return self.held.attend(x, keys, memory, mask, i if self.held.positioned else None)[0]

    def compute_mask(self, inputs, mask=None):
        del inputs
        return None if mask is None else mask[0]


@keras.saving.register_keras_serializable("kapps")
class Counted(layers.Layer):
    """How many steps there were, one more of it.

    Input: [how many, int32 (batch, 1); any x (batch, 1, features)]. Output: int32 (batch, 1); what the mask of x hides
    is no step.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        count, _ = inputs
        real = None if mask is None else mask[1]
        return count + (1 if real is None else ops.cast(real, "int32"))

    def compute_mask(self, inputs, mask=None):
        del inputs, mask

    def compute_output_spec(self, inputs, mask=None):
        del mask
        return keras.KerasTensor(inputs[0].shape, "int32")


@keras.saving.register_keras_serializable("kapps")
class Numbers(layers.Layer):
    """A mask as numbers, which every file format has: bool (batch, time) to int32, 1 where it is True."""

    def call(self, inputs):
        return ops.cast(inputs, "int32")

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, "int32")


def bare(x):
    """Returns a tensor without its mask, of which Keras warns that the layers in an attention layer drop it."""
    return ops.copy(x)


class Attending(Holder):
    """A `keras.layers.MultiHeadAttention`, or one of its children, in parts."""

    def attended(self, x, keys, values, mask):
        """Returns the layer's output for one query, (batch, 1, width).

        Args:
            x: the query (batch, 1, features).
            keys, values: projected, (batch, time, heads, dim).
            mask: bool (batch, 1, time), or None.
        """
        query = self.held.query_dense(bare(x))
        found = compute_attention(self.held, query, keys, values, mask)
        return self.held.output_dense(found)


@keras.saving.register_keras_serializable("kapps")
class Projected(Attending):
    """Keys and values of a sequence that is known whole, once for all the queries there will be.

    Input: a list of the value, and of the key where it is another, (batch, time, features). Output: [keys, values],
    (batch, time, heads, dim).
    """

    def call(self, inputs):
        return [self.held.key_dense(bare(inputs[-1])), self.held.value_dense(bare(inputs[0]))]

    def compute_mask(self, inputs, mask=None):
        del inputs, mask
        return [None, None]


@keras.saving.register_keras_serializable("kapps")
class Query(Attending):
    """One query to keys and values that are known.

    Input: [x (batch, 1, features), keys and values (batch, time, heads, dim)], and where some of these are padding
    int32 (batch, time), 0 there. Output: (batch, 1, width).
    """

    def call(self, inputs):
        x, keys, values, *seen = inputs
        return self.attended(x, keys, values, ops.expand_dims(seen[0] > 0, 1) if seen else None)

    def compute_mask(self, inputs, mask=None):
        del inputs
        return None if mask is None else mask[0]


@keras.saving.register_keras_serializable("kapps")
class CausalQuery(Attending):
    """One step of causal attention: its key and value go where those of the step before end; it sees up to itself.

    Input: [x (batch, 1, features), i int32 (batch, 1), keys and values (batch, length, heads, dim)]. Output: [(batch,
    1, width), keys and values with place i filled]; what the mask of x hides fills none. From i = length on nothing is
    written, and nothing says so: who calls counts.
    """

    def call(self, inputs, mask=None):
        x, i, keys, values = inputs
        places = ops.expand_dims(ops.arange(ops.shape(keys)[1], dtype="int32"), 0)
        here = places == i
        if mask is not None and mask[0] is not None:
            here = here & mask[0]
        here = here[:, :, None, None]
        keys = ops.where(here, self.held.key_dense(bare(x)), keys)
        values = ops.where(here, self.held.value_dense(bare(x)), values)
        seen = places <= i
        window = sliding_window(self.held)
        if window is not None:
            seen = seen & (i - places < window)
        return [self.attended(x, keys, values, seen[:, None]), keys, values]

    def compute_mask(self, inputs, mask=None):
        del inputs
        return [None if mask is None else mask[0], None, None]
