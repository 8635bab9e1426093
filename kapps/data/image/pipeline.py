"""Datasets of image batches: decode, crop, resize, augment, normalise.

    source = open_source(None, "data/flowers")
    train = train_dataset(source, card.preprocessing, 128, classes=len(source.class_names))

A run repeats exactly, regardless of the order of the threads: the order of the images depends on (seed, epoch), the
augmentation of an image on (seed, epoch, its position in the epoch), and MixUp and CutMix on (seed, number of the
batch).
"""

import numpy as np
import tensorflow as tf

from kapps.data.errors import DataError, SkippedImages, checked_data
from kapps.data.image import augment, decode_image
from kapps.data.image._chunks import decode_chunks
from kapps.data.image._order import CACHE_BYTES, evaluated_images, ordered_images
from kapps.data.image._service_chunks import ServiceImages
from kapps.data.image.dataset_checks import check_arguments, check_classes
from kapps.data.image.random_crop import random_crop
from kapps.data.image.source import Source
from kapps.preprocessing import Preprocessing

AUGMENTATIONS = {
    "imagenet": {"augmentation": "imagenet", "flip": True},  # random resized crop
    "cifar": {"augmentation": "cifar", "flip": True},  # pad by an eighth and crop
    "shift": {
        "augmentation": "cifar",
        "flip": False,
    },  # "cifar" for images that must not be mirrored
    "none": {"augmentation": "none", "flip": False},
}
"""Arguments of `train_dataset` for each value of a recipe's --augmentation."""
_CROPS = ("imagenet", "cifar", "none")


@checked_data
def steps_per_epoch(source: Source, batch_size: int) -> int:
    """Returns the number of batches of `train_dataset` in an epoch.

    Raises:
        DataError: the batch is larger than the dataset.
    """
    if batch_size > source.examples:
        raise DataError(
            f"batch_size={batch_size} is more than the {source.examples} training images"
        )
    return source.examples // batch_size


