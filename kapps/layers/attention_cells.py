"""Recurrent cells that attend to a memory at each step.

[1] Bahdanau 2015, arXiv:1409.0473
[2] Luong 2015, arXiv:1508.04025
[3] Britz 2017, arXiv:1703.03906
"""

import keras
from keras import ops

BASE = 256
"""The position of a step is a state of two digits: half precision represents all integers up to this one."""


class AttendingCell(keras.layers.Layer):
    """The base of the cells: a stack of cells, an `Alignment`, and all their states in one list.

    `cell(x, states, memory=memory)` is one step: x (batch, features), memory (batch, M, K), its mask `memory_mask`
    (batch, M), and `keys=cell.attention.keys(memory)` to compute the keys once for all steps. It returns the output,
    the new states, and with return_attention_scores=True the weights, float32 (batch, M). `kapps.layers.AttentionRNN`
    runs all steps.

    Args:
        cells: cells of `keras.layers.RNN`, the lowest first.
        attention: a `kapps.layers.Alignment`.
    """

    def __init__(self, cells, attention, **kwargs):
        super().__init__(**kwargs)
        self.cells, self.attention = list(cells), attention
        # Set by `AttentionRNN` around its loop, in which Keras calls a cell with inputs and states only.
        self.loop_memory, self.return_weights = None, False

    @property
    def cell_state_sizes(self):
        """The sizes of the states of the cells, in their order."""
        return [size for cell in self.cells for size in keras.tree.flatten(cell.state_size)]

    @property
    def output_width(self):
        """Width of the last cell's output."""
        return keras.tree.flatten(self.cells[-1].state_size)[0]

    @property
    def state_size(self):
        position = [2] if self.attention.uses_positions else []
        return [*self.cell_state_sizes, *self.extra_state_sizes, *position]

    def build_parts(self, width, memory_shape):
        """Builds the cells, the first with inputs of this width, and the attention."""
        self.widths = []
        for cell in self.cells:
            self.widths.append(width)
            if not cell.built:
                cell.build((None, width))
            width = keras.tree.flatten(cell.state_size)[0]
        if not self.attention.built:  # the parts of a cell from a file are built
            self.attention.build((None, None, width), memory_shape)

    def step_cells(self, x, states, training):
        """Returns the output of the last cell, and all cells' new states."""
        new_states, states = [], list(states)
        for cell in self.cells:
            cell_states = [states.pop(0) for _ in keras.tree.flatten(cell.state_size)]
            x, cell_states = cell(x, cell_states, training=training)
            new_states += keras.tree.flatten(cell_states)
        return x, new_states

    def attend(self, query, states, memory):
        """Returns the context (batch, K), the weights (batch, M), and a list with the position of the next step."""
        values, keys, mask, noise = memory
        positions, next_position = None, []
        if self.attention.uses_positions:
            high, low = ops.split(ops.cast(states[-1], "int32"), 2, axis=-1)
            positions = BASE * high + low
            carry = ops.cast(low + 1 >= BASE, "int32")
            digits = ops.concatenate([high + carry, (low + 1) * (1 - carry)], axis=-1)
            next_position = [ops.cast(digits, states[-1].dtype)]
            if noise is not None:
                noise = ops.take_along_axis(noise, ops.expand_dims(positions, -1), axis=1)
        query = ops.expand_dims(query, 1)
        c, a = self.attention.attend(query, keys, values, mask, positions, noise)
        return ops.squeeze(c, 1), ops.squeeze(a, 1), next_position

    def call(
        self, inputs, states, memory=None, keys=None, memory_mask=None, return_attention_scores=False, training=False
    ):  # fmt: skip
        if memory is None:
            return self.loop_step(inputs, list(states), training)
        keys = self.attention.keys(memory) if keys is None else keys
        output, new_states, a = self.step(
            inputs, list(states), (memory, keys, memory_mask, None), training
        )
        return (output, new_states, a) if return_attention_scores else (output, new_states)

    def loop_step(self, inputs, states, training):
        """One step in the loop of `AttentionRNN`, whose inputs have the mask as their last feature."""
        mask = inputs[..., -1:] > 0
        output, new_states, a = self.step(inputs[..., :-1], states, self.loop_memory, training)
        new_states = [
            ops.where(mask, new, old) for new, old in zip(new_states, states, strict=True)
        ]
        if self.return_weights:
            output = ops.concatenate([output, ops.cast(a, output.dtype)], axis=-1)
        return output, new_states

    def get_config(self):
        parts = {
            "cells": [keras.saving.serialize_keras_object(cell) for cell in self.cells],
            "attention": keras.saving.serialize_keras_object(self.attention),
        }
        return {**super().get_config(), **parts}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        cells = [keras.saving.deserialize_keras_object(cell) for cell in config.pop("cells")]
        attention = keras.saving.deserialize_keras_object(config.pop("attention"))
        return cls(cells, attention, **config)


