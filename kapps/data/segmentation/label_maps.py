"""From an encoded mask to a label map: PNG of numbers, of palette indices or of colours.

TensorFlow decodes a palette PNG to its colours, which may occur twice in a palette. The indices are the pixels of the
same file with another header: that of a grey PNG. `prepare_mask` writes it.
"""

import functools
import zlib

import numpy as np
import tensorflow as tf

from kapps.data.errors import DataError
from kapps.data.image import decode_image
from kapps.data.image._bytes import read_int, substring
from kapps.data.image._size_limit import check_size
from kapps.data.image.undecodable import why_undecodable
from kapps.data.segmentation.mask_classes import INVALID, MaskClasses

_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER_END = 33
"""Bytes of the signature and of the first chunk, IHDR: length, type, 13 bytes, checksum."""
_GREY, _PALETTE = 0, 3
_FACTORS = {1: 255, 2: 85, 4: 17, 8: 1}
"""What TensorFlow multiplies grey pixels by, by their number of bits."""
_COLOUR, _UNREADABLE = b"\0", b"!"
_OTHER_FORMATS = {b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"BM": "BMP", b"RIFF": "WebP"}
_LISTED = 3


def prepare_mask(encoded: bytes) -> bytes:
    """Returns an encoded mask as `decode_mask` takes it: one byte, and a PNG.

    The byte is the factor of the PNG's pixels, 0 for a PNG of colours, or "!", which a reason follows in place of the
    PNG.

    Args:
        encoded: content of a file.
    """
    header = encoded[12:_HEADER_END]
    if not encoded.startswith(_PNG) or len(header) < 21 or header[:4] != b"IHDR":
        names = [name for start, name in _OTHER_FORMATS.items() if encoded.startswith(start)]
        reason = f"{names[0]}, not PNG" if names else why_undecodable(encoded)
        return _UNREADABLE + reason.encode()
    bits, kind = header[12], header[13]
    if bits not in _FACTORS:
        return _UNREADABLE + f"PNG of {bits} bits; masks have at most 8".encode()
    if kind not in (_GREY, _PALETTE, 4):  # 4 is grey with transparency
        return _COLOUR + encoded
    if kind == _PALETTE:
        encoded = _without_palette(encoded, header)
    return bytes([_FACTORS[bits]]) + encoded


def _without_palette(encoded, header) -> bytes:
    """Returns a palette PNG as a grey PNG of the indices: with another header, and with no chunks but pixels."""
    header = header[:13] + bytes([_GREY]) + header[14:17]
    parts = [encoded[:12], header, zlib.crc32(header).to_bytes(4, "big")]
    position = _HEADER_END
    while position < len(encoded):
        end = position + 12 + int.from_bytes(encoded[position : position + 4], "big")
        if encoded[position + 4 : position + 8] in (b"IDAT", b"IEND"):
            parts.append(encoded[position:end])
        position = end
    return b"".join(parts)


def decode_mask(prepared: tf.Tensor, classes: MaskClasses) -> tf.Tensor:
    """Decodes a mask to the numbers of classes.

    Args:
        prepared: string [], of `prepare_mask`.
        classes: of the mask.

    Returns:
        uint8 [height, width, 1]: class numbers, `VOID`, and `INVALID` for other values and colours.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, for a mask that cannot be decoded.
    """
    factor = tf.cast(tf.io.decode_raw([prepared], tf.uint8, fixed_length=1)[0, 0], tf.int32)
    png = substring(prepared, 1)
    size = (read_int(png, position, 4, big_endian=True) for position in (20, 16))
    png = check_size(*size, png)
    codes, numbers = classes.palette()

    def from_numbers():
        values = tf.cast(tf.io.decode_png(png, 1), tf.int32) // tf.maximum(factor, 1)
        return tf.gather(tf.constant(classes.table()), values)

    def from_colours():
        if not len(codes):
            return tf.fill(tf.shape(tf.io.decode_png(png, 1)), tf.constant(INVALID, tf.uint8))
        red, green, blue = tf.unstack(tf.cast(tf.io.decode_png(png, 3), tf.int32), axis=-1)
        code = red * 65536 + green * 256 + blue
        position = tf.searchsorted(tf.constant(codes), tf.reshape(code, [-1]))
        position = tf.reshape(tf.minimum(position, len(codes) - 1), tf.shape(code))
        is_known = tf.gather(tf.constant(codes), position) == code
        number = tf.gather(tf.constant(numbers), position)
        return tf.where(is_known, number, tf.constant(INVALID, tf.uint8))[..., None]

    return tf.ensure_shape(tf.cond(factor > 0, from_numbers, from_colours), [None, None, 1])