@checked_data
def train_dataset(
    source: Source,
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    classes: int,
    seed: int = 0,
    augmentation: str = "imagenet",
    crop_area: tuple[float, float] = (0.08, 1.0),
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
    flip: bool = True,
    randaugment: bool | float = False,
    mixup: float = 0.0,
    cutmix: float = 0.0,
    label_smoothing: float = 0.0,
    channels: int = 3,
    strict: bool = False,
    skipped: SkippedImages | None = None,
    first_step: int = 0,
    shard: tuple[int, int] = (0, 1),
    cache_bytes: int = CACHE_BYTES,
    data_service: str | None = None,
) -> tf.data.Dataset:
    """Returns an endless dataset of full batches for training. `steps_per_epoch` of them are an epoch.

    Args:
        source: the images, from `open_source`.
        preprocessing: the model's. "imagenet" uses its size and normalisation, and always resizes bilinearly.
        batch_size: images per batch, of all workers together.
        classes: number of classes of the model. It must be the number of classes of the source.
        seed: seed of the order and of the augmentation.
        augmentation: "imagenet" (a random resized crop), "cifar" (pad by an eighth and crop) or "none".
        crop_area: smallest and largest fraction of an image's area that "imagenet" keeps.
        crop_ratio: smallest and largest width divided by height of the crop of "imagenet".
        flip: whether images are mirrored left to right with probability 0.5.
        randaugment: `True` or a strength in (0, 1] for RandAugment. It needs keras_cv and three channels.
        mixup: alpha of MixUp; 0 for no MixUp.
        cutmix: alpha of CutMix. If both are positive, each batch uses one of them.
        label_smoothing: part of a label that is distributed equally over all classes, in [0, 1).
        channels: 3, or 1 for grey.
        strict: whether an image that cannot be decoded stops the run. By default it is skipped.
        skipped: records the images that are skipped.
        first_step: number of the first batch, to resume an interrupted run. Pass the `skipped` of that run too.
        shard: (i, n) for worker i of n: each batch is the i-th part of the batch of a single worker. Every worker reads
            all images and decodes its own.
        cache_bytes: the encoded images are kept in memory if their size is at most this.
        data_service: HOST:PORT of the dispatcher of a tf.data service (`python -m kapps.data.service`), whose workers
            read and decode the images. They need the data at the same paths. The batches are the same.

    Returns:
        Batches of (images, labels): float32 [batch_size / n, height, width, channels], normalised; float32
        [batch_size / n, classes], one-hot.

    Raises:
        DataError: source and options do not match. Iteration raises `tf.errors.OpError` if a shard cannot be read, or
            an image if `strict`. `explain_errors` converts it to a `DataError`.
    """
    check_arguments(source, preprocessing, batch_size, classes, channels)
    check_classes(source)
    if augmentation not in _CROPS:
        raise DataError(f"augmentation {augmentation!r}: choose one of {', '.join(_CROPS)}")
    if randaugment and channels != 3:
        raise DataError(f"RandAugment needs 3 channels, not {channels}")
    magnitude = 0.5 if randaugment is True else float(randaugment)
    rand_augment = augment.make_rand_augment(magnitude) if randaugment else None
    skipped = skipped or SkippedImages()
    order = {
        "seed": int(seed), "skipped": skipped, "first_step": first_step, "shard": shard, "cache_bytes": cache_bytes,
    }  # fmt: skip
    worker_batch_size = batch_size // shard[1]

    def decode(image_format, encoded, orientation, seed, _):
        crop_seed = augment.fold_in(seed, 0)
        if augmentation == "imagenet":
            image = random_crop(
                image_format, encoded, orientation, crop_seed, preprocessing, channels, crop_area, crop_ratio
            )  # fmt: skip
        else:
            image = decode_image.decode_format(image_format, encoded, orientation, channels)
            image = decode_image.to_uint8(decode_image.resize_and_crop(image, preprocessing))
            if augmentation == "cifar":
                image = augment.random_shift(image, crop_seed)
        return augment.random_flip(image, augment.fold_in(seed, 1)) if flip else image

    def augment_chunk(images, labels, seeds):
        if rand_augment is not None:
            images = tf.map_fn(
                lambda x: rand_augment(tf.cast(x[0], tf.float32), augment.fold_in(x[1], 2)),
                (images, seeds),
                fn_output_signature=tf.float32,
            )
        return images, labels

    def finish_batch(number, batch):
        images, labels = batch
        images = normalise(images, preprocessing, channels)
        labels = tf.one_hot(labels, classes) * (1 - label_smoothing) + label_smoothing / classes
        batch_seed = tf.stack([tf.constant(seed, tf.int64), number])
        return augment.mix_batch(images, labels, batch_seed, mixup, cutmix)

    image_spec = tf.TensorSpec([*preprocessing.size, channels], tf.uint8)
    if data_service is None:
        images = ordered_images(source, batch_size, **order)
        dataset = decode_chunks(images, decode, image_spec, augment_chunk, source, skipped, strict)
    else:
        images = ServiceImages(
            source, decode, image_spec, augment_chunk, batch_size=batch_size, strict=strict, **order
        )
        dataset = images.dataset(data_service)
    dataset = dataset.rebatch(worker_batch_size, drop_remainder=True).enumerate(first_step)
    dataset = dataset.map(finish_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    image_shape = [worker_batch_size, *preprocessing.size, channels]
    return finish_dataset(dataset, image_shape, [worker_batch_size, classes])


@checked_data
def eval_dataset(
    source: Source,
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    classes: int,
    channels: int = 3,
    strict: bool = False,
    skipped: SkippedImages | None = None,
    cache_bytes: int = CACHE_BYTES,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Returns a dataset of every image once, resized and cropped as `preprocessing` says.

    The shorter side is resized to `size / crop` with antialiasing, and the centre is cropped, as torchvision's `Resize`
    and `CenterCrop` do. The last batch may be smaller. Arguments, results and errors are those of `train_dataset`,
    except:

    Args:
        seed: `None` for the order of the source. With a number the images are shuffled, always in the same order, so
            that the first batches hold images of many classes.
    """
    check_arguments(source, preprocessing, batch_size, classes, channels)

    def decode(image_format, encoded, orientation, *_):
        return decode_image.decode_centre(
            image_format, encoded, orientation, preprocessing, channels
        )

    def finish_batch(images, labels):
        return normalise(images, preprocessing, channels), tf.one_hot(labels, classes)

    skipped = skipped or SkippedImages()
    images = evaluated_images(source, skipped, seed=seed, cache_bytes=cache_bytes)
    dataset = decode_chunks(
        images,
        decode,
        tf.TensorSpec([*preprocessing.size, channels], tf.float32),
        lambda images, labels, _: (images, labels),
        source,
        skipped,
        strict,
    )
    dataset = dataset.rebatch(batch_size).map(finish_batch, tf.data.AUTOTUNE, deterministic=True)
    return finish_dataset(dataset, [None, *preprocessing.size, channels], [None, classes])


@checked_data
def take_images(dataset: tf.data.Dataset, count: int) -> np.ndarray:
    """Returns the first `count` images of a dataset of batches (images, labels), or all if there are fewer.

    Returns:
        [count, height, width, channels].
    """
    return next(iter(dataset.unbatch().batch(count)))[0].numpy()


def finish_dataset(
    dataset: tf.data.Dataset, image_shape: list[int | None], label_shape: list[int | None]
) -> tf.data.Dataset:
    """Sets the static shapes of the batches and the options of the dataset, and prefetches."""

    def set_shapes(images, labels):
        images = tf.ensure_shape(images, image_shape)
        return images, tf.ensure_shape(labels, label_shape)

    options = tf.data.Options()
    options.deterministic = True
    # Workers share the images rather than the files, because there may be fewer files than workers.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.map(set_shapes).with_options(options).prefetch(tf.data.AUTOTUNE)


def normalise(images: tf.Tensor, preprocessing: Preprocessing, channels: int) -> tf.Tensor:
    """Returns (pixels * scale - mean) / std as float32 of the same shape, blue first if the network takes them so."""
    mean, std = (np.asarray(values, np.float32) for values in preprocessing.channels(channels))
    # Normalises a row of an image at a time. A broadcast over three values takes several times as long.
    width = preprocessing.size[1]
    factor, offset = np.tile(preprocessing.scale / std, width), np.tile(-mean / std, width)
    rows = tf.cast(tf.reshape(images, [-1, width * channels]), tf.float32)
    normalised = rows * factor.astype(np.float32) + offset.astype(np.float32)
    return preprocessing.ordered(tf.reshape(normalised, tf.shape(images)))
