"""From an encoded image to pixels: decoding, turning, the centre crop of evaluation."""

import functools

import numpy as np
import tensorflow as tf

from kapps.data.image import _bmp, _gif, _orientation, _webp
from kapps.data.image._bytes import read_int
from kapps.data.image._size_limit import check_size
from kapps.preprocessing import Preprocessing

KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic", "nearest": None}
"""Kernel of `ScaleAndTranslate` for each interpolation of `Preprocessing`."""
KERNEL_RADII = {"bilinear": 1, "bicubic": 2}
"""Radius of each kernel in pixels of the larger image."""
_MARGIN = 8
"""Pixels around a region of a JPEG, whose colours at the edge differ: libjpeg interpolates them from two blocks."""
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WebP")
PREPARED = ("JPEG", "PNG")
"""Formats of the images that `prepare_images` returns."""
DESCRIPTION = "JPEG, PNG, GIF, BMP or WebP"


def decode(encoded: tf.Tensor, channels: int = 3) -> tf.Tensor:
    """Decodes a JPEG (grey, colour or CMYK), PNG, GIF, BMP or WebP image, and turns it as its EXIF says.

    Only TensorFlow operations are used, so that training, evaluation and `serve_bytes` of an exported model have the
    same pixels.

    Args:
        encoded: string [].
        channels: 3, or 1 for grey.

    Returns:
        uint8 [height, width, channels]. Of an animation it is the first frame. 16-bit images lose their lower byte;
        transparency is dropped.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, for an image that cannot be decoded, of another format, of
            a kind that is not supported (BMP compressed by run lengths), or too large (`_size_limit.py`).
    """

    def unknown():
        tf.debugging.Assert(False, [f"it is not a {DESCRIPTION} image"])
        return tf.zeros([1, 1, channels], tf.uint8)

    def decode_as(image_format):
        return lambda: decode_format(
            image_format, encoded, read_orientation(encoded, image_format), channels
        )

    image_format = find_formats(encoded[None])[0]
    image = tf.switch_case(image_format, [*map(decode_as, FORMATS), unknown])
    return tf.ensure_shape(image, [None, None, channels])


