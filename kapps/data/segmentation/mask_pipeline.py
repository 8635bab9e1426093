"""Datasets of batches of images and label maps: decode, scale, crop, mirror, change colours, normalise.

    source = open_masks(None, "data/camvid.zip", classes="camvid.csv", void=11)
    train = train_dataset(source, preprocessing, 8)

Order, random numbers, resumption, workers and images that cannot be decoded are those of `kapps.data.train_dataset`. A
mask is the last channel of its image until the batch is complete, so that both are always processed alike.
"""

import contextlib
import dataclasses
import functools

import numpy as np
import tensorflow as tf

from kapps.data.errors import DataError, SkippedImages, checked_data, explain_errors
from kapps.data.image import augment, decode_image
from kapps.data.image._chunks import decode_chunks
from kapps.data.image._order import CACHE_BYTES, evaluated_images, ordered_images
from kapps.data.image.dataset_checks import check_arguments
from kapps.data.image.pipeline import finish_dataset, normalise
from kapps.data.segmentation.joint_augment import random_colours, random_scale_and_crop
from kapps.data.segmentation.label_maps import check_pair, decode_mask, explain_pair, mask_graph
from kapps.data.segmentation.mask_source import MaskSource
from kapps.preprocessing import Preprocessing

SEGMENTATION_AUGMENTATIONS = {
    "street": {"scale_range": (0.75, 2.0), "flip": True, "colours": 0.3},
    "digits": {"scale_range": (0.8, 1.25), "flip": False, "colours": 0.3},  # a mirrored digit is not a digit
    "flip": {"scale_range": (1.0, 1.0), "flip": True, "colours": 0.0},
    "none": {"scale_range": (1.0, 1.0), "flip": False, "colours": 0.0},
}  # fmt: skip
"""Arguments of `train_dataset` for each value of a recipe's --augmentation."""


@checked_data
def train_dataset(
    source: MaskSource,
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    seed: int = 0,
    scale_range: tuple[float, float] = (0.5, 2.0),
    flip: bool = True,
    colours: float = 0.0,
    channels: int = 3,
    strict: bool = False,
    skipped: SkippedImages | None = None,
    first_step: int = 0,
    shard: tuple[int, int] = (0, 1),
    cache_bytes: int = CACHE_BYTES,
) -> tf.data.Dataset:
    """Returns an endless dataset of full batches for training. `kapps.data.steps_per_epoch` of them are an epoch.

    An image and its mask are resized by the same random factor, cropped at the same random place and mirrored
    together. Where the resized image is smaller than the crop, the image is the mean of the preprocessing and the mask
    is void.

    Args:
        source: the images and masks, from `open_masks`.
        preprocessing: the model's; its size is that of the crop. Images are always resized bilinearly.
        batch_size: images per batch, of all workers together.
        seed: seed of the order and of the augmentation.
        scale_range: least and largest factor of the size of an image. At 1 it just covers the crop, as in evaluation.
        flip: whether images are mirrored left to right with probability 0.5.
        colours: brightness, contrast and saturation change by factors in 1 +- colours, in [0, 1].
        channels, strict, skipped, first_step, shard, cache_bytes: as for `kapps.data.train_dataset`. An image is also
            skipped if its mask cannot be decoded, or has another size.

    Returns:
        Batches of (images, label maps): float32 [batch_size / n, height, width, channels], normalised; int32
        [batch_size / n, height, width] of class numbers, and `VOID` for pixels without a class.

    Raises:
        DataError: source and options do not match. Iteration raises `tf.errors.OpError` if a shard cannot be read, for
            a mask with a value of no class, and for an image that cannot be decoded if `strict`.
            `kapps.data.explain_errors` converts it to a `DataError`.
    """
    _check(source, preprocessing, batch_size, channels)
    if not 0 <= colours <= 1:
        raise DataError(f"colours={colours}: choose a number from 0 to 1")
    skipped = skipped or SkippedImages()
    dataset = ordered_images(
        source, batch_size, seed=int(seed), skipped=skipped, first_step=first_step, shard=shard,
        cache_bytes=cache_bytes,
    )  # fmt: skip
    fill = tf.constant(_mean_pixel(preprocessing, channels), tf.float32)

    def augment_pair(image, mask, seed):
        image, mask, is_inside = random_scale_and_crop(
            image, mask, preprocessing.size, scale_range, augment.fold_in(seed, 0)
        )
        if colours:
            image = random_colours(image, colours, augment.fold_in(seed, 2))
        image = decode_image.to_uint8(tf.where(is_inside, image, fill))
        pair = tf.concat([image, mask], -1)
        return augment.random_flip(pair, augment.fold_in(seed, 1)) if flip else pair

    worker_batch_size = batch_size // shard[1]
    dataset = _decode_pairs(
        dataset, augment_pair, tf.uint8, source, preprocessing, channels, skipped, strict
    )
    dataset = dataset.rebatch(worker_batch_size, drop_remainder=True)
    return _finish(dataset, worker_batch_size, preprocessing, channels)


