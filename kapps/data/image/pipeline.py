"""Images to batches: decode, crop, resize, augment, normalise.

    source = open_source(None, "data/flowers")
    train = train_dataset(source, card.preprocessing, 128, classes=len(source.class_names))

The order of images comes from (seed, epoch), what is drawn for one from (seed, epoch, its place
in the epoch), and what is drawn for a batch from (seed, the batch's number): a run repeats exactly,
whatever the threads do.
"""

import numpy as np
import tensorflow as tf

from kapps.cards import Preprocessing
from kapps.data.errors import DataError, SkippedImages
from kapps.data.image import augment, decode_image
from kapps.data.image._chunks import CHUNK, decode_chunks
from kapps.data.image.source import Source

AUGMENTATIONS = {
    "imagenet": {"augmentation": "imagenet", "flip": True},  # random resized crop
    "cifar": {"augmentation": "cifar", "flip": True},  # pad by an eighth and crop
    "shift": {"augmentation": "cifar", "flip": False},  # the same for what has a left and a right
    "none": {"augmentation": "none", "flip": False},
}
"""What a recipe's --augmentation names: arguments of `train_dataset`."""
_CROPS = ("imagenet", "cifar", "none")
_CACHE = 2**30  # bytes of encoded images that are kept in memory
_SHUFFLE = 2**28  # bytes of encoded images that a shuffle looks over where they are not kept


