"""Augmentation whose random numbers depend only on a seed that the caller passes, so that it repeats exactly.

A seed is an int64 tensor of shape [2]. RandAugment is keras_cv's. Its layers take random numbers from generators with a
state, which parallel threads would advance in any order. Here they take them from the seed. MixUp and CutMix are
written here, because keras_cv's use unseeded operations that cannot be replaced from outside.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from kapps import _keras_compat
from kapps.data.image import _augment_operations

fold_in = tf.random.fold_in


def sample_crop_window(
    shape: tf.Tensor, seed: tf.Tensor, area: tuple[float, float], ratio: tuple[float, float]
) -> tf.Tensor:
    """Samples the window of a random resized crop (arXiv:1409.4842).

    Args:
        shape: int32 [3], shape of the image.
        seed: int64 [2].
        area: smallest and largest fraction of the image's area.
        ratio: smallest and largest width divided by height.

    Returns:
        int32 [4]: y, x, height, width. The window is the whole image if no window fits after ten attempts.
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


def random_flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors an image left to right with probability 0.5: [height, width, channels] of any type."""
    mirror = tf.random.stateless_uniform([], seed) < 0.5
    return tf.cond(mirror, lambda: tf.reverse(image, [1]), lambda: image)


def random_shift(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Pads an image by an eighth with zeros and crops it at random to its size, as is usual for CIFAR.

    Args:
        image: [height, width, channels], a static shape.
        seed: int64 [2].
    """
    height, width, channels = image.shape
    y, x = height // 8, width // 8
    padded = tf.pad(image, [[y, y], [x, x], [0, 0]])
    return tf.image.stateless_random_crop(padded, [height, width, channels], seed)


class _SeededGenerator:
    """Replaces a `tf.random.Generator`: each call in a graph folds its number into the seed."""

    def __init__(self):
        self.seed, self.count = None, 0

    def _next_seed(self):
        self.count += 1
        return fold_in(self.seed, self.count)

    def uniform(self, shape, minval=0, maxval=None, dtype=tf.float32):
        return tf.random.stateless_uniform(shape, self._next_seed(), minval, maxval, dtype)

    def normal(self, shape, mean=0.0, stddev=1.0, dtype=tf.float32):
        return tf.random.stateless_normal(shape, self._next_seed(), mean, stddev, dtype)


def make_rand_augment(
    magnitude: float = 0.5, layers: int = 2
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Makes keras_cv's RandAugment (arXiv:1909.13719) a function of an image and a seed.

    Args:
        magnitude: strength, in [0, 1].
        layers: number of operations that are applied to an image.

    Returns:
        A function of (image, seed), float32 [height, width, 3] in [0, 255] and int64 [2], that returns an image of the
        same shape and range. It is for use in a graph.
    """
    import keras_cv  # slow to import, and only RandAugment needs it

    generator = _SeededGenerator()

    class Sampler(keras_cv.core.FactorSampler):
        """Samples from the distribution of another sampler, with `generator`."""

        def __init__(self, sampler):
            self.sampler = sampler

        def __call__(self, shape=(), dtype=tf.float32):
            sampler = self.sampler
            if isinstance(sampler, keras_cv.core.NormalFactorSampler):
                sample = generator.normal(shape, sampler.mean, sampler.stddev, dtype)
                return tf.clip_by_value(sample, sampler.min_value, sampler.max_value)
            return generator.uniform(shape, sampler.lower, sampler.upper, dtype)

    def replace_generators(layer):
        _keras_compat.set_random_generator(layer, generator)
        samplers = keras_cv.core.NormalFactorSampler | keras_cv.core.UniformFactorSampler
        for name, value in list(vars(layer).items()):
            if isinstance(value, samplers):
                setattr(layer, name, Sampler(value))

    # With a seed, the layers do not create generators from the global one. The seed itself is not used.
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")  # images are float32 in mixed precision too
    try:
        rand_augment = keras_cv.layers.RandAugment(
            value_range=(0, 255), augmentations_per_image=layers, magnitude=magnitude, seed=0
        )
    finally:
        keras.config.set_dtype_policy(policy)
    for layer in (rand_augment, _keras_compat.random_choice(rand_augment), *rand_augment.layers):
        replace_generators(layer)
    for layer in rand_augment.layers:
        _augment_operations.install(layer)

    def augment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        generator.seed, generator.count = seed, 0
        return tf.ensure_shape(rand_augment(image), image.shape)

    return augment


def mix_batch(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, mixup: float = 0.0, cutmix: float = 0.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes a batch with itself in another order, by MixUp (arXiv:1710.09412) or CutMix (arXiv:1905.04899).

    Args:
        images: float32 [batch, height, width, channels].
        labels: float32 [batch, classes].
        seed: int64 [2].
        mixup: alpha of the Beta distribution of MixUp, which is sampled for each image; 0 for no MixUp.
        cutmix: alpha of CutMix. If both are positive, each batch uses one of them, with probability 0.5.

    Returns:
        Images and labels of the same shapes.
    """
    if mixup > 0 and cutmix > 0:
        use_mixup = tf.random.stateless_uniform([], fold_in(seed, 0)) < 0.5
        return tf.cond(
            use_mixup,
            lambda: mix_batch(images, labels, fold_in(seed, 1), mixup=mixup),
            lambda: mix_batch(images, labels, fold_in(seed, 1), cutmix=cutmix),
        )
    if mixup <= 0 and cutmix <= 0:
        return images, labels
    batch, height, width = images.shape[:3]
    order = tf.random.experimental.stateless_shuffle(tf.range(batch), fold_in(seed, 1))
    other_images, other_labels = tf.gather(images, order), tf.gather(labels, order)
    if mixup > 0:
        weight = _sample_beta(mixup, batch, fold_in(seed, 2))[:, None, None, None]
    else:
        # A rectangle of (1 - sample) of the image's area around a random centre, cut off at the image's edges.
        side = tf.sqrt(1 - _sample_beta(cutmix, batch, fold_in(seed, 2)))[:, None]
        centre = tf.random.stateless_uniform([2, batch, 1], fold_in(seed, 3))
        rows = tf.abs((tf.range(height, dtype=tf.float32) + 0.5) / height - centre[0]) < side / 2
        columns = tf.abs((tf.range(width, dtype=tf.float32) + 0.5) / width - centre[1]) < side / 2
        weight = 1 - tf.cast(rows[:, :, None] & columns[:, None, :], tf.float32)[..., None]
    images = weight * images + (1 - weight) * other_images
    weight = tf.reduce_mean(weight, axis=[1, 2, 3])[:, None]
    return images, weight * labels + (1 - weight) * other_labels


def _sample_beta(alpha: float, batch: int, seed: tf.Tensor) -> tf.Tensor:
    """Samples [batch] numbers from Beta(alpha, alpha), from two gamma variates."""
    first, second = tf.unstack(tf.random.stateless_gamma([2, batch], seed, alpha))
    # For a small alpha both may underflow to 0. The distribution is then close to 0 or 1 with equal probability.
    return tf.where(first + second > 0, first / tf.maximum(first + second, 1e-37), 1.0)
