"""Convolutional LSTM with peepholes, which `keras.layers.ConvLSTM2D` lacks."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("kapps")
class PeepholeConvLSTMCell(layers.Layer):
    """One step of a convolutional LSTM (Shi 2015, arXiv:1506.04214, equation (3)), * a convolution that keeps the size.

    i_t = sigmoid(W_xi * X_t + W_hi * H_{t-1} + W_ci C_{t-1} + b_i)
    f_t = sigmoid(W_xf * X_t + W_hf * H_{t-1} + W_cf C_{t-1} + b_f)
    C_t = f_t C_{t-1} + i_t tanh(W_xc * X_t + W_hc * H_{t-1} + b_c)
    o_t = sigmoid(W_xo * X_t + W_ho * H_{t-1} + W_co C_t + b_o)
    H_t = o_t tanh(C_t)

    W_c are one number a channel, as the paper's parameter counts have them: `peephole`, (3, filters), in the order
    i, f, o. Gates stand beside each other as in Keras: `kernel` (height, width, channels, 4 filters),
    `recurrent_kernel` and `bias` in the order i, f, c, o; the bias of f begins at one.

    Input: (batch, height, width, channels), of known height and width. States: H and C, (batch, height, width,
    filters).

    Args:
        filters: channels of the states.
        kernel_size: of every convolution, odd.
        reads: whether there is an input; without one, W_x are left out.
    """

    def __init__(self, filters, kernel_size, reads=True, **kwargs):
        super().__init__(**kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(f"{self.name}: kernel_size is odd, not {kernel_size}")
        self.filters, self.kernel_size, self.reads = filters, kernel_size, reads
        self.state_size = [filters, filters]

    def build(self, input_shape):
        self.size = tuple(input_shape[1:3])
        if None in self.size:
            raise ValueError(
                f"{self.name}: frames have a height and width that are known, not {self.size}"
            )
        window, gates = (self.kernel_size, self.kernel_size), 4 * self.filters
        if self.reads:
            self.kernel = self.add_weight(
                shape=(*window, input_shape[-1], gates),
                initializer="glorot_uniform",
                name="kernel",
            )
        self.recurrent_kernel = self.add_weight(
            shape=(*window, self.filters, gates), initializer="orthogonal", name="recurrent_kernel"
        )
        self.bias = self.add_weight(shape=(gates,), initializer=_remember, name="bias")
        self.peephole = self.add_weight(
            shape=(3, self.filters), initializer="zeros", name="peephole"
        )

    def call(self, inputs, states):
        h, c = states
        z = ops.conv(h, self.recurrent_kernel, padding="same", data_format="channels_last")
        z = z + self.bias
        if self.reads:
            z = z + ops.conv(inputs, self.kernel, padding="same", data_format="channels_last")
        z_i, z_f, z_c, z_o = ops.split(z, 4, axis=-1)
        w_i, w_f, w_o = self.peephole[0], self.peephole[1], self.peephole[2]
        i = ops.sigmoid(z_i + w_i * c)
        f = ops.sigmoid(z_f + w_f * c)
        c = f * c + i * ops.tanh(z_c)
        o = ops.sigmoid(z_o + w_o * c)
        h = o * ops.tanh(c)
        return h, [h, c]

    def get_initial_state(self, batch_size=None):
        shape = (batch_size, *self.size, self.filters)
        return [ops.zeros(shape, dtype=self.compute_dtype) for _ in range(2)]

    def get_config(self):
        own = {"filters": self.filters, "kernel_size": self.kernel_size, "reads": self.reads}
        return {**super().get_config(), **own}


def _remember(shape, dtype=None):
    """Zeros, and ones for the forget gate."""
    f = ops.arange(shape[0]) // (shape[0] // 4) == 1
    return ops.cast(f, dtype or keras.config.floatx())


@keras.saving.register_keras_serializable("kapps")
class PeepholeConvLSTM2D(layers.RNN):
    """A recurrent layer of `PeepholeConvLSTMCell`.

    Input: (batch, time, height, width, channels), of known height and width. Output: H of the last step, or with
    `return_sequences` of all, (batch, time, height, width, filters); with `return_state` then H and C of the last.

    With `steps` there is no input: a forecaster that runs that many steps from its initial state, which also says how
    many sequences there are: `layer(h, initial_state=[h, c])`.

    Args:
        filters: channels of the states.
        kernel_size: of every convolution, odd.
        steps: None, or how many to run without input.
    """

    def __init__(self, filters, kernel_size, steps=None, **kwargs):
        kwargs.pop("cell", None)
        self.steps = steps
        cell = PeepholeConvLSTMCell(
            filters, kernel_size, reads=steps is None, dtype=kwargs.get("dtype"), name="cell"
        )
        super().__init__(cell, **kwargs)

    def build(self, sequences_shape, initial_state_shape=None):
        del initial_state_shape
        batch, *rest = sequences_shape
        self.cell.build((batch, *rest) if self.steps else (batch, *rest[1:]))

    def call(self, sequences, initial_state=None, mask=None, training=False):
        if self.steps:
            if initial_state is None:
                raise ValueError(
                    f"{self.name} reads nothing and starts from a state: layer(h, initial_state=[h, c])"
                )
            sequences = ops.zeros((ops.shape(sequences)[0], self.steps, 1), self.compute_dtype)
        return super().call(sequences, initial_state, mask, training)

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        del initial_state_shape
        batch, *rest = sequences_shape
        time, *size = [self.steps, *rest] if self.steps else rest
        state = (batch, *size[:2], self.cell.filters)
        output = (batch, time, *state[1:]) if self.return_sequences else state
        return (output, state, state) if self.return_state else output

    def profile_cost(self, input_shapes, output_shapes):
        """As `keras.layers.ConvLSTM2D`, with three products and sums of peepholes (`kapps.analysis.register_cost`)."""
        del output_shapes
        cell, (batch, *rest) = self.cell, input_shapes[0]
        time = self.steps or rest[0]
        height, width, channels = rest if self.steps else rest[1:]
        inner = cell.filters + (channels if cell.reads else 0)
        units = batch * time * height * width * cell.filters
        return {
            "macs": 4 * units * cell.kernel_size**2 * inner,
            "additions": units * (4 * cell.reads + 4 + 1 + 3),
            "elementwise": units * (8 + 3),
            "reach": "mix",
        }

    def get_config(self):
        own = {"filters": self.cell.filters, "kernel_size": self.cell.kernel_size}
        config = {**super().get_config(), **own, "steps": self.steps}
        del config["cell"]
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        del custom_objects
        return cls(**config)


@keras.saving.register_keras_serializable("kapps")
def frame_cross_entropy(true, chances):
    """The metric of [1], Table 1: binary cross-entropy in nats, summed over a frame's pixels; (batch, time)."""
    true = ops.cast(true, "float32")
    chances = ops.clip(ops.cast(chances, "float32"), 1e-7, 1 - 1e-7)
    loss = -true * ops.log(chances) - (1 - true) * ops.log(1 - chances)
    return ops.sum(loss, axis=(-3, -2, -1))
