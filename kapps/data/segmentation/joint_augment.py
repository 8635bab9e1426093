"""Augmentation of an image and its mask: the same scale, crop and mirroring for both, and colours of the image.

Both are sampled at the same points: the image bilinearly and antialiased, the mask at the nearest pixel. Random numbers
depend only on a seed that the caller passes.
"""

import numpy as np
import tensorflow as tf

from kapps.data.image.augment import fold_in
from kapps.data.segmentation.mask_classes import VOID

_GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey, ITU-R BT.601."""


def scale_to_cover(shape: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Returns the factor that resizes an image so that it just covers a size, as the evaluation resizes it: float32 [].

    Args:
        shape: int32, height and width first.
        size: (height, width) to cover.
    """
    return tf.reduce_max(tf.constant(size, tf.float32) / tf.cast(shape[:2], tf.float32))


def random_scale_and_crop(
    image: tf.Tensor,
    mask: tf.Tensor,
    size: tuple[int, int],
    scale_range: tuple[float, float],
    seed: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Resizes an image and its mask by a random factor and crops both at the same random place.

    Where the resized image is smaller than the crop, it is at a random place inside the crop, and the rest is void.

    Args:
        image: uint8 [height, width, channels].
        mask: uint8 [height, width, 1].
        size: (height, width) of the crop.
        scale_range: least and largest factor; its logarithm is uniform. At 1 the image just covers the crop.
        seed: int64 [2].

    Returns:
        The image, float32 [*size, channels] in [0, 255]; the mask, uint8 [*size, 1]; and bool [*size, 1], whether a
        pixel is inside the resized image.
    """
    low, high = (float(np.log(factor)) for factor in scale_range)
    exponent = tf.random.stateless_uniform([], fold_in(seed, 0), 0.0, 1.0)
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    factor = scale_to_cover(tf.shape(image), size) * tf.exp(low + exponent * (high - low))
    resized = tf.maximum(1.0, tf.round(shape * factor))
    factors = resized / shape
    place = tf.random.stateless_uniform([2], fold_in(seed, 1))
    offset = tf.round(
        place * (resized - tf.constant(size, tf.float32))
    )  # negative where it is smaller
    cropped = tf.raw_ops.ScaleAndTranslate(
        images=image[None], size=size, scale=factors, translation=-offset,
        kernel_type="triangle", antialias=True,
    )[0]  # fmt: skip
    rows, columns = (
        tf.floor((tf.range(size[axis], dtype=tf.float32) + 0.5 + offset[axis]) / factors[axis])
        for axis in (0, 1)
    )
    row_is_inside = (rows >= 0) & (rows < shape[0])
    column_is_inside = (columns >= 0) & (columns < shape[1])
    is_inside = (row_is_inside[:, None] & column_is_inside)[..., None]
    rows = tf.cast(tf.clip_by_value(rows, 0.0, shape[0] - 1), tf.int32)
    columns = tf.cast(tf.clip_by_value(columns, 0.0, shape[1] - 1), tf.int32)
    sampled = tf.gather(tf.gather(mask, rows, axis=0), columns, axis=1)
    cropped = tf.clip_by_value(cropped, 0.0, 255.0)
    return cropped, tf.where(is_inside, sampled, tf.constant(VOID, tf.uint8)), is_inside


def random_colours(image: tf.Tensor, strength: float, seed: tf.Tensor) -> tf.Tensor:
    """Changes brightness, contrast and saturation of an image by random factors in 1 +- strength, in this order.

    Args:
        image: float32 [height, width, channels] in [0, 255].
        strength: in [0, 1].
        seed: int64 [2].

    Returns:
        float32 of the same shape, in [0, 255].
    """
    brightness, contrast, saturation = tf.unstack(
        tf.random.stateless_uniform([3], seed, 1 - strength, 1 + strength)
    )
    image = image * brightness
    is_colour = image.shape[-1] == 3
    grey = tf.reduce_sum(image * tf.constant(_GREY), -1, keepdims=True) if is_colour else image
    mean = tf.reduce_mean(grey)
    image, grey = mean + contrast * (image - mean), mean + contrast * (grey - mean)
    if is_colour:
        image = grey + saturation * (image - grey)
    return tf.clip_by_value(image, 0.0, 255.0)
