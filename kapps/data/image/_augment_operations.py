"""The slow operations of RandAugment again: with the values of keras_cv's layers, and less work on a CPU.

keras_cv's shear transforms an image twice, and the second time it changes nothing. Its translation is a projective
transformation, and its equalization a loop over the channels. Its reductions and products broadcast over three
channels, which is slow in TensorFlow. Here a shear is one transformation, a translation interpolates between rows or
columns, and whole rows are computed at once.
"""

import tensorflow as tf


def install(layer) -> None:
    """Replaces the computation of one of RandAugment's layers, if there is a faster one; its random numbers stay.

    Args:
        layer: of `keras_cv.layers.RandAugment(value_range=(0, 255)).layers`.
    """
    name = type(layer).__name__
    if name == "AutoContrast":
        layer.augment_images = lambda images, **_: _of_one(images, stretch_contrast)
    elif name == "Equalization":
        layer.augment_images = lambda images, **_: _of_one(images, equalize)
    elif name == "RandomContrast":
        layer.augment_images = lambda images, transformations, **_: _of_one(
            images, lambda image: stretch_from_mean(image, tf.reshape(transformations, []))
        )
    elif name == "RandomShear":
        layer.augment_images = _shear
    elif name == "RandomTranslation":
        layer.augment_images = _translate


def _of_one(images, function):
    """Applies a function to a batch of one image, which is what RandAugment's layers get in `augment`."""
    return function(images[0])[None]


def _shear(images, transformations, **_):
    """One of the two factors is 0, and the transformation of the other one is enough."""
    x, y = (transformations[name][0, 0] for name in ("shear_x", "shear_y"))
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([1.0, x, 0.0, y, 1.0, 0.0, 0.0, 0.0])[None],
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _translate(images, transformations, **_):
    height, width = images.shape[1:3]
    rows = transformations["height_translations"][0, 0] * height
    columns = transformations["width_translations"][0, 0] * width

    def translate(image):
        return tf.cond(
            columns == 0,
            lambda: translate_rows(image, rows),
            lambda: translate_columns(image, columns),
        )

    return _of_one(images, translate)


def stretch_contrast(image: tf.Tensor) -> tf.Tensor:
    """Stretches each channel to [0, 255]: float32 [height, width, channels]; a channel of one value stays."""
    height, width, channels = image.shape
    rows = tf.reshape(image, [height, width * channels])

    def reduce(function):
        value = function(tf.reshape(function(rows, 0), [width, channels]), 0)
        return tf.tile(value, [width])

    low, high = reduce(tf.reduce_min), reduce(tf.reduce_max)
    scale = 255.0 / (high - low)
    result = tf.clip_by_value(rows * scale + -low * scale, 0.0, 255.0)
    return tf.reshape(tf.where(tf.math.is_nan(result), rows, result), image.shape)


def equalize(image: tf.Tensor) -> tf.Tensor:
    """Equalizes the histogram of each channel as Pillow does: float32 [height, width, channels] in [0, 255]."""
    height, width, channels = image.shape
    first = tf.tile(tf.range(channels) * 256, [width])  # of the channel of each value of a row
    values = tf.cast(tf.reshape(image, [height, width * channels]), tf.int32) + first
    size = channels * 256
    histogram = tf.math.bincount(values, minlength=size, maxlength=size)
    histogram = tf.reshape(histogram, [channels, 256])
    most = tf.reduce_min(tf.where(histogram == 0, 2**30, histogram), 1, keepdims=True)
    step = (height * width - most) // 255
    positive = tf.maximum(step, 1)
    table = (tf.cumsum(histogram, 1) + positive // 2) // positive
    table = tf.clip_by_value(tf.pad(table[:, :-1], [[0, 0], [1, 0]]), 0, 255)
    table = tf.where(step == 0, tf.range(256), table)
    table = tf.cast(tf.reshape(table, [size]), tf.float32)
    return tf.reshape(tf.gather(table, values), image.shape)


def stretch_from_mean(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies the distance of each value to the mean of its channel: float32 [height, width, channels], []."""
    height, width, channels = image.shape
    rows = tf.reshape(image, [height, width * channels])
    mean = tf.reduce_mean(tf.reshape(tf.reduce_mean(rows, 0), [width, channels]), 0)
    mean = tf.tile(mean, [width])
    result = tf.clip_by_value((rows - mean) * factor + mean, 0.0, 255.0)
    return tf.reshape(result, image.shape)


def translate_rows(image: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Moves an image down by `shift` pixels, with reflected edges: float32 [height, width, channels], float32 []."""
    height, width, channels = image.shape
    index, weight = _interpolate(tf.range(height, dtype=tf.float32) - shift, height)
    rows, weight = tf.reshape(image, [height, width * channels]), weight[:, None]
    after = tf.minimum(index + 1, height - 1)
    result = (1 - weight) * tf.gather(rows, index) + weight * tf.gather(rows, after)
    return tf.reshape(result, image.shape)


def translate_columns(image: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Moves an image to the right by `shift` pixels, as `translate_rows` moves it down."""
    height, width, channels = image.shape
    index, weight = _interpolate(tf.range(width, dtype=tf.float32) - shift, width)
    before, after = (
        tf.reshape(tf.gather(image, columns, axis=1), [height, width * channels])
        for columns in (index, tf.minimum(index + 1, width - 1))
    )
    weight = tf.repeat(weight, channels)
    return tf.reshape((1 - weight) * before + weight * after, image.shape)


def _interpolate(place, size):
    """Returns the pixel before each place, reflected at the edges, and the weight of the pixel after it.

    As `ImageProjectiveTransformV3` with fill_mode="reflect" does: (d c b a | a b c d | d c b a).
    """
    period = 2.0 * size
    place = tf.where(place < 0, -place - 1, place)
    place = tf.math.floormod(place, period)
    place = tf.where(place > size - 1, tf.where(place >= size, period - place - 1, place), place)
    place = tf.clip_by_value(place, 0.0, size - 1.0)
    index = tf.floor(place)
    return tf.cast(index, tf.int32), place - index
