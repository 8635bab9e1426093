"""Self-attention over the pixels of a map whose scores are quadratic in their displacement, and convolutions as such.

[1] Cordonnier 2020, arXiv:1911.03584
"""

import keras
import numpy as np
from keras import layers, ops

from kapps._checked import check_argument, checked
from kapps._values import is_number, short
from kapps.layers.multi_head_attention import scores_dtype

SHARPNESS = 46.0
"""alpha of [1]: the weight of every other pixel is then below 1e-19 of the largest, in float64 too."""


@keras.saving.register_keras_serializable("kapps")
class NoisyIdentity(keras.initializers.Initializer):
    """Identity matrices with normally distributed noise, for weights (..., n, n).

    Args:
        stddev: standard deviation of the noise.
    """

    def __init__(self, stddev):
        self.stddev = stddev

    def __call__(self, shape, dtype=None):
        noise = keras.initializers.RandomNormal(stddev=self.stddev)(shape, dtype)
        return noise + ops.eye(shape[-1], dtype=noise.dtype)

    def get_config(self):
        return {"stddev": self.stddev}


@keras.saving.register_keras_serializable("kapps")
class QuadraticAttention2D(layers.Layer):
    """Self-attention whose weights depend only on the displacements of the pixels, as a Gaussian of learned shape [1].

    The score of a head for the displacement d from the query's pixel to another one, in (rows, columns), is

    -1/2 (d - c)^T S^T S (d - c)

    with a centre c and a matrix S. Its softmax over all pixels of the map is a Gaussian around the pixel at
    displacement c, which sums to 1 at the border too. The output of a head is the mean of the map with these weights.

    This is the quadratic encoding of [1]: for S^T S = 2 alpha I it is, up to a number for each head, the product of
    -alpha (1, -2 c_1, -2 c_2) and (|d|^2, d_1, d_2).

    Input: (batch, height, width, channels), any floating dtype. Output: (batch, height, width, heads channels), the
    channels of one head next to each other. The weights of attention are float32 or wider under any policy. Weights:
    `centres`, (heads, 2), and `spreads`, S, (heads, 2, 2).

    Args:
        heads: number of heads.
        centre_stddev: standard deviation of the centres at first, in pixels.
        spread_stddev: standard deviation of the difference between S and the identity at first.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, heads, centre_stddev=2.0, spread_stddev=0.01, **kwargs):
        super().__init__(**kwargs)
        check_argument(self.name, "heads", heads, int)
        for option, value in (("centre_stddev", centre_stddev), ("spread_stddev", spread_stddev)):
            if not is_number(value) or value < 0:
                raise ValueError(f"{self.name}: {option}={short(value)} is not a number from 0")
        self.heads = heads
        self.centre_stddev, self.spread_stddev = centre_stddev, spread_stddev

    def build(self, input_shape):
        del input_shape
        self.centres = self.add_weight(
            shape=(self.heads, 2),
            initializer=keras.initializers.RandomNormal(stddev=self.centre_stddev),
            autocast=False,  # half precision would round centres
            name="centres",
        )
        self.spreads = self.add_weight(
            shape=(self.heads, 2, 2),
            initializer=NoisyIdentity(self.spread_stddev),
            autocast=False,
            name="spreads",
        )

    def call(self, inputs):
        batch, height, width, channels = ops.shape(inputs)
        weights = ops.cast(self.attention_weights(height, width), inputs.dtype)
        x = ops.reshape(inputs, (-1, 1, height * width, channels))
        y = ops.matmul(weights, x)  # (batch, heads, pixels, channels)
        y = ops.transpose(y, (0, 2, 1, 3))
        return ops.reshape(y, (batch, height, width, self.heads * channels))

    def attention_weights(self, height, width):
        """Returns the weights of each head on a map, (heads, pixels, pixels); each row sums to 1."""
        dtype = scores_dtype(self.centres)
        down = ops.cast(ops.arange(height, dtype="int32"), dtype)
        right = ops.cast(ops.arange(width, dtype="int32"), dtype)
        rows = ops.reshape(ops.tile(down[:, None], (1, width)), (-1,))
        columns = ops.reshape(ops.tile(right[None], (height, 1)), (-1,))
        centres = ops.cast(self.centres, dtype)[:, :, None, None]
        down = rows[None] - rows[:, None] - centres[:, 0]  # (heads, pixels, pixels)
        right = columns[None] - columns[:, None] - centres[:, 1]
        s = ops.cast(self.spreads, dtype)[..., None, None]
        squares = (s[:, i, 0] * down + s[:, i, 1] * right for i in (0, 1))
        scores = -0.5 * sum(ops.square(x) for x in squares)
        if scores.shape[-1] == 1:  # Keras warns of the softmax of one number
            return ops.exp(scores - scores)
        return ops.softmax(scores, axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.heads * input_shape[-1])

    def get_config(self):
        options = {
            "heads": self.heads,
            "centre_stddev": self.centre_stddev,
            "spread_stddev": self.spread_stddev,
        }
        return {**super().get_config(), **options}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns the products of the weights with the map, and the scores and softmaxes, which a batch has in common
        (see `kapps.analysis.register_cost`)."""
        del output_shapes
        batch, height, width, channels = input_shapes[0]
        weights = self.heads * (height * width) ** 2
        return {
            "macs": batch * weights * channels,
            "elementwise": 8 * weights,
            "additions": 5 * weights,
            "reach": "mix",
            "axes": (1, 2),
        }

    def to_keras_layers(self):
        """Returns a Keras layer with the present weights of attention on a map of known size as its kernel."""
        _, height, width, channels = self.input.shape
        if None in (height, width):
            raise ValueError(
                f"{self.name}: portable=True needs a fixed height and width for attention; give them in "
                "input_shape, for example (32, 32, 3)"
            )
        options, pixels = {"dtype": self.dtype_policy}, height * width
        steps = [
            layers.Input(self.input.shape[1:], dtype=self.input.dtype),
            layers.Reshape((pixels, channels), **options),
            layers.EinsumDense("bkc,hqk->bqhc", (pixels, self.heads, channels), **options),
            layers.Reshape((height, width, self.heads * channels), **options),
        ]
        return keras.Sequential(steps, name=self.name)

    def keras_weights(self):
        """Returns the values of that layer's weights."""
        return [ops.convert_to_numpy(self.attention_weights(*self.input.shape[1:3]))]


