"""From an encoded image to pixels: decoding, the random crop of training, the centre crop of evaluation."""

import tensorflow as tf

from kapps.data.image import augment
from kapps.preprocessing import Preprocessing

KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic", "nearest": None}
"""Kernel of `ScaleAndTranslate` for each interpolation of `Preprocessing`."""
_JPEG_SCALES = (1, 2, 4, 8)
"""Factors by which libjpeg can shrink an image while it decodes it."""


def decode(encoded: tf.Tensor, channels: int = 3) -> tf.Tensor:
    """Decodes a JPEG (grey, colour or CMYK), PNG, GIF (first frame), BMP or WebP image.

    Args:
        encoded: string [].
        channels: 3, or 1 for grey.

    Returns:
        uint8 [height, width, channels]. 16-bit images lose their lower byte; transparency is dropped.
    """

    def decode_jpeg(channels):
        return tf.io.decode_jpeg(encoded, channels, dct_method="INTEGER_ACCURATE")

    def decode_any():
        return tf.io.decode_image(encoded, 3, expand_animations=False)

    def jpeg():
        if channels == 3:
            return decode_jpeg(3)
        # TensorFlow converts CMYK to colour but not to grey.
        return tf.cond(
            tf.io.extract_jpeg_shape(encoded)[2] == 4,
            lambda: tf.image.rgb_to_grayscale(decode_jpeg(3)),
            lambda: decode_jpeg(1),
        )

    def other():
        if channels == 3:
            return decode_any()
        return tf.cond(
            tf.strings.substr(encoded, 0, 4) == b"\x89PNG",
            lambda: tf.io.decode_png(encoded, 1),
            lambda: tf.image.rgb_to_grayscale(decode_any()),
        )

    image = tf.cond(tf.io.is_jpeg(encoded), jpeg, other)
    return tf.ensure_shape(image, [None, None, channels])


def random_crop(
    encoded: tf.Tensor,
    seed: tf.Tensor,
    preprocessing: Preprocessing,
    channels: int,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> tf.Tensor:
    """Decodes a random crop of an image and resizes it to `preprocessing.size`, bilinearly.

    Args:
        encoded: string [].
        seed: int64 [2].
        preprocessing: its size is used.
        channels: 3, or 1 for grey.
        area: smallest and largest fraction of the image's area.
        ratio: smallest and largest width divided by height.

    Returns:
        uint8 [height, width, channels].
    """

    def jpeg():
        shape = tf.io.extract_jpeg_shape(encoded)
        window = augment.sample_crop_window(shape, seed, area, ratio)
        # If a crop is at least twice the size of the result, libjpeg decodes it at a half, a quarter or an eighth,
        # which is an exact box filter and takes a fraction of the time. The window then counts the smaller pixels.
        factor = tf.reduce_min(window[2:] // tf.constant(preprocessing.size))
        choice = tf.searchsorted(_JPEG_SCALES[1:], [factor], side="right")[0]

        def decode_at(scale):
            return lambda: tf.raw_ops.DecodeAndCropJpeg(
                contents=encoded, crop_window=window // scale, channels=channels, ratio=scale
            )

        image = tf.switch_case(choice, [decode_at(scale) for scale in _JPEG_SCALES])
        # No antialiasing: it takes as long as everything else, and the image shrinks by less than two.
        return tf.image.resize(image, preprocessing.size)

    def other():
        image = decode(encoded, channels)
        window = augment.sample_crop_window(tf.shape(image), seed, area, ratio)
        y, x, height, width = tf.unstack(window)
        image = image[y : y + height, x : x + width]
        return tf.image.resize(image, preprocessing.size, antialias=True)

    can_crop_jpeg = tf.io.is_jpeg(encoded)
    if channels == 1:  # CMYK cannot be decoded to grey
        can_crop_jpeg = tf.cond(
            can_crop_jpeg, lambda: tf.io.extract_jpeg_shape(encoded)[2] != 4, lambda: False
        )
    image = tf.cond(can_crop_jpeg, jpeg, other)
    return tf.ensure_shape(to_uint8(image), [*preprocessing.size, channels])


def resize_and_crop(image: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Resizes an image and crops its centre, as torchvision's `Resize` and `CenterCrop` do.

    Args:
        image: uint8 or float32 [height, width, channels] in [0, 255].
        preprocessing: its size, crop and interpolation are used.

    Returns:
        float32 [*preprocessing.size, channels] in [0, 255].
    """
    height, width = preprocessing.size
    # Size of an image before the crop, if it has the proportions of the crop. The rounding is torchvision's.
    full = tf.constant([round(height / preprocessing.crop), round(width / preprocessing.crop)])
    size = tf.shape(image)[:2]
    is_wider = size[0] * full[1] <= size[1] * full[0]  # then the height sets the scale
    to_height = tf.stack([full[0], size[1] * full[0] // size[0]])
    to_width = tf.stack([size[0] * full[1] // size[1], full[1]])
    resized = tf.where(is_wider, to_height, to_width)
    offset = tf.cast(tf.round((resized - [height, width]) / 2), tf.int32)
    if preprocessing.interpolation == "nearest":
        image = tf.image.resize(image, resized, "nearest")
        image = tf.slice(image, [*tf.unstack(offset), 0], [height, width, -1])
        return tf.ensure_shape(tf.cast(image, tf.float32), [height, width, None])
    # Computes what `tf.image.resize(antialias=True)` computes, only for the pixels of the crop.
    image = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=[height, width],
        scale=tf.cast(resized / size, tf.float32),
        translation=tf.cast(-offset, tf.float32),
        kernel_type=KERNELS[preprocessing.interpolation],
        antialias=True,
    )[0]
    # At edges a bicubic kernel overshoots the range of pixels.
    return tf.clip_by_value(image, 0.0, 255.0)


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Rounds float32 pixels in [0, 255] to uint8. Returns a uint8 image unchanged."""
    if image.dtype == tf.uint8:
        return image
    return tf.cast(image + 0.5, tf.uint8)
