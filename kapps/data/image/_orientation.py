"""The orientation that a camera writes to EXIF: read from JPEG, PNG and WebP, and applied to pixels.

Pixels are stored as the sensor has them, and tag 0x0112 of EXIF says how a viewer turns them (CIPA DC-008, 4.6.4).
Everything is computed by TensorFlow operations, so that `serve_bytes` of an exported model turns images too.

| orientation | turned image |
| --- | --- |
| 1 | the stored one |
| 2, 3, 4 | mirrored left to right, rotated by 180 degrees, mirrored top to bottom |
| 5, 6, 7, 8 | transposed; then as it is, mirrored left to right, rotated by 180 degrees, mirrored top to bottom |
"""

import tensorflow as tf

from kapps.data.image._bytes import byte_length, read_bytes, read_int, substring

NAMES = (b"Exif\0\0", b"eXIf", b"EXIF")
"""Names of the segment or chunk that holds EXIF in JPEG, PNG and WebP."""
_TAG = 0x0112
_BYTE, _SHORT, _LONG = 1, 3, 4
_ENTRY = 12  # bytes of an entry of a TIFF directory


def has_exif(content: bytes) -> bool:
    """Returns whether a JPEG or PNG image has EXIF. It takes microseconds, and `read_jpeg` starts a graph."""
    if content.startswith(b"\x89PNG"):
        return NAMES[1] in content
    position = 2
    while content[position : position + 1] == b"\xff":
        marker = content[position + 1 : position + 2]
        if marker == b"\xff":  # a fill byte
            position += 1
        elif not b"\xe0" <= marker <= b"\xef" and marker != b"\xfe":
            return False
        elif marker == b"\xe1" and content.startswith(NAMES[0], position + 4):
            return True
        else:
            position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return False


def read_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the orientation of a JPEG image, 1 to 8: int64 []. It is 1 without EXIF."""
    length = byte_length(encoded)

    def is_application_segment(position, _):
        marker = read_bytes(encoded, position, 2)
        # EXIF is in a segment before the tables and the image. The segments are APP0 to APP15 and comments.
        is_segment = ((marker[1] >= 0xE0) & (marker[1] <= 0xEF)) | (marker[1] >= 0xFE)
        return (marker[0] == 0xFF) & is_segment & (position < length)

    def next_segment(position, exif):
        header = read_bytes(encoded, position, 4)
        is_fill_byte = header[1] == 0xFF
        size = 2 + header[2] * 256 + header[3]
        is_exif = (header[1] == 0xE1) & (substring(encoded, position + 4, 6) == NAMES[0])
        exif = tf.where(is_exif & (exif == 0), position + 10, exif)
        return position + tf.where(is_fill_byte, tf.constant(1, tf.int64), size), exif

    zero = tf.constant(0, tf.int64)
    _, position = tf.while_loop(is_application_segment, next_segment, (zero + 2, zero))
    return tf.cond(
        position > 0,
        lambda: _read_tiff(substring(encoded, position, 2**16)),
        lambda: tf.constant(1, tf.int64),
    )


def read_png(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in the chunk eXIf of a PNG image, 1 to 8: int64 []."""

    def find():
        return _find_chunk(encoded, NAMES[1], first=8, size_offset=0, big_endian=True)

    # An image has many chunks, and few images have this one: a search of its name comes first.
    has_name = tf.size(tf.strings.split([encoded], NAMES[1], maxsplit=1).values) > 1
    return _read_chunk(encoded, tf.cond(has_name, find, _no_chunk))


