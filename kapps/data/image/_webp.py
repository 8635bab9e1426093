"""The first frame of a WebP image by TensorFlow operations.

`tf.io.decode_webp` needs the number of channels that the file has, and writes past its memory for an animation that
is decoded to another number (TensorFlow 2.21).
"""

import tensorflow as tf

from kapps.data.image._bytes import byte_length, read_int, substring
from kapps.data.image._size_limit import check_size

_ANIMATION, _ALPHA = 0x02, 0x10
_FRAME_HEADER = 16


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a WebP image, or the first frame of an animation.

    Args:
        encoded: string [].

    Returns:
        uint8 [height, width, 3]. Transparency is dropped, and the canvas around a frame is black.
    """
    is_extended = substring(encoded, 12, 4) == b"VP8X"
    flags = read_int(encoded, 20, 1)
    is_animation = is_extended & (tf.bitwise.bitwise_and(flags, _ANIMATION) > 0)
    return tf.cond(
        is_animation,
        lambda: _decode_first_frame(encoded),
        lambda: _decode_still(encoded),
    )


def _decode_still(encoded):
    encoded = check_size(*_size(encoded), encoded)
    image = tf.raw_ops.DecodeWebP(contents=encoded, channels=0)[0]
    return tf.ensure_shape(image[..., :3], [None, None, 3])


def _size(encoded):
    """Returns the height and the width in the header of a still image."""
    name = substring(encoded, 12, 4)

    def extended():
        return 1 + read_int(encoded, 27, 3), 1 + read_int(encoded, 24, 3)

    def lossless():
        packed = read_int(encoded, 21, 4)
        return 1 + packed // 2**14 % 2**14, 1 + packed % 2**14

    def lossy():
        return read_int(encoded, 28, 2) % 2**14, read_int(encoded, 26, 2) % 2**14

    return tf.cond(name == b"VP8X", extended, lambda: tf.cond(name == b"VP8L", lossless, lossy))


def _decode_first_frame(encoded):
    """Returns the canvas with the first frame, which is decoded as the still image of its chunks."""
    height, width = 1 + read_int(encoded, 27, 3), 1 + read_int(encoded, 24, 3)
    encoded = check_size(height, width, encoded)
    length = byte_length(encoded)
    (chunk,) = tf.while_loop(
        lambda chunk: (chunk + 8 < length) & (substring(encoded, chunk, 4) != b"ANMF"),
        lambda chunk: (chunk + 8 + (read_int(encoded, chunk + 4, 4) + 1) // 2 * 2,),
        (tf.constant(12, tf.int64),),
    )
    tf.debugging.Assert(substring(encoded, chunk, 4) == b"ANMF", ["WebP animation has no frame"])
    frame = chunk + 8
    left, top = 2 * read_int(encoded, frame, 3), 2 * read_int(encoded, frame + 3, 3)
    size = substring(encoded, frame + 6, 6)
    content = substring(
        encoded, frame + _FRAME_HEADER, read_int(encoded, chunk + 4, 4) - _FRAME_HEADER
    )
    has_alpha = substring(content, 0, 4) == b"ALPH"
    header = tf.strings.join([b"VP8X\x0a\0\0\0", bytes([_ALPHA]), b"\0\0\0", size])
    content = tf.strings.join([b"WEBP", tf.where(has_alpha, header, b""), content])
    riff = tf.strings.join([b"RIFF", _uint32(tf.strings.length(content)), content])
    image = _decode_still(riff)
    rows = height - top - tf.shape(image, tf.int64)[0]
    columns = width - left - tf.shape(image, tf.int64)[1]
    return tf.pad(image, [[top, rows], [left, columns], [0, 0]])


def _uint32(number):
    """Returns the four bytes of a number, the lowest first: string []."""
    digits = [number // 256**place % 256 for place in range(4)]
    all_bytes = tf.constant([bytes([value]) for value in range(256)])
    return tf.strings.join([tf.gather(all_bytes, digit) for digit in digits])
