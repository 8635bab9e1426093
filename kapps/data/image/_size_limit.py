"""The largest image that is decoded."""

import tensorflow as tf

MAX_PIXELS = 2**27
"""Largest number of pixels of an image, 400 MB in memory. A small file can declare many more."""


def check_size(height: tf.Tensor, width: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor:
    """Returns a tensor. An image without pixels, or with so many that they could fill the memory, raises an error.

    The graph makes the returned tensor after the check: operations that do not depend on it could run before.

    Args:
        height, width: of the image, integers [].
        tensor: what the operations of the decoder read.
    """
    height, width = tf.cast(height, tf.int64), tf.cast(width, tf.int64)
    message = f"the image is not of 1 to {MAX_PIXELS:,} pixels:"
    is_allowed = (height > 0) & (width > 0) & (height <= MAX_PIXELS // tf.maximum(width, 1))
    with tf.control_dependencies([tf.debugging.Assert(is_allowed, [message, height, width])]):
        return tf.identity(tensor)