def steps_per_epoch(source: Source, batch_size: int) -> int:
    """Returns how many batches of `train_dataset` an epoch is; `DataError` where the images fill none."""
    if batch_size > source.examples:
        raise DataError(
            f"batch_size={batch_size} is more than the {source.examples} training images"
        )
    return source.examples // batch_size


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
    cache_bytes: int = _CACHE,
) -> tf.data.Dataset:
    """Returns endless full batches for training, of which `steps_per_epoch` make an epoch.

    Args:
        source: what `open_source` returned.
        preprocessing: the model's; "imagenet" uses its size and normalisation, and resizes
            bilinearly.
        batch_size: images a batch, over all shards.
        classes: the model's, which must be the source's.
        seed: settles the order and every draw.
        augmentation: "imagenet" crops at random and resizes, "cifar" pads by an eighth and crops,
            "none".
        crop_area: least and greatest share of an image that "imagenet" keeps.
        crop_ratio: least and greatest width over height of what it keeps.
        flip: whether half of the images are mirrored left to right.
        randaugment: True, or a strength in (0, 1], for RandAugment; it needs keras_cv and three
            channels.
        mixup: alpha of MixUp's Beta distribution, 0 for none.
        cutmix: alpha of CutMix's; with both, a batch goes through one or the other.
        label_smoothing: share of a label that is spread over all classes, in [0, 1).
        channels: 3, or 1 for grey.
        strict: whether an image that cannot be decoded stops the run, rather than being skipped.
        skipped: counts and names the images that were skipped.
        first_step: the batch to begin with, as a run that was interrupted does. The images that
            `skipped` knows already are counted as the run from the start counted them.
        shard: (i, n), for the i-th of n workers: each batch is the i-th part of the global one, so
            that n workers see together what one would see alone. Every worker reads all the
            images, and decodes its own.
        cache_bytes: a source whose encoded images take no more is kept in memory.

    Returns:
        Batches of (float32 [batch_size / n, h, w, channels], normalised; float32 [batch_size / n,
        classes], one-hot).

    Raises:
        DataError: for a source or options that do not fit. Iterating raises `tf.errors.OpError` for
            a shard that cannot be read, and for a bad image where `strict`: `explain_errors` puts those
            in one line.
    """
    _check(source, preprocessing, batch_size, classes, channels)
    if augmentation not in _CROPS:
        raise DataError(f"augmentation {augmentation!r}: choose one of {', '.join(_CROPS)}")
    if not 0 <= label_smoothing < 1 or mixup < 0 or cutmix < 0:
        raise DataError(
            f"label_smoothing={label_smoothing}, mixup={mixup}, cutmix={cutmix}:"
            " the first lies in [0, 1), the others are not negative"
        )
    index, workers = shard
    if batch_size % workers:
        raise DataError(f"batch_size={batch_size} does not divide among {workers} workers")
    if randaugment and channels != 3:
        raise DataError(f"RandAugment works on 3 channels, not {channels}")
    magnitude = 0.5 if randaugment is True else float(randaugment)
    policy = augment.rand_augment(magnitude) if randaugment else None
    seed = int(seed)
    keep = source.bytes <= cache_bytes
    kept = source.images().cache() if keep else None
    window = source.examples if keep else _window(source)
    skipped = skipped or SkippedImages()
    bad = tf.constant(skipped.names, tf.string)
    share, first = batch_size // workers, first_step * batch_size
    first_epoch, images_done = divmod(first, max(1, source.examples - len(skipped.names)))

    def epoch(number):
        # Of this function's graph alone: a shuffle mixes it into its own seed, and the program's
        # global seed must not settle the order (nor may it be 0, which a seed in a tensor trips on).
        tf.random.set_seed(1)
        order = tf.random.stateless_uniform([2], [seed, number], 0, 2**62, tf.int64)
        images = kept if keep else source.images(order[0])
        if keep or source.kind != "folder":  # a folder's names are shuffled before they are read
            images = images.shuffle(window, seed=order[1], reshuffle_each_iteration=False)
        return images.enumerate().map(
            lambda place, image: (
                *image,
                tf.stack([tf.constant(seed, tf.int64), number * 2**32 + place]),
            )
        )

    def mine(name, encoded, label, seed):  # noqa: ARG001
        position = seed[1] // 2**32 * source.examples + seed[1] % 2**32
        return position >= first and position % batch_size // share == index

    def good(name, encoded, label, seed):  # noqa: ARG001
        return tf.reduce_all(name != bad)

    def image(encoded, seed):
        if augmentation == "imagenet":
            cropped = decode_image.random_crop(
                encoded, augment.fold(seed, 0), preprocessing, channels, crop_area, crop_ratio
            )
        else:
            cropped = decode_image.to_uint8(
                decode_image.resize_and_crop(decode_image.decode(encoded, channels), preprocessing)
            )
            if augmentation == "cifar":
                cropped = augment.shift(cropped, augment.fold(seed, 0))
        return augment.flip(cropped, augment.fold(seed, 1)) if flip else cropped

    def augmented(images, labels, seeds):
        if policy is not None:
            images = tf.map_fn(
                lambda pair: policy(tf.cast(pair[0], tf.float32), augment.fold(pair[1], 2)),
                (images, seeds),
                fn_output_signature=tf.float32,
            )
        return images, labels

    def batch(number, data):
        images = _normalise(data[0], preprocessing, channels)
        labels = tf.one_hot(data[1], classes) * (1 - label_smoothing) + label_smoothing / classes
        return augment.mix_batch(
            images, labels, tf.stack([tf.constant(seed, tf.int64), number]), mixup, cutmix
        )

    parallel = {"num_parallel_calls": tf.data.AUTOTUNE, "deterministic": True}
    if workers > 1:
        dataset = tf.data.Dataset.counter(first // source.examples).flat_map(epoch).filter(mine)
    else:
        dataset = tf.data.Dataset.counter(first_epoch).flat_map(epoch)
        dataset = dataset.filter(good).skip(images_done) if first else dataset
    dataset = decode_chunks(dataset.batch(CHUNK), image, augmented, source, skipped, strict)
    dataset = dataset.rebatch(share, drop_remainder=True).enumerate(first_step)
    return _finished(dataset.map(batch, **parallel), share, preprocessing, channels, classes)


def eval_dataset(
    source: Source,
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    classes: int,
    channels: int = 3,
    strict: bool = False,
    skipped: SkippedImages | None = None,
    cache_bytes: int = _CACHE,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Returns every image once, as `preprocessing` says.

    The shorter side becomes `size / crop`, antialiased, and the centre is kept: torchvision's
    Resize and CenterCrop. The last batch holds what is left. Arguments, results and errors are
    those of `train_dataset`, but for `seed`: None for always the same order, or a number that settles
    one in which the classes are mixed, for who takes a few.
    """
    _check(source, preprocessing, batch_size, classes, channels)

    def image(encoded, _):
        return decode_image.resize_and_crop(decode_image.decode(encoded, channels), preprocessing)

    def batch(images, labels):
        return _normalise(images, preprocessing, channels), tf.one_hot(labels, classes)

    if seed is None:
        dataset = source.images()
        dataset = dataset.cache() if source.bytes <= cache_bytes else dataset
    else:
        dataset = source.images(seed)
        dataset = dataset.shuffle(_window(source), seed=seed, reshuffle_each_iteration=False)
    dataset = dataset.map(lambda *values: (*values, tf.zeros([2], tf.int64))).batch(CHUNK)
    dataset = decode_chunks(
        dataset,
        image,
        lambda images, labels, _: (images, labels),
        source,
        skipped or SkippedImages(),
        strict,
    )
    dataset = dataset.rebatch(batch_size).map(batch, tf.data.AUTOTUNE, deterministic=True)
    return _finished(dataset, None, preprocessing, channels, classes)


def take_images(dataset: tf.data.Dataset, count: int) -> np.ndarray:
    """Returns the first images of batches of (images, labels): [count, h, w, c], or all where there are fewer."""
    return next(iter(dataset.unbatch().batch(count)))[0].numpy()


def _window(source: Source) -> int:
    """Returns how many images a shuffle looks over where they are not kept."""
    mean_bytes = max(1, source.bytes // source.examples)
    return min(source.examples, max(1024, _SHUFFLE // mean_bytes))


def _check(source, preprocessing, batch_size, classes, channels) -> None:
    if len(source.class_names) != classes:
        raise DataError(
            f"{source.name} has {len(source.class_names)} classes and the model {classes}:"
            f" build the model with classes={len(source.class_names)}, or give other data"
        )
    if channels not in (1, 3):
        raise DataError(f"channels={channels}: choose 1 or 3")
    if batch_size < 1:
        raise DataError(f"batch_size={batch_size}: at least 1")
    if preprocessing.interpolation not in decode_image.KERNELS:
        raise DataError(
            f"interpolation {preprocessing.interpolation!r}:"
            f" choose one of {', '.join(decode_image.KERNELS)}"
        )


def _finished(dataset, batch_size, preprocessing, channels, classes) -> tf.data.Dataset:
    def shaped(images, labels):
        images = tf.ensure_shape(images, [batch_size, *preprocessing.size, channels])
        return images, tf.ensure_shape(labels, [batch_size, classes])

    options = tf.data.Options()
    options.deterministic = True
    # Several workers share the images rather than the files: there may be fewer files than
    # workers.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.map(shaped).with_options(options).prefetch(tf.data.AUTOTUNE)


def _normalise(images: tf.Tensor, preprocessing: Preprocessing, channels: int) -> tf.Tensor:
    """(pixels * scale - mean) / std, as float32 of the same shape."""
    mean, std = (np.asarray(values, np.float32) for values in preprocessing.channels(channels))
    # One row of an image at a time: over three values a broadcast takes several times as long.
    width = preprocessing.size[1]
    factor, shift = np.tile(preprocessing.scale / std, width), np.tile(-mean / std, width)
    rows = tf.cast(tf.reshape(images, [-1, width * channels]), tf.float32)
    return tf.reshape(rows * factor.astype(np.float32) + shift.astype(np.float32), tf.shape(images))
