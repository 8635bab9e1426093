"""What the pages have in common: arrays and images inside the page's data, and the template."""

import base64
import html
import struct
import zlib
from importlib import resources

import numpy as np

from kapps._html import embedded_json, fill


def packed(array) -> dict:
    """Returns an array as one signed byte for each number: {"shape", "scale", "data"}. 127 stands for the scale.

    Args:
        array: numbers of any shape; those that are not finite become 0.
    """
    array = np.nan_to_num(np.asarray(array, "float32"), nan=0, posinf=0, neginf=0)
    most = float(np.abs(array).max(initial=0))
    values = np.rint(array * (127 / (most or 1))).astype("int8")
    data = base64.b64encode(values.tobytes()).decode("ascii")
    return {"shape": list(array.shape), "scale": most, "data": data}


def png_url(image) -> str:
    """Returns an image as a data URL.

    Args:
        image: uint8 (height, width, 1 or 3).
    """
    image = np.ascontiguousarray(image, "uint8")
    height, width, channels = image.shape
    # Each row begins with a filter type, 0 for none.
    rows = np.concatenate([np.zeros((height, 1), "uint8"), image.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def to_pixels(images, value_range=None) -> np.ndarray:
    """Returns images as uint8 (..., height, width, 1 or 3); of other numbers of channels the mean.

    Args:
        images: (..., height, width, channels).
        value_range: numbers of black and white; None for the smallest and the largest one.
    """
    images = np.asarray(images, "float32")
    if images.shape[-1] not in (1, 3):
        images = images.mean(axis=-1, keepdims=True)
    low, high = (images.min(), images.max()) if value_range is None else value_range
    return np.clip(255 * (images - low) / ((high - low) or 1) + 0.5, 0, 255).astype("uint8")


def reduced(maps, most: int) -> np.ndarray:
    """Returns maps (..., height, width) of at most `most` rows and columns: the largest value of each square of pixels.

    The last rows and columns may be squares of fewer pixels.
    """
    maps = np.asarray(maps)
    step = -(-max(maps.shape[-2:]) // most)
    if step < 2:
        return maps
    starts = [np.arange(0, size, step) for size in maps.shape[-2:]]
    return np.maximum.reduceat(np.maximum.reduceat(maps, starts[0], axis=-2), starts[1], axis=-1)


def page(kind: str, title: str, data: dict) -> str:
    """Returns an HTML page that loads no other file.

    Args:
        kind: "image", "text" or "embedding": the name of the script.
        title: of the page.
        data: JSON types.
    """
    parts = {
        "title": html.escape(title),
        "style": _file("page.css"),
        "data": embedded_json(data),
        "common": _file("common.js"),
        "script": _file(f"{kind}.js"),
    }
    return fill(_file("page.html"), parts)


def _file(name):
    return resources.files("kapps.visualize").joinpath("web", name).read_text(encoding="utf-8")
