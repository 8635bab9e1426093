"""The order of the images: that of training repeats exactly, also for a resumed run and for each of several workers."""

from collections.abc import Callable

import tensorflow as tf

from kapps.data.errors import DataError, SkippedImages
from kapps.data.image.source import Source

CACHE_BYTES = 2**30
"""Largest size of encoded images that are kept in memory, by default."""
_SHUFFLE_BYTES = 2**28
"""Size of the encoded images in a shuffle buffer, if the source is not cached."""


def shuffle_size(source: Source) -> int:
    """Returns the number of images in a shuffle buffer, if the source is not cached."""
    mean_bytes = max(1, source.bytes // source.examples)
    return min(source.examples, max(1024, _SHUFFLE_BYTES // mean_bytes))


def evaluated_images(
    source: Source, skipped: SkippedImages, *, seed: int | None, cache_bytes: int
) -> tf.data.Dataset:
    """Returns a dataset of (name, encoded image, label, seed), with every image once; the seeds are zeros.

    Args:
        source: the images.
        skipped: the images that cannot be decoded. The source is added to it, for "evaluation".
        seed, cache_bytes: as for `kapps.data.eval_dataset`.
    """
    skipped.add_source(source, "evaluation")
    images = source.images(seed)
    if seed is not None:
        images = images.shuffle(shuffle_size(source), seed=seed, reshuffle_each_iteration=False)
    elif source.bytes <= cache_bytes:
        images = images.cache()
    unused_seed = tf.zeros([2], tf.int64)
    return images.map(lambda *image: (*image, unused_seed))


def shuffle_epoch(
    source: Source,
    read: Callable[[tf.Tensor | None], tf.data.Dataset],
    seed: int,
    number: tf.Tensor,
    cache_bytes: int,
) -> tf.data.Dataset:
    """Returns the images of an epoch, or their indices, in the order of the training.

    Args:
        source: the images.
        read: `source.images`, or `source.indices` for the indices only: a function of an optional seed.
        seed, cache_bytes: as for `kapps.data.train_dataset`.
        number: of the epoch, int64 [].
    """
    # A shuffle mixes the seed of its graph into its own. A fixed seed makes the order independent of the program's
    # global seed. It must not be 0, which fails together with a seed in a tensor.
    tf.random.set_seed(1)
    seeds = tf.random.stateless_uniform([2], [seed, number], 0, 2**62, tf.int64)
    is_cached = source.bytes <= cache_bytes
    items = read(None if is_cached else seeds[0])
    if not is_cached and source.kind == "folder":  # its paths are shuffled before they are read
        return items
    size = source.examples if is_cached else shuffle_size(source)
    return items.shuffle(size, seed=seeds[1], reshuffle_each_iteration=False)


def image_seed(seed: int, epoch: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """Returns the seed of the augmentation of an image, int64 [2], by its epoch and its position in the epoch."""
    return tf.stack([tf.constant(seed, tf.int64), epoch * 2**32 + position])


def ordered_images(
    source: Source,
    batch_size: int,
    *,
    seed: int,
    skipped: SkippedImages,
    first_step: int,
    shard: tuple[int, int],
    cache_bytes: int,
) -> tf.data.Dataset:
    """Returns an endless dataset of (name, encoded image, label, seed), with the images of every epoch shuffled.

    The order depends on (seed, epoch), and the seed of an image, int64 [2], on (seed, epoch, its position in the
    epoch).

    Args:
        source: the images.
        batch_size, seed, first_step, shard, cache_bytes: as for `kapps.data.train_dataset`.
        skipped: the images that cannot be decoded. The source is added to it, for "training".

    Raises:
        DataError: the batch size is not divisible by the number of workers.
    """
    worker, workers = shard
    if batch_size % workers:
        raise DataError(f"batch_size={batch_size} is not divisible by {workers} workers")
    cached = source.images().cache() if source.bytes <= cache_bytes else None
    skipped.add_source(source, "training")
    skipped_names = tf.constant(skipped.names_of(source.split), tf.string)
    worker_batch_size, first_image = batch_size // workers, first_step * batch_size
    decodable = max(1, source.examples - len(skipped.names_of(source.split)))
    first_epoch, images_done = divmod(first_image, decodable)

    def read(seed):
        return source.images(seed) if cached is None else cached

    def epoch(number):
        images = shuffle_epoch(source, read, seed, number, cache_bytes)
        return images.enumerate().map(
            lambda position, image: (*image, image_seed(seed, number, position))
        )

    def is_of_this_worker(name, encoded, label, seed):  # noqa: ARG001
        position = seed[1] // 2**32 * source.examples + seed[1] % 2**32
        return position >= first_image and position % batch_size // worker_batch_size == worker

    def is_not_skipped(name, encoded, label, seed):  # noqa: ARG001
        return tf.reduce_all(name != skipped_names)

    if workers > 1:
        dataset = tf.data.Dataset.counter(first_image // source.examples).flat_map(epoch)
        return dataset.filter(is_of_this_worker)
    dataset = tf.data.Dataset.counter(first_epoch).flat_map(epoch)
    if first_image:
        dataset = dataset.filter(is_not_skipped).skip(images_done)
    return dataset
