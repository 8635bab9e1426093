"""Augmentation that repeats under any parallelism: every draw comes from a seed that is handed in.

A seed is an int64 tensor of shape [2]. RandAugment is keras_cv's; its layers draw from generators
with a state, which threads would advance in whatever order they come, so here each of them draws
from the seed instead. MixUp and CutMix are written out: keras_cv's take theirs from unseeded
operations that nothing outside can replace.
"""

from collections.abc import Callable

import tensorflow as tf

from kapps import _keras_compat

fold = tf.random.fold_in


def crop_window(
    shape: tf.Tensor, seed: tf.Tensor, area: tuple[float, float], ratio: tuple[float, float]
) -> tf.Tensor:
    """Draws the window of a random resized crop (arXiv:1409.4842), the whole where none fits.

    Args:
        shape: int32 [3], the image's.
        seed: int64 [2].
        area: least and greatest share of the image.
        ratio: least and greatest width over height.

    Returns:
        int32 [4]: y, x, height, width.
    """
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed,
        min_object_covered=0.0,
        aspect_ratio_range=ratio,
        area_range=area,
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], size[:2]], 0)


def flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors half of the images left to right: [h, w, c] of any type."""
    mirror = tf.random.stateless_uniform([], seed) < 0.5
    return tf.cond(mirror, lambda: tf.reverse(image, [1]), lambda: image)


def shift(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Pads by an eighth with black and crops back at random, for CIFAR: [h, w, c], all static."""
    height, width, channels = image.shape
    y, x = height // 8, width // 8
    padded = tf.pad(image, [[y, y], [x, x], [0, 0]])
    return tf.image.stateless_random_crop(padded, [height, width, channels], seed)


class _Draws:
    """Stands in for a `tf.random.Generator`: folds the number of a draw in the graph into a seed."""

    def __init__(self):
        self.seed, self.count = None, 0

    def _next(self):
        self.count += 1
        return fold(self.seed, self.count)

    def uniform(self, shape, minval=0, maxval=None, dtype=tf.float32):
        return tf.random.stateless_uniform(shape, self._next(), minval, maxval, dtype)

    def normal(self, shape, mean=0.0, stddev=1.0, dtype=tf.float32):
        return tf.random.stateless_normal(shape, self._next(), mean, stddev, dtype)


def rand_augment(
    magnitude: float = 0.5, layers: int = 2
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Makes keras_cv's RandAugment (arXiv:1909.13719) a function of an image and a seed.

    Args:
        magnitude: strength, in [0, 1].
        layers: how many operations an image goes through.

    Returns:
        A function of (float32 [h, w, 3] in [0, 255], int64 [2]) that gives such an image, for use
        in a graph.
    """
    import keras_cv  # slow to import, and only RandAugment needs it

    draws = _Draws()

    class Sampler(keras_cv.core.FactorSampler):
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, shape=(), dtype=tf.float32):
            f = self.factor
            if isinstance(f, keras_cv.core.NormalFactorSampler):
                drawn = draws.normal(shape, f.mean, f.stddev, dtype)
                return tf.clip_by_value(drawn, f.min_value, f.max_value)
            return draws.uniform(shape, f.lower, f.upper, dtype)

    def redirect(layer):
        _keras_compat.set_random_generator(layer, draws)
        for name, value in list(vars(layer).items()):
            if isinstance(
                value, keras_cv.core.NormalFactorSampler | keras_cv.core.UniformFactorSampler
            ):
                setattr(layer, name, Sampler(value))

    # The seed here only keeps the layers from making generators of their own from the global one.
    layer = keras_cv.layers.RandAugment(
        value_range=(0, 255), augmentations_per_image=layers, magnitude=magnitude, seed=0
    )
    for part in (layer, _keras_compat.random_choice(layer), *layer.layers):
        redirect(part)

    def augment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        draws.seed, draws.count = seed, 0
        return tf.ensure_shape(layer(image), image.shape)

    return augment


def mix_batch(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, mixup: float = 0.0, cutmix: float = 0.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """MixUp (arXiv:1710.09412) or CutMix (arXiv:1905.04899) of a batch with itself, reordered.

    Args:
        images: float32 [B, h, w, c].
        labels: float32 [B, classes].
        seed: int64 [2].
        mixup: alpha of the Beta distribution that shares are drawn from, one an image; 0 for none.
        cutmix: likewise; where both are given, a coin is tossed for each batch.

    Returns:
        Images and labels of the same shapes.
    """
    if mixup > 0 and cutmix > 0:
        coin = tf.random.stateless_uniform([], fold(seed, 0)) < 0.5
        return tf.cond(
            coin,
            lambda: mix_batch(images, labels, fold(seed, 1), mixup=mixup),
            lambda: mix_batch(images, labels, fold(seed, 1), cutmix=cutmix),
        )
    if mixup <= 0 and cutmix <= 0:
        return images, labels
    batch, height, width = images.shape[:3]
    order = tf.random.experimental.stateless_shuffle(tf.range(batch), fold(seed, 1))
    others, other_labels = tf.gather(images, order), tf.gather(labels, order)
    if mixup > 0:
        share = _beta(mixup, batch, fold(seed, 2))[:, None, None, None]
    else:
        # A rectangle of (1 - share) of the area around a random centre; what lies outside the
        # image is cut off.
        side = tf.sqrt(1 - _beta(cutmix, batch, fold(seed, 2)))[:, None]
        centre = tf.random.stateless_uniform([2, batch, 1], fold(seed, 3))
        rows = tf.abs((tf.range(height, dtype=tf.float32) + 0.5) / height - centre[0]) < side / 2
        columns = tf.abs((tf.range(width, dtype=tf.float32) + 0.5) / width - centre[1]) < side / 2
        share = 1 - tf.cast(rows[:, :, None] & columns[:, None, :], tf.float32)[..., None]
    images = share * images + (1 - share) * others
    share = tf.reduce_mean(share, axis=[1, 2, 3])[:, None]
    return images, share * labels + (1 - share) * other_labels


def _beta(alpha: float, batch: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws [batch] shares from Beta(alpha, alpha), by way of two gamma variates."""
    first, second = tf.unstack(tf.random.stateless_gamma([2, batch], seed, alpha))
    # Both may underflow to 0 at a small alpha, where the distribution is a coin toss between 0 and
    # 1.
    return tf.where(first + second > 0, first / tf.maximum(first + second, 1e-37), 1.0)