@keras.saving.register_keras_serializable("kapps")
class SearchCell(AttendingCell):
    """Attends with the state before the step; the step reads the context [1, 3.1 and A.2].

    e_ij = score(s_{i-1}, h_j),  alpha_i = softmax(e_i),  c_i = sum_j alpha_ij h_j
    s_i = f(s_{i-1}, [y_{i-1}; c_i])

    Output: [s_{i-1}; c_i], (batch, units + K), from which [1] computes the scores of the next word.
    """

    extra_state_sizes = ()

    def build(self, input_shape, memory_shape):
        self.output_size = self.output_width + memory_shape[-1]
        self.build_parts(input_shape[-1] + memory_shape[-1], memory_shape)
        self.built = True

    def step(self, y, states, memory, training):
        """Returns the output, the new states and the weights."""
        cell_states = states[: len(self.cell_state_sizes)]
        before = cell_states[-len(keras.tree.flatten(self.cells[-1].state_size))]
        c, a, next_position = self.attend(before, states, memory)
        _, new_states = self.step_cells(ops.concatenate([y, c], axis=-1), cell_states, training)
        return ops.concatenate([before, c], axis=-1), new_states + next_position, a


@keras.saving.register_keras_serializable("kapps")
class AttentionalCell(AttendingCell):
    """Attends with the state after the step; the next step reads the attentional state too [2, 3.1 and 3.3].

    h_t = f(h_{t-1}, [x_t; h~_{t-1}])
    c_t = sum_s a_t(s) hbar_s,  a_t = softmax(score(h_t, hbar))
    h~_t = tanh(W_c [c_t; h_t])

    Output: h~_t, (batch, units).
    """

    @property
    def extra_state_sizes(self):
        """The size of the state h~."""
        return (self.output_width,)

    def build(self, input_shape, memory_shape):
        self.output_size = self.output_width
        self.build_parts(input_shape[-1] + self.output_width, memory_shape)
        shape = (memory_shape[-1] + self.output_width, self.output_width)
        self.attentional_kernel = self.add_weight(shape=shape, name="attentional_kernel")
        self.built = True

    def step(self, x, states, memory, training):
        """Returns the output, the new states and the weights."""
        count = len(self.cell_state_sizes)
        x = ops.concatenate([x, states[count]], axis=-1)
        h, new_states = self.step_cells(x, states[:count], training)
        c, a, next_position = self.attend(h, states, memory)
        h = ops.tanh(ops.matmul(ops.concatenate([c, h], axis=-1), self.attentional_kernel))
        return h, [*new_states, h, *next_position], a


@keras.saving.register_keras_serializable("kapps")
class ContextFeedingCell(AttendingCell):
    """Attends with the state after the step; the next step reads the context too [3].

    h_t = f(h_{t-1}, [x_t; c_{t-1}])
    c_t = sum_s a_t(s) hbar_s,  a_t = softmax(score(h_t, hbar))
    h~_t = tanh(W_c [h_t; c_t] + b_c)

    Output: h~_t, (batch, units).
    """

    context_width = 0  # known when the cell is built

    @property
    def extra_state_sizes(self):
        """The size of the state c."""
        return (self.context_width,)

    def build(self, input_shape, memory_shape):
        units, self.context_width = self.output_width, memory_shape[-1]
        self.output_size = units
        self.build_parts(input_shape[-1] + self.context_width, memory_shape)
        shape = (units + self.context_width, units)
        self.attentional_kernel = self.add_weight(shape=shape, name="attentional_kernel")
        self.attentional_bias = self.add_weight(
            shape=(units,), initializer="zeros", name="attentional_bias"
        )
        self.built = True

    def step(self, x, states, memory, training):
        """Returns the output, the new states and the weights."""
        count = len(self.cell_state_sizes)
        x = ops.concatenate([x, states[count]], axis=-1)
        h, new_states = self.step_cells(x, states[:count], training)
        c, a, next_position = self.attend(h, states, memory)
        y = ops.matmul(ops.concatenate([h, c], axis=-1), self.attentional_kernel)
        return ops.tanh(y + self.attentional_bias), [*new_states, c, *next_position], a
