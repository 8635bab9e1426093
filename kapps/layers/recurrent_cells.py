"""Recurrent cells that Keras lacks, with the symbols of their papers; they work in `keras.layers.RNN`.

[1] Gers 2002, Learning precise timing with LSTM recurrent networks, JMLR 3; and the lectures' diagonal V
[2] Greff 2015, arXiv:1503.04069, and Olah 2015, whose coupled gates the lectures draw
[3] Cho 2014, arXiv:1406.1078
[4] Krause 2016, arXiv:1609.07959
[5] Salimans 2016, arXiv:1602.07868

Keras has the other cells, with cuDNN's kernels: `keras.layers.SimpleRNN`, `LSTM`, and `GRU`, whose default is cuDNN's
form (reset_after=True). `kapps.why_not_cudnn` lists the reasons for which a model does not use those kernels.

Inputs are x_t (batch, features), states (batch, units), both of the cell's compute dtype. Gates with the same inputs
are one product, in Keras's order. `dropout` masks x_t and `recurrent_dropout` h_{t-1}, with one mask for all gates and
steps.
"""

import keras
from keras import layers, ops

from kapps._checked import check_argument
from kapps._values import is_integer, short


def state_names(sizes):
    """Returns the names of a cell's states in decoding: h and c for one or two, numbers for more."""
    return [str(i) for i in range(len(sizes))] if len(sizes) > 2 else list("hc"[: len(sizes)])


class GatedCell:
    """The base of the cells. Keras samples a dropout mask for each gate; here all gates share one mask."""

    def __init__(self, units: int, **kwargs):
        check_argument(type(self).__name__, "units", units, int)
        super().__init__(units, **kwargs)
        self.implementation, self.dropout_mask_count = 2, None

    def apply_dropout(self, x, h, training):
        """Returns x_t and h_{t-1} after dropout."""
        if training and self.dropout:
            x = x * self.get_dropout_mask(x)
        if training and self.recurrent_dropout:
            h = h * self.get_recurrent_dropout_mask(h)
        return x, h

    def gate_sums(self, x, h):
        """Returns W x_t + U h_{t-1} + b of all gates, concatenated."""
        z = ops.matmul(x, self.kernel) + ops.matmul(h, self.recurrent_kernel)
        return z + self.bias if self.use_bias else z

    def add_matrix(self, name, rows, columns):
        """Adds a trainable matrix, for states if its name has `recurrent`, otherwise for x_t."""
        initializer = self.recurrent_initializer if "recurrent" in name else self.kernel_initializer
        return self.add_weight(shape=(rows, columns), initializer=initializer, name=name)


