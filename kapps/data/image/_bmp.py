"""BMP images by TensorFlow operations. `tf.io.decode_bmp` returns the indices of a palette as grey levels."""

import tensorflow as tf

from kapps.data.image._bytes import byte_length, read_bytes, read_int, signed32, substring
from kapps.data.image._size_limit import check_size

_FILE_HEADER = 14
_OS2_HEADER = 12
_INFO_HEADER = 40
_NONE, _BIT_FIELDS, _ALPHA_BIT_FIELDS = 0, 3, 6
_RUN_LENGTHS = (1, 2)


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a BMP image of 1, 2, 4, 8 (palette), 16, 24 or 32 bits per pixel that is not compressed.

    Args:
        encoded: string [].

    Returns:
        uint8 [height, width, 3]. Transparency is dropped.
    """
    header_size = read_int(encoded, _FILE_HEADER, 4)
    is_os2 = header_size == _OS2_HEADER

    def field(os2, other, size):
        old = read_int(encoded, os2, 2) if os2 else tf.constant(0, tf.int64)
        return tf.where(is_os2, old, read_int(encoded, other, size))

    width, height = field(18, 18, 4), field(20, 22, 4)
    bits, compression = field(24, 28, 2), field(None, 30, 4)
    height = tf.where(is_os2, height, signed32(height))
    is_top_down = height < 0
    height = tf.abs(height)
    is_run_length = tf.reduce_any(compression == tf.constant(_RUN_LENGTHS, tf.int64))
    tf.debugging.Assert(~is_run_length, ["BMP compressed by run lengths is not supported"])
    is_plain = tf.reduce_any(
        compression == tf.constant([_NONE, _BIT_FIELDS, _ALPHA_BIT_FIELDS], tf.int64)
    )
    tf.debugging.Assert(is_plain, ["BMP of compression", compression, "is not supported"])
    is_known = tf.reduce_any(bits == tf.constant([1, 2, 4, 8, 16, 24, 32], tf.int64))
    tf.debugging.Assert(is_known, ["BMP of", bits, "bits per pixel is not supported"])
    encoded = check_size(height, width, encoded)

    row_bytes = (width * bits + 31) // 32 * 4
    content = substring(encoded, read_int(encoded, 10, 4), height * row_bytes)
    size = byte_length(content)
    tf.debugging.Assert(size == height * row_bytes, ["BMP is truncated"])
    rows = tf.reshape(tf.io.decode_raw(content, tf.uint8), [height, row_bytes])
    rows = tf.cond(is_top_down, lambda: tf.identity(rows), lambda: tf.reverse(rows, [0]))

    def from_palette():
        in_byte = tf.cast(tf.range(8 - bits, -1, -bits), tf.uint8)
        mask = tf.cast(2**bits - 1, tf.uint8)
        indices = tf.bitwise.bitwise_and(
            tf.bitwise.right_shift(rows[..., None], in_byte), mask[None]
        )
        indices = tf.reshape(indices, [height, -1])[:, :width]
        return tf.gather(
            _palette(encoded, header_size, compression, bits), tf.cast(indices, tf.int32)
        )

    def from_bytes():
        return tf.reshape(rows[:, : width * 3], [height, width, 3])[..., ::-1]

    def from_bit_fields():
        size = bits // 8
        parts = tf.cast(tf.reshape(rows[:, : width * size], [height, width, size]), tf.int64)
        pixels = tf.reduce_sum(parts * 2 ** (8 * tf.range(size)), -1)
        masks = _masks(encoded, bits, compression)
        lowest = tf.bitwise.bitwise_and(masks, -masks)
        tf.debugging.Assert(tf.reduce_all(masks > 0), ["BMP of these bit fields is not supported"])
        levels = tf.bitwise.bitwise_and(pixels[..., None], masks) // lowest
        return tf.cast(levels * 255 // (masks // lowest), tf.uint8)

    branch = tf.where(bits <= 8, 0, tf.where(bits == 24, 1, 2))
    image = tf.switch_case(branch, [from_palette, from_bytes, from_bit_fields])
    return tf.ensure_shape(image, [None, None, 3])


def _palette(encoded, header_size, compression, bits):
    """Returns the colours of the palette, black after the last one: uint8 [256, 3]."""
    is_os2 = header_size == _OS2_HEADER
    masks = tf.where((header_size == _INFO_HEADER) & (compression == _BIT_FIELDS), 12, 0)
    start = _FILE_HEADER + header_size + tf.cast(masks, tf.int64)
    declared = tf.where(is_os2, tf.constant(0, tf.int64), read_int(encoded, 46, 4))
    colours = tf.where((declared > 0) & (declared < 2**bits), declared, 2**bits)

    def read(size):
        entries = tf.reshape(read_bytes(encoded, start, 256 * size), [256, size])
        return tf.cast(entries[:, 2::-1], tf.uint8)

    entries = tf.cond(is_os2, lambda: read(3), lambda: read(4))
    return tf.where(
        tf.range(256, dtype=tf.int64)[:, None] < colours, entries, tf.zeros_like(entries)
    )


def _masks(encoded, bits, compression):
    """Returns the bits of red, green and blue in a pixel of 16 or 32 bits: int64 [3]."""
    default = tf.where(bits == 16, [0x7C00, 0x3E0, 0x1F], [0xFF0000, 0xFF00, 0xFF])
    position = _FILE_HEADER + _INFO_HEADER
    masks = tf.stack([read_int(encoded, position + offset, 4) for offset in (0, 4, 8)])
    return tf.where(compression == _NONE, tf.cast(default, tf.int64), masks)
