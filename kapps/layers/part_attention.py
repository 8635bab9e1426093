"""Attention to parts of an object: the groups of channels of MA-CNN, with the losses of their maps.

[1] Zheng 2017, "Learning Multi-Attention Convolutional Neural Network for Fine-Grained Image Recognition", ICCV
"""

import keras
from keras import layers, ops

from kapps._values import is_number, short
from kapps.layers.multi_head_attention import scores_dtype


@keras.saving.register_keras_serializable("kapps")
class PartAttention(layers.Layer):
    """Features of each part of a map, whose place is where the part's channels are active [1].

    M_i = sigmoid(sum_c d_ic X_c) / its sum over the pixels,  P_i = sum_pixels M_i X

    with the map X and the weights d_i of its channels in part i. In training the layer adds the loss of [1], the mean
    over the batch of

    grouping (Dis + diversity Div)
    Dis = sum_i sum_pixels M_i ((row - r_i)^2 + (column - c_i)^2),  with (r_i, c_i) the pixel of the largest M_i
    Div = sum_i sum_pixels M_i (max_{k != i} M_k - margin)

    Dis makes each map compact, and Div moves the maps apart. Rows and columns are fractions of the map's height and
    width, so that Dis does not grow with the map. The pixel of the maximum has no gradient.

    Inputs: X, (batch, height, width, channels), and d, (batch, parts, channels) with two parts or more, any floating
    dtype. Output: P, (batch, parts, channels). Maps and losses are float32 or wider under any policy.

    Args:
        grouping: weight of the loss; 0 for none.
        diversity: weight of Div in it, lambda of [1].
        margin: mrg of [1].
        **kwargs: of `keras.layers.Layer`.
    """

    adds_loss = True  # see `kapps.training.separate_added_losses`

    def __init__(self, grouping=1.0, diversity=2.0, margin=0.02, **kwargs):
        super().__init__(**kwargs)
        options = {"grouping": grouping, "diversity": diversity, "margin": margin}
        for option, value in options.items():
            if not is_number(value) or value < 0:
                raise ValueError(f"{self.name}: {option}={short(value)} is not a number from 0")
        self.grouping, self.diversity, self.margin = grouping, diversity, margin

    def build(self, input_shapes):
        x, d = input_shapes
        if d[1] < 2 or x[-1] != d[-1]:
            raise ValueError(
                f"{self.name}: weights of the shape {tuple(d[1:])} for {x[-1]:,} channels are not (parts, "
                f"{x[-1]:,}) with two parts or more"
            )

    def call(self, inputs, training=False):
        x, _ = inputs
        maps = self.part_maps(inputs)
        if training and self.grouping:
            self.add_loss(self.grouping_loss(maps, *ops.shape(x)[1:3]))
        x = ops.reshape(x, (-1, ops.shape(maps)[1], x.shape[-1]))
        return ops.matmul(ops.swapaxes(ops.cast(maps, x.dtype), 1, 2), x)

    def part_maps(self, inputs):
        """Returns the maps M, (batch, pixels, parts); each sums to 1 over the pixels."""
        x, d = inputs
        _, height, width, channels = ops.shape(x)
        dtype = scores_dtype(x, d)
        x = ops.reshape(ops.cast(x, dtype), (-1, height * width, channels))
        maps = ops.sigmoid(ops.matmul(x, ops.swapaxes(ops.cast(d, dtype), 1, 2)))
        return maps / ops.sum(maps, axis=1, keepdims=True)

    def grouping_loss(self, maps, height, width):
        """Returns the loss of maps (batch, height width, parts): a mean over the batch."""
        distance, diversity = part_losses(maps, height, width, self.margin)
        return self.grouping * ops.mean(distance + self.diversity * diversity)

    def compute_output_shape(self, input_shapes):
        return tuple(input_shapes[1])

    def get_config(self):
        options = ("grouping", "diversity", "margin")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns the products of the channels' weights and of the maps with the map (see
        `kapps.analysis.register_cost`)."""
        del output_shapes
        (batch, height, width, channels), (_, parts, _) = input_shapes
        maps = batch * height * width * parts
        return {"macs": 2 * maps * channels, "elementwise": 2 * maps, "reach": "mix"}

    def to_keras_layers(self):
        """Returns the same in Keras's layers, for maps of known size and without the loss."""
        x, d = (layers.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in self.input)
        _, height, width, channels = x.shape
        if None in (height, width):
            raise ValueError(
                f"{self.name}: portable=True needs a fixed height and width for attention; give them in "
                "input_shape, for example (448, 448, 3)"
            )
        options = {"dtype": self.dtype_policy}
        pixels = layers.Reshape((height * width, channels), **options)(x)
        maps = layers.Dot(axes=2, **options)([d, pixels])  # (batch, parts, pixels)
        # The softmax of the logarithms divides by the sum.
        maps = layers.Activation("log_sigmoid", **options)(maps)
        maps = layers.Softmax(**options)(maps)
        y = layers.Dot(axes=(2, 1), **options)([maps, pixels])
        return keras.Model([x, d], y, name=self.name)


def part_losses(maps, height, width, margin):
    """Returns Dis and Div of [1] for each image, both (batch,), summed over the parts.

    Args:
        maps: (batch, height width, parts). A map sums to 1 over its pixels, which are in rows.
        height: number of rows.
        width: number of pixels in a row.
        margin: mrg of [1].
    """
    parts = maps.shape[-1]
    pixels = ops.arange(height * width, dtype="int32")[None, :, None]
    peaks = ops.stop_gradient(ops.cast(ops.argmax(maps, axis=1), "int32"))[:, None]
    rows = ops.cast(pixels // width - peaks // width, maps.dtype)
    columns = ops.cast(pixels % width - peaks % width, maps.dtype)
    rows, columns = rows / ops.cast(height, maps.dtype), columns / ops.cast(width, maps.dtype)
    distance = ops.sum(maps * (ops.square(rows) + ops.square(columns)), axis=(1, 2))
    others = [
        ops.max(ops.stack([maps[..., k] for k in range(parts) if k != i]), axis=0)
        for i in range(parts)
    ]
    return distance, ops.sum(maps * (ops.stack(others, axis=-1) - margin), axis=(1, 2))