@checked
def attention_as_conv(conv: keras.layers.Conv2D, sharpness: float = SHARPNESS) -> keras.Sequential:
    """Returns self-attention that computes a convolution: theorem 1 of [1].

    The K x K heads of a `QuadraticAttention2D` each attend to one displacement of the kernel, and a 1x1 convolution
    multiplies what they read by the kernel's matrix of that displacement. Outside of the map a head attends to the
    nearest pixel, so the result is the convolution of the map padded with copies of its border, not with zeros.

        edges = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
        attention_as_conv(conv)(x)  # equals keras.ops.conv(edges, conv.kernel, padding="valid") + conv.bias

    Args:
        conv: a built convolution with strides of 1 and one group. Its padding does not matter.
        sharpness: alpha, half the square of each S; larger values are closer to the convolution.

    Returns:
        A model from maps (batch, height, width, channels) to maps (batch, height, width, filters) of any size.

    Raises:
        ValueError: if the convolution is not built, or has strides, groups or channels first.
    """
    if not conv.built:
        raise ValueError(f"{conv.name} is not built; call it on a map first")
    if max(conv.strides) > 1 or conv.groups > 1 or conv.data_format != "channels_last":
        raise ValueError(
            f"{conv.name}: strides={conv.strides}, groups={conv.groups}, data_format={conv.data_format}: attention "
            "has strides of 1, one group and channels_last"
        )
    kernel = ops.convert_to_numpy(conv.kernel)
    sizes, (channels, filters) = kernel.shape[:2], kernel.shape[2:]
    shifts = [
        dilation * (np.arange(size) - (size - 1) // 2)
        for size, dilation in zip(sizes, conv.dilation_rate, strict=True)
    ]
    centres = np.stack(np.meshgrid(*shifts, indexing="ij"), axis=-1).reshape(-1, 2)
    heads = len(centres)
    options = {"dtype": conv.dtype_policy}
    attention = QuadraticAttention2D(heads, name=f"{conv.name}_attention", **options)
    output = layers.Conv2D(
        filters, 1, use_bias=conv.use_bias, activation=conv.activation,
        data_format="channels_last", name=f"{conv.name}_output", **options,
    )  # fmt: skip
    image = layers.Input((None, None, channels), dtype=conv.compute_dtype)
    model = keras.Sequential([image, attention, output], name=f"{conv.name}_as_attention")
    spread = np.sqrt(2 * sharpness) * np.eye(2)
    attention.set_weights([centres, np.broadcast_to(spread, (heads, 2, 2))])
    weights = [kernel.reshape(1, 1, heads * channels, filters)]
    output.set_weights(weights + ([ops.convert_to_numpy(conv.bias)] if conv.use_bias else []))
    return model