def check_pair(image: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns a mask, if it has the size of the image and no pixel that is `INVALID`.

    Args:
        image: [height, width, channels].
        mask: uint8 [height, width, 1], of `decode_mask`.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs. `explain_pair` has the reason.
    """
    same_size = tf.reduce_all(tf.shape(image)[:2] == tf.shape(mask)[:2])
    is_valid = tf.reduce_all(mask != tf.constant(INVALID, tf.uint8))
    message = "the mask does not fit the image"
    with tf.control_dependencies([tf.debugging.Assert(same_size & is_valid, [message])]):
        return tf.identity(mask)


def explain_pair(image: bytes, prepared: bytes, classes: MaskClasses) -> str:
    """Returns why an image and its mask cannot be read, in a few words.

    Args:
        image: encoded.
        prepared: the mask, of `prepare_mask`.
        classes: of the mask.

    Raises:
        DataError: the mask has a value or a colour of no class: other masks have it too.
    """
    try:
        height, width, _ = decode_image.decode_graph(3)(tf.constant(image)).shape
    except tf.errors.OpError:
        return why_undecodable(image)
    if prepared.startswith(_UNREADABLE):
        return f"its mask: {prepared[1:].decode()}"
    try:
        mask = decode_mask(tf.constant(prepared), classes).numpy()[..., 0]
    except tf.errors.OpError:
        return f"its mask: {why_undecodable(prepared[1:])}"
    if mask.shape != (height, width):
        rows, columns = mask.shape
        return f"its mask has {rows} x {columns} pixels, and the image {height} x {width}"
    if (mask == INVALID).any():
        raise DataError(_describe_invalid(mask == INVALID, prepared, classes))
    return why_undecodable(image)


def _describe_invalid(is_invalid: np.ndarray, prepared: bytes, classes: MaskClasses) -> str:
    is_colour = prepared.startswith(_COLOUR)
    pixels = tf.io.decode_png(prepared[1:], 3 if is_colour else 1).numpy()[is_invalid]
    if is_colour and not classes.has_palette:
        return "its mask is a PNG of colours: pass a .csv file of classes with the columns name, r, g, b"
    if is_colour:
        colours = [str(tuple(map(int, row))) for row in np.unique(pixels, axis=0)[:_LISTED]]
        return (
            f"its mask has the colour {' and '.join(colours)}, which is not in the palette of the {len(classes.names)}"
            " classes: add it to the file of classes, or correct the mask"
        )
    values = np.unique(pixels)[:_LISTED] // prepared[0]
    return (
        f"its mask has the value {' and '.join(map(str, values.tolist()))}, and the classes are {classes.describe()},"
        f" void {classes.void}: correct the file of classes, or pass void={values[0]}"
    )


@functools.cache
def mask_graph(classes: MaskClasses) -> tf.types.experimental.GenericFunction:
    """Returns `decode_mask` as a graph of its own, for eager loops over masks."""
    signature = [tf.TensorSpec([], tf.string)]
    decode = functools.partial(decode_mask, classes=classes)
    return tf.function(decode, input_signature=signature, autograph=False)
