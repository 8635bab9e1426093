"""Numbers in the bytes of a file, read by TensorFlow operations, so that an exported graph can read them too."""

import tensorflow as tf


def read_int(
    encoded: tf.Tensor, position: tf.Tensor | int, size: int, *, big_endian: bool = False
) -> tf.Tensor:
    """Returns the unsigned number in `size` bytes, up to 4, from a position: int64 []. Bytes past the end are zeros."""
    number = read_bytes(encoded, position, size)
    places = 2 ** (8 * tf.range(size, dtype=tf.int64))
    return tf.reduce_sum(number * (places[::-1] if big_endian else places))


def read_bytes(encoded: tf.Tensor, position: tf.Tensor | int, size: int) -> tf.Tensor:
    """Returns `size` bytes from a position: int64 [size]. Bytes past the end are zeros."""
    part = substring(encoded, position, size)
    return tf.cast(tf.io.decode_raw([part], tf.uint8, fixed_length=size)[0], tf.int64)


def substring(
    encoded: tf.Tensor, position: tf.Tensor | int, size: tf.Tensor | int | None = None
) -> tf.Tensor:
    """Returns the bytes from a position, at most `size` or all that follow: string []."""
    length = tf.strings.length(encoded)
    position = tf.minimum(tf.cast(position, tf.int64), tf.cast(length, tf.int64))
    size = tf.cast(length, tf.int64) if size is None else tf.cast(size, tf.int64)
    return tf.strings.substr(encoded, position, size)


def signed32(number: tf.Tensor) -> tf.Tensor:
    """Returns the signed number that has the 32 bits of an unsigned one: int64 []."""
    return tf.where(number < 2**31, number, number - 2**32)


def byte_length(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the number of bytes: int64 []."""
    return tf.cast(tf.strings.length(encoded), tf.int64)
