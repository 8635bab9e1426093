"""The random crop of training: only the window of a JPEG is decoded, shrunk by libjpeg if it is large."""

import tensorflow as tf

from kapps.data.image import _orientation, augment, decode_image
from kapps.data.image._size_limit import check_size
from kapps.preprocessing import Preprocessing

_JPEG_SCALES = (1, 2, 4, 8)
"""Factors by which libjpeg can shrink an image while it decodes it."""


def random_crop(
    image_format: str,
    encoded: tf.Tensor,
    orientation: tf.Tensor,
    seed: tf.Tensor,
    preprocessing: Preprocessing,
    channels: int,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> tf.Tensor:
    """Decodes a random crop of the turned image and resizes it to `preprocessing.size`, bilinearly.

    Args:
        image_format: one of `FORMATS`.
        encoded: string [].
        orientation: int64 [].
        seed: int64 [2].
        preprocessing: its size is used.
        channels: 3, or 1 for grey.
        area: smallest and largest fraction of the image's area.
        ratio: smallest and largest width divided by height.

    Returns:
        uint8 [height, width, channels].
    """

    def decode_and_crop():
        shape = tf.io.extract_jpeg_shape(encoded)
        content = check_size(shape[0], shape[1], encoded)
        size = _orientation.size(shape, orientation)
        window = augment.sample_crop_window(tf.concat([size, shape[2:]], 0), seed, area, ratio)
        # If a crop is at least twice the size of the result, libjpeg decodes it at a half, a quarter or an eighth,
        # which is an exact box filter and takes a fraction of the time. The window then counts the smaller pixels.
        factor = tf.reduce_min(window[2:] // tf.constant(preprocessing.size))
        choice = tf.searchsorted(_JPEG_SCALES[1:], [factor], side="right")[0]
        window = _orientation.stored_window(window, size, orientation)

        def decode_at(scale):
            return lambda: tf.raw_ops.DecodeAndCropJpeg(
                contents=content, crop_window=window // scale, channels=channels, ratio=scale
            )

        image = tf.switch_case(choice, [decode_at(scale) for scale in _JPEG_SCALES])
        # No antialiasing: it takes as long as everything else, and the image shrinks by less than two.
        return tf.image.resize(_orientation.turn(image, orientation), preprocessing.size)

    def crop_decoded():
        image = decode_image.decode_format(image_format, encoded, orientation, channels)
        window = augment.sample_crop_window(tf.shape(image), seed, area, ratio)
        y, x, height, width = tf.unstack(window)
        image = image[y : y + height, x : x + width]
        return tf.image.resize(image, preprocessing.size, antialias=True)

    if image_format != "JPEG":
        image = crop_decoded()
    elif channels == 3:
        image = decode_and_crop()
    else:  # CMYK cannot be decoded to grey
        is_cmyk = tf.io.extract_jpeg_shape(encoded)[2] == 4
        image = tf.cond(is_cmyk, crop_decoded, decode_and_crop)
    return tf.ensure_shape(decode_image.to_uint8(image), [*preprocessing.size, channels])