@keras.saving.register_keras_serializable("kapps")
class PeepholeLSTMCell(GatedCell, layers.LSTMCell):
    """LSTM whose gates read the memory cell c [1]; the output gate reads its new value.

    i_t = sigmoid(W_i x_t + U_i h_{t-1} + V_i c_{t-1} + b_i)
    f_t = sigmoid(W_f x_t + U_f h_{t-1} + V_f c_{t-1} + b_f)
    c_t = f_t c_{t-1} + i_t tanh(W_c x_t + U_c h_{t-1} + b_c)
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + V_o c_t + b_o)
    h_t = o_t tanh(c_t)

    The matrices V are diagonal: `peephole`, (3, units), in the order i, f, o. Arguments are those of
    `keras.layers.LSTMCell`.
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.peephole = self.add_weight(shape=(3, self.units), initializer="zeros", name="peephole")

    def call(self, inputs, states, training=False):
        h, c = states
        x, h = self.apply_dropout(inputs, h, training)
        # The two gates that read c_{t-1} in one tensor: half as many operations at every step.
        z_if, z_c, z_o = ops.split(self.gate_sums(x, h), [2 * self.units, 3 * self.units], axis=-1)
        v_if, v_o = ops.split(self.peephole, [2])
        z_if = ops.reshape(z_if, (-1, 2, self.units)) + v_if * ops.expand_dims(c, 1)
        i, f = ops.unstack(self.recurrent_activation(z_if), axis=1)
        c = f * c + i * self.activation(z_c)
        o = self.recurrent_activation(z_o + v_o * c)
        h = o * self.activation(c)
        return h, [h, c]


@keras.saving.register_keras_serializable("kapps")
class CoupledLSTMCell(GatedCell, layers.LSTMCell):
    """LSTM whose input gate is 1 - f_t [2].

    f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
    c_t = f_t c_{t-1} + (1 - f_t) tanh(W_c x_t + U_c h_{t-1} + b_c)
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)
    h_t = o_t tanh(c_t)

    Three quarters of LSTM's parameters. Arguments are those of `keras.layers.LSTMCell`.
    """

    def build(self, input_shape):
        self.kernel = self.add_matrix("kernel", input_shape[-1], 3 * self.units)
        self.recurrent_kernel = self.add_matrix("recurrent_kernel", self.units, 3 * self.units)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(3 * self.units,), initializer=self.bias_initializer, name="bias"
            )
            if self.unit_forget_bias:
                ones = ops.arange(3 * self.units) < self.units
                self.bias.assign(self.bias + ops.cast(ones, self.bias.dtype))
        self.built = True

    def call(self, inputs, states, training=False):
        h, c = states
        x, h = self.apply_dropout(inputs, h, training)
        z_f, z_c, z_o = ops.split(self.gate_sums(x, h), 3, axis=-1)
        f = self.recurrent_activation(z_f)
        c = f * c + (1 - f) * self.activation(z_c)
        h = self.recurrent_activation(z_o) * self.activation(c)
        return h, [h, c]


@keras.saving.register_keras_serializable("kapps")
class MultiplicativeLSTMCell(GatedCell, layers.LSTMCell):
    """LSTM whose recurrent weights depend on the input: m_t in place of h_{t-1} [4].

    m_t = (W_m x_t) (U_m h_{t-1}), element by element
    i_t, f_t, o_t = sigmoid(W x_t + U m_t + b), with one W, U and b for each
    c_t = f_t c_{t-1} + i_t tanh(W_c x_t + U_c m_t + b_c)
    h_t = o_t tanh(c_t)

    Arguments are those of `keras.layers.LSTMCell`; W_m is `kernel_m`, U_m `recurrent_kernel_m`; and:

    Args:
        weight_norm: whether each column of the four matrices is g w / ||w|| [5], with the gains g `gain`,
            `recurrent_gain`, `gain_m` and `recurrent_gain_m`.
    """

    def __init__(self, units: int, weight_norm: bool = False, **kwargs):
        check_argument(type(self).__name__, "units", units, int)
        super().__init__(units, **kwargs)
        self.weight_norm, self.normalised = weight_norm, None

    def build(self, input_shape):
        super().build(input_shape)
        self.kernel_m = self.add_matrix("kernel_m", input_shape[-1], self.units)
        self.recurrent_kernel_m = self.add_matrix("recurrent_kernel_m", self.units, self.units)
        if self.weight_norm:
            wide, narrow = dict(shape=(4 * self.units,)), dict(shape=(self.units,))
            self.gain = self.add_weight(**wide, initializer="ones", name="gain")
            self.recurrent_gain = self.add_weight(**wide, initializer="ones", name="recurrent_gain")
            self.gain_m = self.add_weight(**narrow, initializer="ones", name="gain_m")
            self.recurrent_gain_m = self.add_weight(
                **narrow, initializer="ones", name="recurrent_gain_m"
            )

    def matrices(self):
        """Returns W, U, W_m and U_m, normalised if weight_norm is set."""
        matrices = (self.kernel, self.recurrent_kernel, self.kernel_m, self.recurrent_kernel_m)
        if not self.weight_norm:
            return matrices
        gains = (self.gain, self.recurrent_gain, self.gain_m, self.recurrent_gain_m)
        return tuple(ops.normalize(w, axis=0) * g for w, g in zip(matrices, gains, strict=True))

    # `keras.layers.RNN` gets a cell's dropout masks once before its loop and resets them after it. Here that
    # normalises the weights once for all steps, so that a gradient keeps no copy of them for each step.
    def get_dropout_mask(self, step_input):
        if self.weight_norm and self.normalised is None:
            self.normalised = self.matrices()
        return super().get_dropout_mask(step_input)

    def reset_dropout_mask(self):
        self.normalised = None
        super().reset_dropout_mask()

    def call(self, inputs, states, training=False):
        h, c = states
        x, h = self.apply_dropout(inputs, h, training)
        w, u, w_m, u_m = self.normalised or self.matrices()
        m = ops.matmul(x, w_m) * ops.matmul(h, u_m)
        z = ops.matmul(x, w) + ops.matmul(m, u)
        z = z + self.bias if self.use_bias else z
        z_i, z_f, z_c, z_o = ops.split(z, 4, axis=-1)
        i, f, o = (self.recurrent_activation(gate) for gate in (z_i, z_f, z_o))
        c = f * c + i * self.activation(z_c)
        h = o * self.activation(c)
        return h, [h, c]

    def get_config(self):
        return {**super().get_config(), "weight_norm": self.weight_norm}


@keras.saving.register_keras_serializable("kapps")
class GRUCell(GatedCell, layers.GRUCell):
    """GRU of its paper [3]: the reset gate comes before U; in Keras's default, cuDNN's form, it comes after.

    r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
    z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z)
    g_t = tanh(W x_t + U (r_t h_{t-1}) + b)
    h_t = (1 - z_t) h_{t-1} + z_t g_t    with update="new": z_t is the fraction that is new
    h_t = z_t h_{t-1} + (1 - z_t) g_t    with update="old": z_t is the fraction that stays

    Arguments are those of `keras.layers.GRUCell` without reset_after, and:

    Args:
        update: "new" or "old". Papers and lectures have both; one becomes the other if the signs of W_z, U_z and b_z
            change.
    """

    def __init__(self, units: int, update: str = "new", **kwargs):
        check_argument(type(self).__name__, "units", units, int)
        if update not in ("new", "old"):
            raise ValueError(f'update is "new" or "old", not {update!r}')
        kwargs.pop("reset_after", None)
        super().__init__(units, reset_after=False, **kwargs)
        self.update = update

    def call(self, inputs, states, training=False):
        (before,) = states
        x, h = self.apply_dropout(inputs, before, training)
        width = 2 * self.units
        x = ops.matmul(x, self.kernel)
        if self.use_bias:
            x = x + self.bias
        # One split of each, because the gradient of a split is a concatenation at every step.
        x_gates, x_g = ops.split(x, [width], axis=-1)
        u_gates, u_g = ops.split(self.recurrent_kernel, [width], axis=-1)
        gates = self.recurrent_activation(x_gates + ops.matmul(h, u_gates))
        z, r = ops.split(gates, 2, axis=-1)
        g = self.activation(x_g + ops.matmul(r * h, u_g))
        new = z if self.update == "new" else 1 - z
        h = before + new * (g - before)
        return h, [h]

    def get_config(self):
        return {**super().get_config(), "update": self.update}


@keras.saving.register_keras_serializable("kapps")
class LearnedState(layers.Layer):
    """Trained initial states, the same for every sequence, instead of zeros.

    keras.layers.LSTM(8)(x, initial_state=LearnedState([8, 8])(x))

    Input: a tensor whose first axis is the batch. Output: a list of (batch, size).

    Args:
        sizes: the size of each state.
    """

    def __init__(self, sizes, **kwargs):
        super().__init__(**kwargs)
        self.sizes = list(sizes) if isinstance(sizes, (list, tuple)) else []
        if not self.sizes or not all(is_integer(size, 1, 2**20) for size in self.sizes):
            raise ValueError(
                f"{self.name}: sizes={short(sizes)} are not positive integers up to {2**20:,}, one for each state"
            )
        self.supports_masking = True

    def build(self, input_shape):
        del input_shape
        self.states = [
            self.add_weight(shape=(size,), initializer="zeros", name=f"state{i}")
            for i, size in enumerate(self.sizes)
        ]

    def call(self, inputs):
        batch = ops.shape(inputs)[0]
        return [
            ops.broadcast_to(ops.cast(state, self.compute_dtype), (batch, size))
            for state, size in zip(self.states, self.sizes, strict=True)
        ]

    def compute_mask(self, inputs, mask=None):
        del inputs, mask
        return [None] * len(self.sizes)

    def compute_output_shape(self, input_shape):
        return [(input_shape[0], size) for size in self.sizes]

    def get_config(self):
        return {**super().get_config(), "sizes": self.sizes}

    def profile_cost(self, input_shapes, output_shapes):
        """Nothing is computed (see `kapps.analysis.register_cost`)."""
        del input_shapes, output_shapes
        return {}
