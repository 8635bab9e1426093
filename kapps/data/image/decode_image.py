"""From an encoded image to pixels: decoding, and the crops of training and of evaluation."""

import tensorflow as tf

from kapps.cards import Preprocessing
from kapps.data.image import augment

_SCALES = (1, 2, 4, 8)  # at which libjpeg can decode
KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic", "nearest": None}


def decode(encoded: tf.Tensor, channels: int = 3) -> tf.Tensor:
    """Decodes a JPEG (grey, colour, CMYK), PNG, GIF (its first frame), BMP or WebP exactly.

    Args:
        encoded: string [].
        channels: 3, or 1 for grey.

    Returns:
        uint8 [h, w, channels]; 16-bit images lose their lower byte, transparency is dropped.
    """

    def jpeg():
        if channels == 3:
            return tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE")
        # TensorFlow turns CMYK to colour but not to grey.
        return tf.cond(
            tf.io.extract_jpeg_shape(encoded)[2] == 4,
            lambda: tf.image.rgb_to_grayscale(
                tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE")
            ),
            lambda: tf.io.decode_jpeg(encoded, 1, dct_method="INTEGER_ACCURATE"),
        )

    def other():
        if channels == 3:
            return tf.io.decode_image(encoded, 3, expand_animations=False)
        return tf.cond(
            tf.strings.substr(encoded, 0, 4) == b"\x89PNG",
            lambda: tf.io.decode_png(encoded, 1),
            lambda: tf.image.rgb_to_grayscale(
                tf.io.decode_image(encoded, 3, expand_animations=False)
            ),
        )

    image = tf.cond(tf.io.is_jpeg(encoded), jpeg, other)
    return tf.ensure_shape(image, [None, None, channels])


def random_crop(encoded, seed, preprocessing, channels, area, ratio) -> tf.Tensor:
    """A random crop of an image, resized: uint8 [h, w, channels]."""

    def jpeg():
        shape = tf.io.extract_jpeg_shape(encoded)
        window = augment.crop_window(shape, seed, area, ratio)
        # Where a crop is at least twice the size that is wanted, libjpeg decodes it at a half, a
        # quarter or an eighth, which is an exact box filter at a fraction of the work. The window
        # then counts the smaller pixels.
        fits = tf.reduce_min(window[2:] // tf.constant(preprocessing.size))
        choice = tf.searchsorted(_SCALES[1:], [fits], side="right")[0]

        def at(scale):
            return lambda: tf.raw_ops.DecodeAndCropJpeg(
                contents=encoded, crop_window=window // scale, channels=channels, ratio=scale
            )

        image = tf.switch_case(choice, [at(scale) for scale in _SCALES])
        # Antialiasing would take as long as the rest, for an image that shrinks by less than two.
        return tf.image.resize(image, preprocessing.size)

    def other():
        image = decode(encoded, channels)
        y, x, height, width = tf.unstack(augment.crop_window(tf.shape(image), seed, area, ratio))
        image = image[y : y + height, x : x + width]
        return tf.image.resize(image, preprocessing.size, antialias=True)

    fused = tf.io.is_jpeg(encoded)
    if channels == 1:
        fused = tf.cond(fused, lambda: tf.io.extract_jpeg_shape(encoded)[2] != 4, lambda: False)
    image = tf.cond(fused, jpeg, other)
    return tf.ensure_shape(to_uint8(image), [*preprocessing.size, channels])


def resize_and_crop(image: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Resizes an image and crops its centre as `preprocessing` says: float32 [h, w, channels]."""
    height, width = preprocessing.size
    # What an image of the crop's proportions would be resized to; torchvision's rounding.
    whole = tf.constant([round(height / preprocessing.crop), round(width / preprocessing.crop)])
    size = tf.shape(image)[:2]
    wide = size[0] * whole[1] <= size[1] * whole[0]  # then its height settles the scale
    to_height = tf.stack([whole[0], size[1] * whole[0] // size[0]])
    to_width = tf.stack([size[0] * whole[1] // size[1], whole[1]])
    resized = tf.where(wide, to_height, to_width)
    first = tf.cast(tf.round((resized - [height, width]) / 2), tf.int32)
    if preprocessing.interpolation == "nearest":
        image = tf.image.resize(image, resized, "nearest")
        image = tf.slice(image, [*tf.unstack(first), 0], [height, width, -1])
        return tf.ensure_shape(tf.cast(image, tf.float32), [height, width, None])
    # What `tf.image.resize(antialias=True)` computes, for the pixels alone that the crop keeps.
    image = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=[height, width],
        scale=tf.cast(resized / size, tf.float32),
        translation=tf.cast(-first, tf.float32),
        kernel_type=KERNELS[preprocessing.interpolation],
        antialias=True,
    )[0]
    # A bicubic kernel overshoots at edges, beyond what an image can hold.
    return tf.clip_by_value(image, 0.0, 255.0)


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Rounds float32 pixels in [0, 255] to uint8; leaves uint8 as it is."""
    if image.dtype == tf.uint8:
        return image
    return tf.cast(image + 0.5, tf.uint8)
