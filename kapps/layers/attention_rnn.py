"""The recurrent layer that runs a cell which attends to a memory at each step."""

import math

import keras
from keras import ops

from kapps.layers.recurrent_cells import state_names


@keras.saving.register_keras_serializable("kapps")
class AttentionRNN(keras.layers.RNN):
    """`keras.layers.RNN` of a cell that attends to a memory: `layer(sequences, memory, initial_state=[...])`.

    Inputs: sequences (batch, time, features); memory (batch, M, K), each with its mask; and optionally the first
    states of the cells, in their order; the other states start from zeros. Output: as of `keras.layers.RNN`; with
    return_attention_scores=True, (output, weights), the weights float32 (batch, time, M).

    Args:
        cell: a `kapps.layers.SearchCell` or a `kapps.layers.AttentionalCell`.
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
        self.sample_dropout_masks(batch, training)
        cell.loop_memory = (memory, cell.attention.keys(memory), memory_mask, noise)
        cell.return_weights = return_attention_scores
        # On JAX, Keras's loop returns outputs in place of states if it has a mask; here the mask is a feature of the
        # inputs.
        mask = sequences_mask if mask is None else mask
        mask = ops.ones((batch, steps)) if mask is None else mask
        mask = ops.expand_dims(ops.cast(mask, sequences.dtype), -1)
        sequences = ops.concatenate([sequences, mask], axis=-1)
        try:
            result = super().call(sequences, initial_state=states, training=training)
        finally:
            cell.loop_memory = None
            for inner in cell.cells:
                if hasattr(inner, "reset_dropout_mask"):
                    inner.reset_dropout_mask()
                    inner.reset_recurrent_dropout_mask()
        if not return_attention_scores:
            return result
        outputs, *last_states = result if self.return_state else [result]
        y, a = ops.split(outputs, [cell.output_size], axis=-1)
        return (y, *last_states, ops.cast(a, "float32"))

    def sample_dropout_masks(self, batch, training):
        """Samples the dropout masks of the inner cells before the loop, as Keras does for its own cells."""
        if not training:
            return
        for cell, width in zip(self.cell.cells, self.cell.widths, strict=True):
            if getattr(cell, "dropout", 0):
                cell.get_dropout_mask(ops.ones((batch, width), self.cell.compute_dtype))
            if getattr(cell, "recurrent_dropout", 0):
                size = keras.tree.flatten(cell.state_size)[0]
                cell.get_recurrent_dropout_mask(ops.ones((batch, size), self.cell.compute_dtype))

    # The cache protocol (`kapps.generation.cache_protocol`)

    decoding_position = False

    @property
    def decoding_memory_layer(self):
        """The layer whose `decoding_memory` the encoder runs: without the cells' weights."""
        return self.cell.attention

    def check_decoding(self, return_attention_scores=False, **arguments):
        del arguments
        if return_attention_scores:
            raise ValueError(
                "has return_attention_scores=True, which a decoding step does not support"
            )
        if not self.return_sequences or self.go_backwards or self.return_state:
            raise ValueError(
                "has no step: it needs return_sequences=True, go_backwards=False and return_state=False"
            )

    def decoding_memory(self, memory):
        return self.cell.attention.decoding_memory(memory)

    def decoding_state(self, batch, length, memory):
        del length, memory
        sizes = self.cell.state_size
        return {
            name: keras.KerasTensor((batch, size), self.compute_dtype)
            for name, size in zip(state_names(sizes), sizes, strict=True)
        }

    def decoding_step(self, x, position, state, memory):
        del position
        names, values = state_names(self.cell.state_size), memory["memory"]
        output, new_states = self.cell(
            x[:, 0], [state[name] for name in names], memory=values, keys=memory.get("keys", values),
            memory_mask=memory.get("memory_mask"),
        )  # fmt: skip
        return ops.expand_dims(output, 1), dict(zip(names, new_states, strict=True))

    def compute_output_spec(
        self, sequences, memory, initial_state=None, mask=None, sequences_mask=None, memory_mask=None,
        return_attention_scores=False, training=False,
    ):  # fmt: skip
        del initial_state, mask, sequences_mask, memory_mask, training
        shapes = self.compute_output_shape(sequences.shape)
        shapes = shapes if self.return_state else [shapes]
        outputs = [keras.KerasTensor(shape, self.compute_dtype) for shape in shapes]
        if return_attention_scores:
            outputs.append(keras.KerasTensor((*shapes[0][:-1], memory.shape[1]), "float32"))
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def compute_output_shape(self, sequences_shape, memory_shape=None, initial_state_shape=None):
        del memory_shape, initial_state_shape
        return super().compute_output_shape(sequences_shape)

    def profile_cost(self, input_shapes, output_shapes):
        """At each step one product for each number of the cells' matrices, and the attention's cost."""
        (batch, steps, _), memory = input_shapes[:2]
        cell = self.cell
        attention_ids = {id(v) for v in cell.attention.weights}
        matrices = [v for v in cell.weights if len(v.shape) == 2 and id(v) not in attention_ids]
        macs = sum(math.prod(v.shape) for v in matrices)
        attention = cell.attention.profile_cost(
            [(batch, steps, cell.output_width), memory], output_shapes
        )
        values = batch * steps * sum(cell.cell_state_sizes)
        return {
            "macs": batch * steps * macs + attention["macs"],
            "additions": 4 * values + attention["additions"],
            "elementwise": 8 * values + attention["elementwise"],
            "reach": "unknown",
        }
