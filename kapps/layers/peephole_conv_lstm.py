"""Convolutional LSTM with peepholes, which `keras.layers.ConvLSTM2D` lacks."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("kapps")
class PeepholeConvLSTMCell(layers.Layer):
    """One step of a convolutional LSTM (Shi 2015, arXiv:1506.04214, equation (3)); * is a convolution with padding.

    i_t = sigmoid(W_xi * X_t + W_hi * H_{t-1} + W_ci C_{t-1} + b_i)
    f_t = sigmoid(W_xf * X_t + W_hf * H_{t-1} + W_cf C_{t-1} + b_f)
    C_t = f_t C_{t-1} + i_t tanh(W_xc * X_t + W_hc * H_{t-1} + b_c)
    o_t = sigmoid(W_xo * X_t + W_ho * H_{t-1} + W_co C_t + b_o)
    H_t = o_t tanh(C_t)

    W_c have one number for each channel, as in the paper's parameter counts: `peephole`, (3, filters), in the order
    i, f, o. Gates are concatenated as in Keras: `kernel` (height, width, channels, 4 filters),
    `recurrent_kernel` and `bias` in the order i, f, c, o; the bias of f starts at one.

    Input: (batch, height, width, channels), with a fixed height and width. States: H and C, (batch, height, width,
    filters).

    Args:
        filters: channels of the states.
        kernel_size: of every convolution, odd.
        has_input: whether there is an input; without one there are no W_x.
    """

    def __init__(self, filters, kernel_size, has_input=True, **kwargs):
        super().__init__(**kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(f"{self.name}: kernel_size is odd, not {kernel_size}")
        self.filters, self.kernel_size, self.has_input = filters, kernel_size, has_input
        self.state_size = [filters, filters]

    def build(self, input_shape):
        self.size = tuple(input_shape[1:3])
        if None in self.size:
            raise ValueError(f"{self.name}: frames need a fixed height and width, not {self.size}")
        window, gates = (self.kernel_size, self.kernel_size), 4 * self.filters
        if self.has_input:
            self.kernel = self.add_weight(
                shape=(*window, input_shape[-1], gates),
                initializer="glorot_uniform",
                name="kernel",
            )
        self.recurrent_kernel = self.add_weight(
            shape=(*window, self.filters, gates), initializer="orthogonal", name="recurrent_kernel"
        )
        self.bias = self.add_weight(shape=(gates,), initializer=forget_bias, name="bias")
        self.peephole = self.add_weight(
            shape=(3, self.filters), initializer="zeros", name="peephole"
        )

    def call(self, inputs, states):
        h, c = states
        z = ops.conv(h, self.recurrent_kernel, padding="same", data_format="channels_last")
        z = z + self.bias
        if self.has_input:
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
        own = {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "has_input": self.has_input,
        }
        return {**super().get_config(), **own}


def forget_bias(shape, dtype=None):
    """Initialises a bias with ones for the forget gate and zeros for the others."""
    is_forget_gate = ops.arange(shape[0]) // (shape[0] // 4) == 1
    return ops.cast(is_forget_gate, dtype or keras.config.floatx())


@keras.saving.register_keras_serializable("kapps")
class PeepholeConvLSTM2D(layers.RNN):
    """The recurrent layer of a `PeepholeConvLSTMCell`.

    Input: (batch, time, height, width, channels), with a fixed height and width. Output: H of the last step, or with
    `return_sequences` of all steps, (batch, time, height, width, filters); with `return_state` also H and C of the
    last step.

    With `steps` there is no input: the layer runs that many steps from its initial state, `layer(h, initial_state=[h,
    c])`, whose batch is that of the output.

    Args:
        filters: channels of the states.
        kernel_size: of every convolution, odd.
        steps: number of steps without input; None for a layer with an input.
    """

    def __init__(self, filters, kernel_size, steps=None, **kwargs):
        kwargs.pop("cell", None)
        self.steps = steps
        cell = PeepholeConvLSTMCell(
            filters, kernel_size, has_input=steps is None, dtype=kwargs.get("dtype"), name="cell"
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
                    f"{self.name} has no input and needs a state: layer(h, initial_state=[h, c])"
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
        inner = cell.filters + (channels if cell.has_input else 0)
        units = batch * time * height * width * cell.filters
        return {
            "macs": 4 * units * cell.kernel_size**2 * inner,
            "additions": units * (4 * cell.has_input + 4 + 1 + 3),
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
