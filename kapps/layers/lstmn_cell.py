"""The cell of the long short-term memory-network: an LSTM that attends to its earlier states.

[1] Cheng 2016, arXiv:1601.06733
"""

import keras
from keras import layers, ops

from kapps._values import is_integer, short
from kapps.layers.multi_head_attention import masked_softmax, scores_dtype
from kapps.layers.recurrent_cells import GatedCell


@keras.saving.register_keras_serializable("kapps")
class LSTMNCell(GatedCell, layers.LSTMCell):
    """LSTM whose gates read means of all earlier states in place of the last state [1, equations 5 to 10].

    a_i = v . tanh(W_h h_i + W_x x_t + W_h~ h~_(t-1)),  s = softmax(a), i = t - tape .. t - 1
    h~_t = sum_i s_i h_i,  c~_t = sum_i s_i c_i
    i_t, f_t, o_t = sigmoid(W x_t + U h~_t + b), with one W, U and b for each
    c_t = f_t c~_t + i_t tanh(W_c x_t + U_c h~_t + b_c)
    h_t = o_t tanh(c_t)

    XX
    under any policy.

    Output: h_t, (batch, units). States: h~; then of the last `tape` steps, the newest last, h and c and W_h h, (batch,
    tape units) each, and whether there is such a step, (batch, tape). Arguments are those of
    `keras.layers.LSTMCell`; W_h, W_x, W_h~ and v are `hidden_kernel`, `input_kernel`, `attended_kernel` and `v`; and:

    Args:
        tape: the largest number of earlier steps that a step reads.
    """

    def __init__(self, units: int, tape: int = 64, **kwargs):
        super().__init__(units, **kwargs)
        if not is_integer(tape, 1, 2**16):
            raise ValueError(
                f"{self.name}: tape={short(tape)} is not a positive integer up to 65,536"
            )
        self.tape = tape
        self.state_size = [units, tape * units, tape * units, tape * units, tape]

    state_names = ("attended", "hidden_tape", "cell_tape", "projected_tape", "filled")
    """The names of the states in decoding."""

    def build(self, input_shape):
        super().build(input_shape)
        self.hidden_kernel = self.add_matrix("hidden_kernel", self.units, self.units)
        self.input_kernel = self.add_matrix("input_kernel", input_shape[-1], self.units)
        self.attended_kernel = self.add_matrix("attended_kernel", self.units, self.units)
        self.v = self.add_matrix("v", self.units, 1)

    def attend(self, x, states):
        """Returns s, float32 (batch, tape), the weights of the steps of the tape."""
        attended, _, _, projected, filled = states
        query = ops.matmul(x, self.input_kernel) + ops.matmul(attended, self.attended_kernel)
        projected = ops.reshape(projected, (-1, self.tape, self.units))
        scores = ops.squeeze(
            ops.matmul(ops.tanh(projected + ops.expand_dims(query, 1)), self.v), -1
        )
        return masked_softmax(ops.cast(scores, scores_dtype(scores)), filled > 0.5)

    def call(self, inputs, states, training=False):
        _, hidden, cells, projected, filled = states
        weights = ops.expand_dims(ops.cast(self.attend(inputs, states), inputs.dtype), 1)
        shape = (-1, self.tape, self.units)
        attended = ops.squeeze(ops.matmul(weights, ops.reshape(hidden, shape)), 1)
        c = ops.squeeze(ops.matmul(weights, ops.reshape(cells, shape)), 1)

        x, h = self.apply_dropout(inputs, attended, training)
        z_i, z_f, z_c, z_o = ops.split(self.gate_sums(x, h), 4, axis=-1)
        i, f, o = (self.recurrent_activation(z) for z in (z_i, z_f, z_o))
        c = f * c + i * self.activation(z_c)
        h = o * self.activation(c)

        key = ops.matmul(h, self.hidden_kernel)
        tapes = [
            ops.concatenate([tape[:, self.units :], new], axis=-1)
            for tape, new in zip((hidden, cells, projected), (h, c, key), strict=True)
        ]
        filled = ops.concatenate([filled[:, 1:], ops.ones_like(filled[:, :1])], axis=-1)
        return h, [attended, *tapes, filled]

    def get_config(self):
        return {**super().get_config(), "tape": self.tape}

    def profile_cost(self, input_shapes, output_shapes):
        """One step: the gates, the projections, and scores and two means of the tape."""
        del output_shapes
        (batch, features), units, tape = input_shapes[0], self.units, self.tape
        macs = 4 * units * (features + units) + units * (features + 2 * units) + 3 * tape * units
        return {
            "macs": batch * macs,
            "additions": batch * units * (6 + tape),
            "elementwise": batch * (8 * units + tape * (units + 2)),
            "reach": "unknown",
        }
