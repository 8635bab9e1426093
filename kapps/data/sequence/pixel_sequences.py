"""Images as sequences of their pixels: sequential and permuted MNIST.

[1] Bai 2018, arXiv:1803.01271, section 4
"""

import numpy as np
import tensorflow as tf

from kapps._checked import checked
from kapps.data.image.decode_image import decode, to_uint8
from kapps.data.image.source import Source


@checked
def read_grey_images(
    source: Source, side: int, limit: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Reads images into arrays, as grey squares.

    Args:
        source: images of any size and colour.
        side: height and width that the images are resized to.
        limit: number of images that are read, in the order of the source. `None` reads all.

    Returns:
        (images, labels): uint8 [n, side, side], int64 [n].
    """

    def decode_grey(_, encoded, label):
        image = tf.image.resize(decode(encoded, 1), (side, side))
        return to_uint8(image)[..., 0], label

    dataset = source.images().take(limit or -1).map(decode_grey, tf.data.AUTOTUNE)
    images, labels = zip(*dataset.batch(1024).as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


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