def find_formats(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the number of each image's format in `FORMATS`, by its first bytes; `len(FORMATS)` for others.

    Args:
        encoded: string [n].

    Returns:
        int32 [n].
    """
    start = tf.io.decode_raw(tf.strings.substr(encoded, 0, 12), tf.uint8, fixed_length=12)

    def has(content, position=0):
        part = start[:, position : position + len(content)]
        return tf.reduce_all(part == tf.constant(list(content), tf.uint8), 1)

    is_webp = has(b"RIFF") & has(b"WEBP", 8)
    is_format = [has(b"\xff\xd8\xff"), has(b"\x89PNG"), has(b"GIF8"), has(b"BM"), is_webp]
    is_format.append(tf.ones_like(is_webp))
    return tf.argmax(tf.stack(is_format), output_type=tf.int32)


def prepare_images(encoded: tf.Tensor, channels: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns images as JPEG or PNG with their orientation, for the input pipeline. It raises no error.

    tf.data prepares a graph again for every iterator and for every few images, so that it has only what most images
    need. Other formats are decoded by `decode`, with the same pixels, and encoded as PNG.

    Args:
        encoded: string [n].
        channels: 3, or 1 for grey.

    Returns:
        Encoded images, string [n]; numbers of their formats in `PREPARED`, or `len(PREPARED)` for images that cannot be
        decoded, int32 [n]; their orientations, int64 [n].
    """

    def prepare(image):
        if image.startswith((b"\xff\xd8\xff", b"\x89PNG")):
            may_be_turned = _orientation.has_exif(image)
            orientation = int(_read_any_orientation(tf.constant(image))) if may_be_turned else 1
            return image, 0 if image.startswith(b"\xff") else 1, orientation
        try:
            return _to_png(channels)(tf.constant(image)).numpy(), 1, 1
        except tf.errors.OpError:
            return image, len(PREPARED), 1

    def prepare_all(images):
        images, formats, orientations = zip(*map(prepare, images), strict=True)
        return np.array(images, object), np.int32(formats), np.int64(orientations)

    types = [tf.string, tf.int32, tf.int64]
    results = tf.numpy_function(prepare_all, [encoded], types)
    return tuple(tf.ensure_shape(result, [None]) for result in results)


@functools.cache
def decode_graph(channels: int) -> tf.types.experimental.GenericFunction:
    """Returns `decode` as a graph of its own, which is traced once: it has some thousands of operations."""
    signature = [tf.TensorSpec([], tf.string)]
    decode_one = functools.partial(decode, channels=channels)
    return tf.function(decode_one, input_signature=signature, autograph=False)


@functools.cache
def _to_png(channels):
    """Returns a graph that decodes an image of any format and encodes it as PNG."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def to_png(encoded):
        return tf.io.encode_png(decode_graph(channels)(encoded), compression=1)

    return to_png


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def _read_any_orientation(encoded):
    readers = [functools.partial(read_orientation, encoded, name) for name in FORMATS]
    readers.append(lambda: tf.constant(1, tf.int64))
    return tf.switch_case(find_formats(encoded[None])[0], readers)


def read_orientation(encoded: tf.Tensor, image_format: str) -> tf.Tensor:
    """Returns the orientation of an image of a format, 1 to 8: int64 []."""
    if image_format not in _orientation.READERS:
        return tf.constant(1, tf.int64)
    return _orientation.READERS[image_format](encoded)


def decode_format(
    image_format: str, encoded: tf.Tensor, orientation: tf.Tensor, channels: int
) -> tf.Tensor:
    """Decodes an image of a known format with a known orientation; see `decode`.

    The graph has only the operations of the format. tf.data prepares it again for every few images, which takes
    long for a large graph.
    """
    if image_format == "JPEG":
        shape = tf.io.extract_jpeg_shape(encoded)
        encoded = check_size(shape[0], shape[1], encoded)
        image = _decode_jpeg(encoded, channels)
    elif image_format == "PNG":
        size = (read_int(encoded, position, 4, big_endian=True) for position in (20, 16))
        encoded = check_size(*size, encoded)
        image = tf.io.decode_png(encoded, channels)
    else:
        decoders = {"GIF": _gif.decode, "BMP": _bmp.decode, "WebP": _webp.decode}
        image = decoders[image_format](encoded)
        if channels == 1:
            image = tf.image.rgb_to_grayscale(image)
    if image_format in _orientation.READERS:
        image = _orientation.turn(image, orientation)
    return image


def _decode_jpeg(encoded, channels):
    """Returns the stored pixels of a JPEG image."""

    def decode_jpeg(channels):
        return tf.io.decode_jpeg(encoded, channels, dct_method="INTEGER_ACCURATE")

    if channels == 3:
        return decode_jpeg(3)
    # TensorFlow converts CMYK to colour but not to grey.
    return tf.cond(
        tf.io.extract_jpeg_shape(encoded)[2] == 4,
        lambda: tf.image.rgb_to_grayscale(decode_jpeg(3)),
        lambda: decode_jpeg(1),
    )


def decode_centre(
    image_format: str,
    encoded: tf.Tensor,
    orientation: tf.Tensor,
    preprocessing: Preprocessing,
    channels: int,
) -> tf.Tensor:
    """Decodes an image, resizes it and crops its centre, as `resize_and_crop` does.

    Of a JPEG only the region that the result depends on is decoded, unless it is turned by EXIF or in CMYK.

    Args:
        image_format, encoded, orientation, channels: as for `decode_format`.
        preprocessing: its size, crop and interpolation are used.

    Returns:
        float32 [*preprocessing.size, channels] in [0, 255].
    """

    def decode_all():
        image = decode_format(image_format, encoded, orientation, channels)
        return image, tf.zeros([2], tf.int32), tf.shape(image)[:2]

    if image_format != "JPEG" or preprocessing.interpolation == "nearest":
        return resize_and_crop(decode_all()[0], preprocessing)
    shape = tf.io.extract_jpeg_shape(encoded)

    def decode_region():
        size = shape[:2]
        resized, offset = _resized_and_offset(size, preprocessing)
        scale = tf.cast(resized / size, tf.float32)
        radius = KERNEL_RADII[preprocessing.interpolation] / tf.minimum(scale, 1.0)
        first = tf.cast(offset, tf.float32) / scale - radius - _MARGIN
        last = tf.cast(offset + preprocessing.size, tf.float32) / scale + radius + _MARGIN
        first = tf.maximum(tf.cast(first, tf.int32), 0)
        last = tf.minimum(tf.cast(last, tf.int32), size)
        region = tf.image.decode_and_crop_jpeg(
            check_size(size[0], size[1], encoded),
            tf.concat([first, last - first], 0),
            channels,
            dct_method="INTEGER_ACCURATE",
        )
        return region, first, size

    is_plain = (orientation == 1) & (shape[2] != 4)
    image, origin, size = tf.cond(is_plain, decode_region, decode_all)
    return resize_and_crop(image, preprocessing, origin, size)


def _resized_and_offset(
    size: tf.Tensor, preprocessing: Preprocessing
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the size of the resized image and the place of the crop in it, int32 [2], for an image's size."""
    height, width = preprocessing.size
    # Size of an image before the crop, if it has the proportions of the crop. The rounding is torchvision's.
    full = tf.constant([round(height / preprocessing.crop), round(width / preprocessing.crop)])
    is_wider = size[0] * full[1] <= size[1] * full[0]  # then the height sets the scale
    to_height = tf.stack([full[0], size[1] * full[0] // size[0]])
    to_width = tf.stack([size[0] * full[1] // size[1], full[1]])
    resized = tf.where(is_wider, to_height, to_width)
    return resized, tf.cast(tf.round((resized - [height, width]) / 2), tf.int32)


def resize_and_crop(
    image: tf.Tensor,
    preprocessing: Preprocessing,
    origin: tf.Tensor | None = None,
    size: tf.Tensor | None = None,
) -> tf.Tensor:
    """Resizes an image and crops its centre, as torchvision's `Resize` and `CenterCrop` do.

    Args:
        image: uint8 or float32 [height, width, channels] in [0, 255].
        preprocessing: its size, crop and interpolation are used.
        origin, size: if `image` is a region of a larger image, its first row and column and the larger image's size,
            int32 [2]. The region must hold all pixels that the crop depends on.

    Returns:
        float32 [*preprocessing.size, channels] in [0, 255].
    """
    height, width = preprocessing.size
    size = tf.shape(image)[:2] if size is None else size
    resized, offset = _resized_and_offset(size, preprocessing)
    if preprocessing.interpolation == "nearest":
        image = tf.image.resize(image, resized, "nearest")
        image = tf.slice(image, [*tf.unstack(offset), 0], [height, width, -1])
        return tf.ensure_shape(tf.cast(image, tf.float32), [height, width, None])
    # Computes what `tf.image.resize(antialias=True)` computes, only for the pixels of the crop.
    scale, translation = tf.cast(resized / size, tf.float32), tf.cast(-offset, tf.float32)
    if origin is not None:
        translation += scale * tf.cast(origin, tf.float32)
    image = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=[height, width],
        scale=scale,
        translation=translation,
        kernel_type=KERNELS[preprocessing.interpolation],
        antialias=True,
    )[0]
    # At edges a bicubic kernel overshoots the range of pixels.
    return tf.clip_by_value(image, 0.0, 255.0)


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Rounds float32 pixels in [0, 255] to uint8. Returns a uint8 image unchanged."""
    if image.dtype == tf.uint8:
        return image
    return tf.cast(image + 0.5, tf.uint8)
