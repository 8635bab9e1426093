"""The position-wise feed-forward network as one layer, in chunks of steps.

[1] Vaswani 2017, arXiv:1706.03762, section 3.3
[2] Kitaev 2020, arXiv:2001.04451, section 3: chunks
[3] Child 2019, arXiv:1904.10509, section 5.2: the activation
"""

import math

import keras
from keras import ops

from kapps._checked import check_argument


@keras.saving.register_keras_serializable("kapps")
def sigmoid_gelu(x):
    """x sigmoid(1.702 x), the approximation of GELU of [3]."""
    return x * ops.sigmoid(1.702 * x)


@keras.saving.register_keras_serializable("kapps")
class FeedForward(keras.layers.Layer):
    """FFN(x) = activation(x W_1 + b_1) W_2 + b_2 of each step [1].

    With `chunk`, the hidden values of that many steps are in memory at a time, also in the gradient, which computes
    them again [2]. The output is the same. Input and output: (batch, steps, width).

    Args:
        units: d_ff, the width of the hidden layer.
        activation: Keras name of the hidden layer's activation, or a function.
        chunk: number of steps at a time; None for all.
    """

    pointwise = True  # see `kapps.generation.cache_protocol`

    def __init__(self, units, activation="relu", chunk=None, **kwargs):
        super().__init__(**kwargs)
        check_argument(self.name, "units", units, int)
        check_argument(self.name, "chunk", chunk, int | None)
        self.units, self.chunk = units, chunk
        self.activation = keras.activations.get(activation)
        self.supports_masking = True

    def build(self, input_shape):
        width = input_shape[-1]
        self.kernel1 = self.add_weight(shape=(width, self.units), name="kernel1")
        self.bias1 = self.add_weight(shape=(self.units,), initializer="zeros", name="bias1")
        self.kernel2 = self.add_weight(shape=(self.units, width), name="kernel2")
        self.bias2 = self.add_weight(shape=(width,), initializer="zeros", name="bias2")

    def call(self, inputs):
        weights = [
            ops.convert_to_tensor(w) for w in (self.kernel1, self.bias1, self.kernel2, self.bias2)
        ]
        steps, chunk = inputs.shape[1], self.chunk
        if chunk is None or (steps is not None and steps <= chunk):
            return self.network(inputs, *weights)
        batch, steps, width = ops.shape(inputs)
        count = (steps + chunk - 1) // chunk
        padded = ops.pad(inputs, ((0, 0), (0, chunk - 1), (0, 0)))[:, : count * chunk]
        chunks = ops.transpose(ops.reshape(padded, (batch, count, chunk, width)), (1, 0, 2, 3))
        # `remat` passes gradients to the arguments of its function only, so the weights are arguments.
        y = ops.map(lambda x: keras.remat(self.network)(x, *weights), chunks)
        y = ops.reshape(ops.transpose(y, (1, 0, 2, 3)), (batch, count * chunk, inputs.shape[-1]))
        return y[:, :steps]

    def network(self, x, kernel1, bias1, kernel2, bias2):
        return ops.matmul(self.activation(ops.matmul(x, kernel1) + bias1), kernel2) + bias2

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        options = dict(
            units=self.units, activation=keras.activations.serialize(self.activation), chunk=self.chunk
        )  # fmt: skip
        return {**super().get_config(), **options}

    def profile_cost(self, input_shapes, output_shapes):
        """Two products with biases, and the activation (see `kapps.analysis.register_cost`)."""
        del output_shapes
        *steps, width = input_shapes[0]
        steps = math.prod(steps)
        return {
            "macs": 2 * steps * width * self.units,
            "additions": steps * (width + self.units),
            "elementwise": steps * self.units,
        }
