"""Maps cut or resized to the height and width of another map, also where these are not known yet."""

import math

import keras
from keras import layers, ops

from kapps._values import is_integer, short

INTERPOLATIONS = ("bilinear", "nearest")


@keras.saving.register_keras_serializable("kapps")
class CropLike(layers.Layer):
    """Cuts a map to the height and width of another map.

    Inputs: two tensors, (batch, height, width, channels) and (batch, new height, new width, any channels), any dtype.
    Output: (batch, new height, new width, channels). Only the second tensor's shape matters.

    Args:
        offset: rows above and columns on the left that are cut off.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, offset=0, **kwargs):
        super().__init__(**kwargs)
        if not is_integer(offset, 0, 2**20):
            raise ValueError(
                f"{self.name}: offset={short(offset)} is not an integer from 0 to {2**20:,}"
            )
        self.offset = offset

    def call(self, inputs):
        x, other = inputs
        _, height, width, _ = ops.shape(other)
        first = self.offset
        return x[:, first : first + height, first : first + width]

    def compute_output_shape(self, input_shape):
        x, other = input_shape
        return (x[0], *other[1:3], x[3])

    def get_config(self):
        return {**super().get_config(), "offset": self.offset}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns a cost of 0 (see `kapps.analysis.register_cost`)."""
        del input_shapes, output_shapes
        return {"reach": "unknown"}


@keras.saving.register_keras_serializable("kapps")
class ResizeLike(layers.Layer):
    """Resizes a map to the height and width of another map, with half-pixel centres and without antialiasing.

    It is PyTorch's `interpolate` with `align_corners=False`.

    Inputs: two tensors, (batch, height, width, channels) and (batch, new height, new width, any channels), any floating
    dtype. Output: (batch, new height, new width, channels). Only the second tensor's shape matters.

    Args:
        interpolation: "bilinear" or "nearest".
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, interpolation="bilinear", **kwargs):
        super().__init__(**kwargs)
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f'{self.name}: interpolation={short(interpolation)} is not "bilinear" or "nearest"'
            )
        self.interpolation = interpolation

    def call(self, inputs):
        x, other = inputs
        _, height, width, _ = ops.shape(other)
        return ops.image.resize(
            x, (height, width), interpolation=self.interpolation, data_format="channels_last"
        )

    def compute_output_shape(self, input_shape):
        x, other = input_shape
        return (x[0], *other[1:3], x[3])

    def get_config(self):
        return {**super().get_config(), "interpolation": self.interpolation}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns two multiplications and an addition for each axis of a bilinear interpolation (see
        `kapps.analysis.register_cost`)."""
        del input_shapes
        elements = 2 * math.prod(output_shapes[0]) * (self.interpolation == "bilinear")
        return {"elementwise": 2 * elements, "additions": elements, "reach": "mix", "axes": (1, 2)}

    def to_keras_layers(self):
        """Returns Keras's resizing, for maps of known size."""
        x, other = (layers.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in self.input)
        if None in (*x.shape[1:3], *other.shape[1:3]):
            raise ValueError(
                f"{self.name}: portable=True needs a fixed height and width for an interpolation; give them in "
                "input_shape, for example (224, 224, 3)"
            )
        resize = layers.Resizing(
            *other.shape[1:3], interpolation=self.interpolation, data_format="channels_last"
        )
        return keras.Model([x, other], resize(x), name=self.name)


def crop_like(x, other, *, offset=0, name):
    """Cuts a map to the height and width of another; a map of that size has no layer.

    Args:
        x: Keras tensor (batch, height, width, channels).
        other: Keras tensor (batch, new height, new width, any channels).
        offset: rows above and columns on the left that are cut off.
        name: of the layer.

    Raises:
        ValueError: if the other map is larger.
    """
    size, new_size = x.shape[1:3], other.shape[1:3]
    if None in (*size, *new_size):
        return CropLike(offset, name=name)([x, other])
    if size == new_size and not offset:
        return x
    sides = tuple((offset, n - m - offset) for n, m in zip(size, new_size, strict=True))
    if min(after for _, after in sides) < 0:
        raise ValueError(
            f"{name}: a map of {tuple(size)} has no {new_size[0]} x {new_size[1]} pixels from {offset}; pass a larger "
            "image"
        )
    return layers.Cropping2D(sides, name=name)(x)


def resize_like(x, other, *, interpolation="bilinear", dtype=None, name):
    """Resizes a map to the height and width of another; a map of that size has no layer.

    Whole factors are Keras's own layer.

    Args:
        x: Keras tensor (batch, height, width, channels).
        other: Keras tensor (batch, new height, new width, any channels).
        interpolation: "bilinear" or "nearest".
        dtype: of the layer; None for Keras's policy.
        name: of the layer.
    """
    size, new_size = x.shape[1:3], other.shape[1:3]
    if None not in (*size, *new_size):
        if size == new_size:
            return x
        if not any(m % n for n, m in zip(size, new_size, strict=True)):
            factors = tuple(m // n for n, m in zip(size, new_size, strict=True))
            return layers.UpSampling2D(
                factors, interpolation=interpolation, dtype=dtype, name=name
            )(x)  # fmt: skip
    return ResizeLike(interpolation, dtype=dtype, name=name)([x, other])


def double_like(x, other, *, name):
    """Repeats each pixel in two rows and two columns, and cuts the result to the size of a map with odd sides.

    Args:
        x: Keras tensor (batch, ceil(height / 2), ceil(width / 2), channels).
        other: Keras tensor (batch, height, width, any channels).
        name: of the layer. That of the cut is called `<name>_crop`.

    Raises:
        ValueError: if x has another size.
    """
    size, new_size = x.shape[1:3], other.shape[1:3]
    is_known = None not in (*size, *new_size)
    if is_known and any(n != -(-m // 2) for n, m in zip(size, new_size, strict=True)):
        raise ValueError(
            f"{name}: a map of {tuple(size)} is not half as large as one of {tuple(new_size)}; pass an image whose "
            "sides are multiples of 32, and a body without dilation"
        )
    x = layers.UpSampling2D(2, name=name)(x)
    return crop_like(x, other, name=f"{name}_crop")
