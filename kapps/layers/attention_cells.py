"""Recurrent cells that attend to a memory at each step, and the layer that runs them.

[1] Bahdanau 2015, arXiv:1409.0473
[2] Luong 2015, arXiv:1508.04025
"""

import math

import keras
from keras import ops

DIGIT = 256
"""A step's number is a state, in two digits: half precision knows all whole numbers up to this one."""


class Attending(keras.layers.Layer):
    """What the cells share: other cells upon each other, an `Alignment`, and their states side by side.

    `cell(x, states, memory=memory)` is one step: x (batch, features), memory (batch, M, K), its mask `memory_mask`
    (batch, M), and `keys=cell.attention.keys(memory)` where the step is one of many. It returns the output, the new
    states, and with return_attention_scores=True the weights, float32 (batch, M). `AttentionRNN` does all steps.

    Args:
        cells: of `keras.layers.RNN`, the lowest first.
        attention: a `kapps.layers.Alignment`.
    """

    def __init__(self, cells, attention, **kwargs):
        super().__init__(**kwargs)
        self.cells, self.attention = list(cells), attention
        self.bound, self.beside = None, False

    @property
    def own(self):
        """The sizes of the states that the cells have, in their order."""
        return [size for cell in self.cells for size in keras.tree.flatten(cell.state_size)]

    @property
    def top(self):
        """Width of the last cell's output."""
        return keras.tree.flatten(self.cells[-1].state_size)[0]

    @property
    def state_size(self):
        return [*self.own, *self.more, *([2] if self.attention.positioned else [])]

    def build_parts(self, width, memory_shape):
        """Builds the cells, the first of which reads `width` values, and the attention."""
        self.widths = []
        for cell in self.cells:
            self.widths.append(width)
            if not cell.built:
                cell.build((None, width))
            width = keras.tree.flatten(cell.state_size)[0]
        if not self.attention.built:  # a cell of a file has built parts
            self.attention.build((None, None, width), memory_shape)

    def step_cells(self, x, states, training):
        """Returns the output of the last cell, and all cells' new states."""
        new, states = [], list(states)
        for cell in self.cells:
            its = [states.pop(0) for _ in keras.tree.flatten(cell.state_size)]
            x, found = cell(x, its, training=training)
            new += keras.tree.flatten(found)
        return x, new

    def attend(self, query, states, seen):
        """Returns the context (batch, K), the weights (batch, M), and the number of the next step as states."""
        memory, keys, mask, noise = seen
        positions, after = None, []
        if self.attention.positioned:
            high, low = ops.split(ops.cast(states[-1], "int32"), 2, axis=-1)
            positions = DIGIT * high + low
            carry = ops.cast(low + 1 >= DIGIT, "int32")
            after = ops.concatenate([high + carry, (low + 1) * (1 - carry)], axis=-1)
            after = [ops.cast(after, states[-1].dtype)]
            if noise is not None:
                noise = ops.take_along_axis(noise, ops.expand_dims(positions, -1), axis=1)
        query = ops.expand_dims(query, 1)
        c, a = self.attention.attend(query, keys, memory, mask, positions, noise)
        return ops.squeeze(c, 1), ops.squeeze(a, 1), after

    def call(
        self, inputs, states, memory=None, keys=None, memory_mask=None, return_attention_scores=False, training=False
    ):  # fmt: skip
        if memory is None:  # in the loop of `AttentionRNN`
            real = inputs[..., -1:] > 0
            output, new, a = self.step(inputs[..., :-1], list(states), self.bound, training)
            new = [ops.where(real, one, old) for one, old in zip(new, states, strict=True)]
            if self.beside:
                output = ops.concatenate([output, ops.cast(a, output.dtype)], axis=-1)
            return output, new
        keys = self.attention.keys(memory) if keys is None else keys
        seen = (memory, keys, memory_mask, None)
        output, new, a = self.step(inputs, list(states), seen, training)
        return (output, new, a) if return_attention_scores else (output, new)

    def get_config(self):
        inner = {
            "cells": [keras.saving.serialize_keras_object(cell) for cell in self.cells],
            "attention": keras.saving.serialize_keras_object(self.attention),
        }
        return {**super().get_config(), **inner}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        cells = [keras.saving.deserialize_keras_object(cell) for cell in config.pop("cells")]
        attention = keras.saving.deserialize_keras_object(config.pop("attention"))
        return cls(cells, attention, **config)


@keras.saving.register_keras_serializable("kapps")
class SearchCell(Attending):
    """Attention with the state before the step, whose context the step reads [1, 3.1 and A.2].

    e_ij = score(s_{i-1}, h_j),  alpha_i = softmax(e_i),  c_i = sum_j alpha_ij h_j
    s_i = f(s_{i-1}, [y_{i-1}; c_i])

    Output: [s_{i-1}; c_i], (batch, units + K), of which [1] makes the next word's scores.
    """

    more = ()

    def build(self, input_shape, memory_shape):
        self.output_size = self.top + memory_shape[-1]
        self.build_parts(input_shape[-1] + memory_shape[-1], memory_shape)
        self.built = True

    def step(self, y, states, seen, training):
        """Returns the output, the new states and the weights."""
        before = states[len(self.own) - len(keras.tree.flatten(self.cells[-1].state_size))]
        c, a, after = self.attend(before, states, seen)
        _, new = self.step_cells(
            ops.concatenate([y, c], axis=-1), states[: len(self.own)], training
        )
        return ops.concatenate([before, c], axis=-1), new + after, a