@checked_data
def eval_dataset(
    source: MaskSource,
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    channels: int = 3,
    strict: bool = False,
    skipped: SkippedImages | None = None,
    cache_bytes: int = CACHE_BYTES,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Returns a dataset of every image and its mask once, resized and cropped as `preprocessing` says.

    The mask is sampled at the nearest pixels of the same window. An image of the proportions of `preprocessing.size` is
    not cropped if `preprocessing.crop` is 1. Metrics are those of the resized masks.

    Args:
        source, preprocessing, channels, strict, skipped, cache_bytes: as for `train_dataset`.
        batch_size: images per batch. The last batch may be smaller.
        seed: as for `kapps.data.eval_dataset`.

    Returns:
        Batches as those of `train_dataset`.
    """
    _check(source, preprocessing, batch_size, channels)
    nearest = dataclasses.replace(preprocessing, interpolation="nearest")

    def resize_pair(image, mask, _):
        image = decode_image.resize_and_crop(image, preprocessing)
        return tf.concat([image, decode_image.resize_and_crop(mask, nearest)], -1)

    skipped = skipped or SkippedImages()
    images = evaluated_images(source, skipped, seed=seed, cache_bytes=cache_bytes)
    dataset = _decode_pairs(
        images,
        resize_pair,
        tf.float32,
        source,
        preprocessing,
        channels,
        skipped,
        strict,
    )
    return _finish(dataset.rebatch(batch_size), None, preprocessing, channels)


@checked_data
def first_image_size(source: MaskSource) -> tuple[int, int]:
    """Returns (height, width) of the first image of a source that can be decoded.

    Raises:
        DataError: no image can be decoded.
    """
    with explain_errors(source):
        for _, encoded, _ in source.images().as_numpy_iterator():
            with contextlib.suppress(tf.errors.OpError):
                height, width, _ = decode_image.decode_graph(3)(tf.constant(encoded)).shape
                return height, width
    raise DataError(f"no image of {source.name} can be decoded")


@checked_data
def count_class_pixels(source: MaskSource) -> np.ndarray:
    """Returns the number of pixels of each class in all masks of a source, and of all pixels of the images with it.

    `kapps.training.median_frequency_weights` computes weights of the classes from them.

    Returns:
        int64 [2, classes]: pixels of each class; pixels that are not void of the images that have the class.

    Raises:
        DataError: a mask has a value of no class, or no mask can be decoded. Masks that cannot be decoded are
            left out.
    """
    classes = len(source.class_names)
    counts = np.zeros((2, classes), np.int64)
    decode = mask_graph(source.classes)
    with explain_errors(source):
        for name, image, prepared in source.images().as_numpy_iterator():
            try:
                mask = decode(tf.constant(prepared)).numpy()
            except tf.errors.OpError:
                continue
            pixels = np.bincount(mask.reshape(-1), minlength=256)
            if pixels[classes:-1].any():
                try:
                    explain_pair(image, prepared, source.classes)
                except DataError as error:
                    raise DataError(f"{name.decode()} of {source.name}: {error}") from None
            pixels = pixels[:classes]
            counts += np.stack([pixels, pixels.sum() * (pixels > 0)])
    if not counts.any():
        raise DataError(f"no mask of {source.name} has a pixel of a class")
    return counts


def _check(source, preprocessing, batch_size, channels):
    check_arguments(source, preprocessing, batch_size, len(source.class_names), channels)


def _mean_pixel(preprocessing, channels):
    """Returns the pixel that normalisation makes zero, in [0, 255]."""
    mean, _ = preprocessing.channels(channels)
    return np.clip(np.array(mean) / preprocessing.scale, 0, 255)


def _decode_pairs(
    dataset, process, dtype, source, preprocessing, channels, skipped, strict
) -> tf.data.Dataset:
    """Decodes images and masks in chunks. The result has the mask as the last channel of the image."""

    def decode(image_format, encoded, orientation, seed, prepared):
        image = decode_image.decode_format(image_format, encoded, orientation, channels)
        image = tf.ensure_shape(image, [None, None, channels])
        mask = check_pair(image, decode_mask(prepared, source.classes))
        return process(image, mask, seed)

    return decode_chunks(
        dataset,
        decode,
        tf.TensorSpec([*preprocessing.size, channels + 1], dtype),
        lambda pairs, masks, seeds: pairs,  # noqa: ARG005
        source,
        skipped,
        strict,
        channels=channels,
        explain=functools.partial(explain_pair, classes=source.classes),
    )


def _finish(dataset, batch_size, preprocessing, channels) -> tf.data.Dataset:
    """Splits batches into normalised images and label maps."""

    def finish_batch(pairs):
        images = normalise(pairs[..., :channels], preprocessing, channels)
        return images, tf.cast(pairs[..., channels], tf.int32)

    dataset = dataset.map(finish_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    shape = [batch_size, *preprocessing.size]
    return finish_dataset(dataset, [*shape, channels], shape)
