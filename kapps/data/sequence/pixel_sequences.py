"""Images as sequences of their pixels: sequential and permuted MNIST.

[1] Bai 2018, arXiv:1803.01271, section 4
"""

import numpy as np
import tensorflow as tf

from kapps.data.image.decode_image import decode, to_uint8
from kapps.data.image.source import Source


def read_grey_images(
    source: Source, side: int, most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns images and labels as arrays: uint8 [n, side, side], int64 [n].

    Args:
        source: grey or coloured images, of any size.
        side: height and width that they are brought to.
        most: how many are read, of the source's order; None for all.
    """

    def image(name, encoded, label):
        del name
        pixels = decode(encoded, 1)
        return to_uint8(tf.image.resize(pixels, (side, side)))[..., 0], label

    found = source.images().take(most or -1).map(image, tf.data.AUTOTUNE)
    images, labels = zip(*found.batch(1024).as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def pixel_dataset(
    images: np.ndarray, labels: np.ndarray, batch_size: int, *, order: int | None = None,
    shuffle: bool = False, seed: int = 0,
) -> tf.data.Dataset:  # fmt: skip
    """Images as sequences of their pixels, row by row [1].

    Args:
        images: uint8 [n, height, width].
        labels: int [n].
        batch_size: sequences a batch.
        order: None for row by row; a number for the one permutation of all images' pixels that it settles ("permuted
            MNIST").
        shuffle: whether to draw a new order of the images each time, and to leave out a last batch that is smaller.
        seed: of the orders of the images.

    Returns:
        (float32 [batch, height * width, 1] in [0, 1], int32 [batch]).
    """
    flat = images.reshape(len(images), -1)
    if order is not None:
        flat = flat[:, np.random.default_rng(order).permutation(flat.shape[1])]
    found = tf.data.Dataset.from_tensor_slices((flat, np.asarray(labels, "int32")))
    if shuffle:
        found = found.shuffle(len(flat), seed=seed)
    found = found.batch(batch_size, drop_remainder=shuffle)
    found = found.map(lambda x, y: (tf.cast(x, tf.float32)[..., None] / 255, y), tf.data.AUTOTUNE)
    return found.prefetch(tf.data.AUTOTUNE)