@keras.saving.register_keras_serializable("kapps")
class AttentionalCell(Attending):
    """Attention with the state after the step; the attentional state goes into the next step too [2, 3.1 and 3.3].

    h_t = f(h_{t-1}, [x_t; h~_{t-1}])
    c_t = sum_s a_t(s) hbar_s,  a_t = softmax(score(h_t, hbar))
    h~_t = tanh(W_c [c_t; h_t])

    Output: h~_t, (batch, units).
    """

    @property
    def more(self):
        """The size of the state h~."""
        return (self.top,)

    def build(self, input_shape, memory_shape):
        self.output_size = self.top
        self.build_parts(input_shape[-1] + self.top, memory_shape)
        shape = (memory_shape[-1] + self.top, self.top)
        self.attentional_kernel = self.add_weight(shape=shape, name="attentional_kernel")
        self.built = True

    def step(self, x, states, seen, training):
        """Returns the output, the new states and the weights."""
        own = len(self.own)
        x = ops.concatenate([x, states[own]], axis=-1)
        h, new = self.step_cells(x, states[:own], training)
        c, a, after = self.attend(h, states, seen)
        h = ops.tanh(ops.matmul(ops.concatenate([c, h], axis=-1), self.attentional_kernel))
        return h, [*new, h, *after], a


@keras.saving.register_keras_serializable("kapps")
class AttentionRNN(keras.layers.RNN):
    """`keras.layers.RNN` of a cell that attends to a memory: `layer(sequences, memory, initial_state=[...])`.

    Inputs: sequences (batch, time, features); memory (batch, M, K), each with its mask; and, if not zeros, the first
    states of the cells, in their order (what the cell has beyond them starts from zeros). Output: as of
    `keras.layers.RNN`; with return_attention_scores=True, (output, weights), which are float32 (batch, time, M).

    Args:
        cell: a `SearchCell` or an `AttentionalCell`.
        **kwargs: as for `keras.layers.RNN`.
    """

    def build(self, sequences_shape, memory_shape, initial_state_shape=None):
        del initial_state_shape
        if not self.cell.built:
            self.cell.build((sequences_shape[0], sequences_shape[-1]), memory_shape)
        self.built = True

    def call(
        self, sequences, memory, initial_state=None, mask=None, sequences_mask=None, memory_mask=None,
        return_attention_scores=False, training=False,
    ):  # fmt: skip
        cell, batch, steps = self.cell, ops.shape(sequences)[0], ops.shape(sequences)[1]
        noise = None
        if cell.attention.window == "hard" and training:
            noise = cell.attention.noise(batch, steps, ops.shape(memory)[1])
        states = list(initial_state or [])
        states += [
            ops.zeros((batch, size), cell.compute_dtype) for size in cell.state_size[len(states) :]
        ]
        # Outside its loop, as Keras does it for a cell that is not inside another one.
        for inner, width in zip(cell.cells, cell.widths, strict=True):
            if getattr(inner, "dropout", 0) and training:
                inner.get_dropout_mask(ops.ones((batch, width), cell.compute_dtype))
            if getattr(inner, "recurrent_dropout", 0) and training:
                size = keras.tree.flatten(inner.state_size)[0]
                inner.get_recurrent_dropout_mask(ops.ones((batch, size), cell.compute_dtype))
        cell.bound = (memory, cell.attention.keys(memory), memory_mask, noise)
        cell.beside = return_attention_scores
        # Keras's loop on JAX takes outputs for states where it has a mask; here the mask goes beside the inputs.
        mask = sequences_mask if mask is None else mask
        mask = ops.ones((batch, steps)) if mask is None else mask
        mask = ops.expand_dims(ops.cast(mask, sequences.dtype), -1)
        sequences = ops.concatenate([sequences, mask], axis=-1)
        try:
            found = super().call(sequences, initial_state=states, training=training)
        finally:
            cell.bound = None
            for inner in cell.cells:
                if hasattr(inner, "reset_dropout_mask"):
                    inner.reset_dropout_mask()
                    inner.reset_recurrent_dropout_mask()
        if not return_attention_scores:
            return found
        outputs, *last = found if self.return_state else [found]
        y, a = ops.split(outputs, [cell.output_size], axis=-1)
        return (y, *last, ops.cast(a, "float32"))

    def compute_output_spec(
        self, sequences, memory, initial_state=None, mask=None, sequences_mask=None, memory_mask=None,
        return_attention_scores=False, training=False,
    ):  # fmt: skip
        del initial_state, mask, sequences_mask, memory_mask, training
        shapes = self.compute_output_shape(sequences.shape)
        shapes = shapes if self.return_state else [shapes]
        found = [keras.KerasTensor(shape, self.compute_dtype) for shape in shapes]
        if return_attention_scores:
            found.append(keras.KerasTensor((*shapes[0][:-1], memory.shape[1]), "float32"))
        return tuple(found) if len(found) > 1 else found[0]

    def compute_output_shape(self, sequences_shape, memory_shape=None, initial_state_shape=None):
        del memory_shape, initial_state_shape
        return super().compute_output_shape(sequences_shape)

    def profile_cost(self, input_shapes, output_shapes):
        """Of the cells a product for each number of their matrices at each step, and of the attention."""
        (batch, steps, _), memory = input_shapes[:2]
        cell = self.cell
        its = [v for v in cell.weights if all(v is not each for each in cell.attention.weights)]
        macs = sum(math.prod(v.shape) for v in its if len(v.shape) == 2)
        looks = cell.attention.profile_cost([(batch, steps, cell.top), memory], output_shapes)
        values = batch * steps * sum(cell.own)
        return {
            "macs": batch * steps * macs + looks["macs"],
            "additions": 4 * values + looks["additions"],
            "elementwise": 8 * values + looks["elementwise"],
            "reach": "unknown",
        }
