"""The first frame of a GIF image by TensorFlow operations.

`tf.io.decode_gif` makes transparent pixels black, and does not give a frame its place on the canvas.
"""

import tensorflow as tf

from kapps.data.image._bytes import read_bytes, read_int, substring
from kapps.data.image._size_limit import check_size

_EXTENSION, _FRAME, _CONTROL = 0x21, 0x2C, 0xF9


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes the first frame of a GIF image.

    Args:
        encoded: string [].

    Returns:
        uint8 [height, width, 3], of the size of the canvas. Transparent pixels have their colour in the palette, and
        the canvas around the frame has the colour of transparent pixels, or the first colour.
    """
    flags = read_int(encoded, 10, 1)
    table_end = 13 + _table_bytes(flags)
    frame, background = _find_first_frame(encoded, table_end)
    tf.debugging.Assert(read_int(encoded, frame, 1) == _FRAME, ["GIF has no image"])
    left, top, width, height = (read_int(encoded, frame + 1 + 2 * i, 2) for i in range(4))
    canvas_width = tf.maximum(read_int(encoded, 6, 2), left + width)
    canvas_height = tf.maximum(read_int(encoded, 8, 2), top + height)
    encoded = check_size(canvas_height, canvas_width, encoded)
    canvas_width = check_size(canvas_height, canvas_width, canvas_width)

    # The same file without extensions, so that no pixel is transparent, and with the frame at the corner.
    parts = [substring(encoded, 0, table_end), b"\x2c\0\0\0\0", substring(encoded, frame + 5)]
    image = tf.io.decode_image(tf.strings.join(parts), 3, expand_animations=False)
    image = tf.ensure_shape(image, [None, None, 3])[:height, :width]
    is_whole = (width == canvas_width) & (height == canvas_height)

    def on_canvas():
        local = read_int(encoded, frame + 9, 1)
        table = tf.where(local >= 128, frame + 10, 13)
        colour = tf.cast(read_bytes(encoded, table + 3 * background, 3), tf.uint8)
        rows, columns = canvas_height - height - top, canvas_width - width - left
        inside = tf.pad(
            tf.ones([height, width, 1], tf.bool), [[top, rows], [left, columns], [0, 0]]
        )
        padded = tf.pad(image, [[top, rows], [left, columns], [0, 0]])
        return tf.where(inside, padded, colour)

    return tf.cond(is_whole, lambda: tf.identity(image), on_canvas)


def _table_bytes(flags):
    """Returns the size of a colour table, from the flags that declare it: int64 []."""
    return tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), 0)


def _find_first_frame(encoded, position):
    """Returns the position of the first frame, after the extensions, and the colour number of transparent pixels."""

    def is_extension(position, _):
        return read_int(encoded, position, 1) == _EXTENSION

    def next_extension(position, background):
        header = read_bytes(encoded, position, 7)
        is_transparent = (header[1] == _CONTROL) & (header[3] % 2 == 1)
        (end,) = tf.while_loop(
            lambda block: read_int(encoded, block, 1) > 0,
            lambda block: (block + 1 + read_int(encoded, block, 1),),
            (position + 2,),
        )
        return end + 1, tf.where(is_transparent, header[6], background)

    return tf.while_loop(is_extension, next_extension, (position, tf.constant(0, tf.int64)))