def read_webp(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in the chunk EXIF of a WebP image, 1 to 8: int64 []."""
    chunk = _find_chunk(encoded, NAMES[2], first=12, size_offset=4, big_endian=False)
    return _read_chunk(encoded, chunk)


def size(shape: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Returns (height, width) of the turned image, from the shape of the stored one."""
    return tf.where(orientation >= 5, shape[1::-1], shape[:2])


def stored_window(window: tf.Tensor, size: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Returns the window of the stored image that shows a window of the turned image.

    Args:
        window: int32 [4]: y, x, height, width in the turned image.
        size: int32 [2]: height and width of the turned image.
        orientation: int64 [].
    """
    begin = tf.where(_mirrors(orientation), size - window[:2] - window[2:], window[:2])
    stored = tf.concat([begin, window[2:]], 0)
    return tf.where(orientation >= 5, tf.gather(stored, [1, 0, 3, 2]), stored)


def turn(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Returns an image [height, width, channels] as a viewer shows it."""

    def turned():
        upright = tf.cond(
            orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: tf.identity(image)
        )
        dims = tf.concat([_mirrors(orientation), [False]], 0)
        return tf.raw_ops.Reverse(tensor=upright, dims=dims)

    return tf.cond(orientation > 1, turned, lambda: tf.identity(image))


def _mirrors(orientation):
    """Returns whether an orientation mirrors (rows, columns), after it transposes."""
    rows = tf.reduce_any(orientation == tf.constant([3, 4, 7, 8], tf.int64))
    columns = tf.reduce_any(orientation == tf.constant([2, 3, 6, 7], tf.int64))
    return tf.stack([rows, columns])


def _no_chunk():
    return tf.constant(0, tf.int64), tf.constant(0, tf.int64)


def _find_chunk(encoded, name, *, first, size_offset, big_endian):
    """Returns (position, size) of the content of a chunk; (0, 0) if there is none.

    PNG has chunks of size, name, content and checksum; WebP of name, size and content of an even number of bytes.
    """
    length = byte_length(encoded)

    def is_before_end(position, start, _):
        return (start == 0) & (position + 8 <= length)

    def next_chunk(position, start, start_size):
        size = read_int(encoded, position + size_offset, 4, big_endian=big_endian)
        is_named = substring(encoded, position + 4 - size_offset, 4) == name
        end = position + 8 + (size + 4 if big_endian else size + size % 2)
        return (
            end,
            tf.where(is_named, position + 8, start),
            tf.where(is_named, size, start_size),
        )

    start = (tf.constant(first, tf.int64), *_no_chunk())
    return tf.while_loop(is_before_end, next_chunk, start)[1:]


def _read_chunk(encoded, chunk):
    position, size = chunk

    def read():
        exif = substring(encoded, position, tf.minimum(size, 2**20))
        # Some programs copy the name of the JPEG segment too.
        has_name = substring(exif, 0, 6) == NAMES[0]
        return _read_tiff(substring(exif, tf.where(has_name, 6, 0)))

    return tf.cond(position > 0, read, lambda: tf.constant(1, tf.int64))


def _read_tiff(exif):
    """Returns the orientation in EXIF, which is stored as a TIFF file: int64 []. It is 1 if it cannot be read."""
    is_big_endian = substring(exif, 0, 2) == b"MM"
    is_tiff = is_big_endian | (substring(exif, 0, 2) == b"II")
    content = tf.cast(tf.io.decode_raw(exif, tf.uint8), tf.int64)
    length = tf.size(content, tf.int64)

    def read(positions, size):
        """Returns the numbers of `size` bytes at positions: int64 [n]. Bytes past the end are zeros."""
        indices = positions[:, None] + tf.range(size, dtype=tf.int64)
        in_content = tf.gather(content, tf.clip_by_value(indices, 0, tf.maximum(length - 1, 0)))
        digits = tf.where(indices < length, in_content, 0)
        digits = tf.where(is_big_endian, digits[:, ::-1], digits)
        return tf.reduce_sum(digits * 2 ** (8 * tf.range(size, dtype=tf.int64)), 1)

    def value():
        directory = read(tf.constant([4], tf.int64), 4)
        count = tf.minimum(read(directory, 2)[0], length // _ENTRY)
        entries = directory + 2 + _ENTRY * tf.range(count)
        kinds, counts = read(entries + 2, 2), read(entries + 4, 4)
        values = tf.where(kinds == _LONG, read(entries + 8, 4), read(entries + 8, 2))
        values = tf.where(kinds == _BYTE, read(entries + 8, 1), values)
        is_number = (kinds == _BYTE) | (kinds == _SHORT) | (kinds == _LONG)
        is_orientation = (read(entries, 2) == _TAG) & is_number & (counts == 1)
        is_orientation &= (values >= 1) & (values <= 8)
        values = tf.boolean_mask(values, is_orientation)
        return tf.concat([[tf.constant(1, tf.int64)], values], 0)[-1]

    return tf.cond(is_tiff & (length >= 14), value, lambda: tf.constant(1, tf.int64))


READERS = {"JPEG": read_jpeg, "PNG": read_png, "WebP": read_webp}
"""The function that reads the orientation, for each format that has one."""
