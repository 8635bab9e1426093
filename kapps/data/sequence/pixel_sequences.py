"""Images as sequences of their pixels: sequential and permuted MNIST.

[1] Bai 2018, arXiv:1803.01271, section 4
"""

import numpy as np
import tensorflow as tf

from kapps._checked import checked
from kapps.data.errors import DataError, SkippedImages, explain_errors
from kapps.data.image._chunks import decode_chunks
from kapps.data.image.decode_image import decode_format, to_uint8
from kapps.data.image.source import Source


@checked
def read_grey_images(
    source: Source, side: int, limit: int | None = None, skipped: SkippedImages | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Reads images into arrays, as grey squares.

    Args:
        source: images of any size and colour.
        side: height and width that the images are resized to.
        limit: number of images that are read, in the order of the source. `None` reads all.
        skipped: records the images that cannot be decoded; they are left out.

    Returns:
        (images, labels): uint8 [n, side, side], int64 [n].

    Raises:
        DataError: no image can be decoded, or a file cannot be read.
    """
    skipped = skipped or SkippedImages()
    skipped.add_source(source, "training" if source.split == "train" else "evaluation")

    def decode_grey(image_format, encoded, orientation, *_):
        image = decode_format(image_format, encoded, orientation, 1)
        return to_uint8(tf.image.resize(image, (side, side)))

    unused_seed = tf.zeros([2], tf.int64)
    dataset = decode_chunks(
        source.images().take(limit or -1).map(lambda *image: (*image, unused_seed)),
        decode_grey,
        tf.TensorSpec([side, side, 1], tf.uint8),
        lambda images, labels, _: (images[..., 0], labels),
        source,
        skipped,
        strict=False,
    )
    with explain_errors(source):
        batches = list(dataset.as_numpy_iterator())
    images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    if not len(images):
        raise DataError(f"none of the first {limit:,} images of {source.name} could be decoded")
    return images, labels


@checked
def pixel_dataset(
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    *,
    permutation_seed: int | None = None,
    shuffle: bool = False,
    seed: int = 0,
) -> tf.data.Dataset:
    """Returns a dataset of images as sequences of their pixels [1].

    Args:
        images: uint8 [n, height, width].
        labels: int [n].
        batch_size: sequences per batch.
        permutation_seed: `None` for pixels row by row, or the seed of one permutation of the pixels of all images
            ("permuted MNIST").
        shuffle: whether the images are shuffled again in each epoch and a smaller last batch is left out.
        seed: seed of the shuffling.

    Returns:
        Batches of (pixels, labels): float32 [batch, height * width, 1] in [0, 1], int32 [batch].
    """
    pixels = images.reshape(len(images), -1)
    if permutation_seed is not None:
        order = np.random.default_rng(permutation_seed).permutation(pixels.shape[1])
        pixels = pixels[:, order]
    dataset = tf.data.Dataset.from_tensor_slices((pixels, np.asarray(labels, "int32")))
    if shuffle:
        dataset = dataset.shuffle(len(pixels), seed=seed)
    dataset = dataset.batch(batch_size, drop_remainder=shuffle)
    dataset = dataset.map(
        lambda x, y: (tf.cast(x, tf.float32)[..., None] / 255, y), tf.data.AUTOTUNE
    )
    return dataset.prefetch(tf.data.AUTOTUNE)
