"""Every variant of every accepted format: decoded as Pillow decodes and turns it, or named as not supported."""

import io
import struct
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from kapps.data.image import _orientation, decode_image
from kapps.data.image.random_crop import random_crop
from kapps.data.image.undecodable import why_undecodable
from kapps.preprocessing import Preprocessing

HEIGHT, WIDTH = 37, 52


def photograph(mode="RGB"):
    coarse = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    image = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return image.quantize(16) if mode == "P" else image.convert(mode)


def transparent(mode="RGBA"):
    pixels = np.dstack([np.asarray(photograph()), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    pixels[:8, :9, 3] = 0
    return Image.fromarray(pixels).convert(mode)


def encode(image, image_format, **options):
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def exif(orientation, order="<", kind=3, leading=()):
    """Returns EXIF with the tag of the orientation, after other tags, in one byte order and of one number type."""
    entries = [*leading, (0x0112, kind, 1, orientation)]
    content = struct.pack(order + "2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(entries))
    for tag, type_, count, value in entries:
        size = {1: "B3x", 3: "H2x", 4: "I"}[type_]
        content += struct.pack(order + "HHI" + size, tag, type_, count, value)
    return b"Exif\0\0" + content + struct.pack("<I", 0)


def bmp(bits, *, header=40, compression=0, top_down=False, palette=b"", masks=(), width=WIDTH):
    """Returns a BMP image of random bits, with headers as Windows and OS/2 write them."""
    row = (width * bits + 31) // 32 * 4
    pixels = np.random.default_rng(bits).integers(0, 256, row * HEIGHT, np.uint8).tobytes()
    masks = struct.pack(f"<{len(masks)}I", *masks)
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, HEIGHT, 1, bits)
    else:
        height = -HEIGHT if top_down else HEIGHT
        colours = len(palette) // 4
        info = struct.pack(
            "<IiiHHIIiiII", header, width, height, 1, bits, compression, 0, 0, 0, colours, 0
        )
        info += masks if header == 40 else (masks + bytes(header))[: header - 40]
    start = 14 + len(info) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + info + palette + pixels


def palette(colours, size=4):
    table = np.random.default_rng(colours).integers(0, 256, (colours, size), np.uint8)
    table[:, 3:] = 0
    return table.tobytes()


def gif_at(left, top, width, height, **options):
    """Returns a GIF whose frame is on a larger canvas."""
    content = bytearray(encode(photograph("P"), "GIF", **options))
    content[6:10] = struct.pack("<HH", width, height)
    frame = content.index(b"\x2c\0\0\0\0")
    content[frame + 1 : frame + 5] = struct.pack("<HH", left, top)
    return bytes(content)


def with_chunk(png, name, content):
    """Returns a PNG with a chunk before its end."""
    import zlib

    chunk = struct.pack(">I", len(content)) + name + content
    return png[:-12] + chunk + struct.pack(">I", zlib.crc32(name + content)) + png[-12:]


def two_frames(image, image_format, **options):
    return encode(image, image_format, save_all=True, append_images=[image.rotate(180)], **options)


RGB, RGBA, PALETTE = photograph(), transparent(), photograph("P")
ORIENTED = {
    "jpeg": lambda data: encode(RGB, "JPEG", quality=95, exif=data),
    "png": lambda data: encode(RGB, "PNG", exif=data),
    "webp": lambda data: encode(RGB, "WEBP", lossless=True, exif=data),
    "animated webp": lambda data: two_frames(RGB, "WEBP", lossless=True, exif=data),
}
VARIANTS = {
    f"{name}, orientation {number}": make(exif(number))
    for name, make in ORIENTED.items()
    for number in range(10)
} | {
    "jpeg, big-endian": ORIENTED["jpeg"](exif(6, ">")),
    "png, big-endian": ORIENTED["png"](exif(8, ">")),
    "jpeg, a long": ORIENTED["jpeg"](exif(5, kind=4)),
    "jpeg, other tags first": ORIENTED["jpeg"](exif(7, leading=[(0x0100, 3, 1, 6), (0x0111, 4, 1, 9)])),
    "jpeg, cut EXIF": ORIENTED["jpeg"](exif(6)[:17]),
    "jpeg, comment first": encode(RGB, "JPEG", quality=95, comment=b"x" * 300, exif=exif(6)),
    "jpeg, colour profile first": encode(RGB, "JPEG", quality=95, icc_profile=bytes(99_000), exif=exif(3)),
    "jpeg, fill bytes": b"\xff\xd8\xff\xff" + ORIENTED["jpeg"](exif(6))[3:],
    "png, EXIF after the pixels": with_chunk(encode(RGB, "PNG"), b"eXIf", exif(6)[6:]),
    "png, the name of EXIF elsewhere": with_chunk(encode(RGB, "PNG"), b"tEXt", b"Comment\0eXIf MM"),
    "jpeg, grey": encode(photograph("L"), "JPEG", quality=95),
    "jpeg, cmyk": encode(photograph("CMYK"), "JPEG", quality=95),
    "jpeg, cmyk turned": encode(photograph("CMYK"), "JPEG", quality=95, exif=exif(6)),
    "jpeg, progressive": encode(RGB, "JPEG", quality=95, progressive=True),
    "jpeg, rgb": encode(RGB, "JPEG", quality=95, keep_rgb=True),
    "mpo": two_frames(RGB, "MPO", quality=95),
    "png, grey": encode(photograph("L"), "PNG"),
    "png, grey and alpha": encode(transparent("LA"), "PNG"),
    "png, alpha": encode(RGBA, "PNG"),
    "png, 1 bit": encode(photograph("1"), "PNG"),
    "png, palette": encode(PALETTE, "PNG"),
    "png, palette of 2 bits": encode(RGB.quantize(4), "PNG", bits=2),
    "png, transparent palette": encode(PALETTE, "PNG", transparency=3),
    "png, transparent colour": encode(RGB, "PNG", transparency=(1, 2, 3)),
    "png, animated": two_frames(RGB, "PNG"),
    "gif": encode(PALETTE, "GIF"),
    "gif, grey": encode(photograph("L"), "GIF"),
    "gif, transparent": encode(PALETTE, "GIF", transparency=3),
    "gif, interlaced": encode(PALETTE, "GIF", interlace=1),
    "gif, comment": encode(PALETTE, "GIF", comment=b"x" * 700),
    "gif, animated": two_frames(PALETTE, "GIF"),
    "gif, frame inside": gif_at(9, 7, 70, 60),
    "gif, transparent frame inside": gif_at(9, 7, 70, 60, transparency=3),
    "gif, frame beyond the canvas": gif_at(9, 7, 30, 20),
    "webp": encode(RGB, "WEBP"),
    "webp, lossless": encode(RGB, "WEBP", lossless=True),
    "webp, alpha": encode(RGBA, "WEBP"),
    "webp, lossless alpha": encode(RGBA, "WEBP", lossless=True, exact=True),
    "webp, animated": two_frames(RGB, "WEBP"),
    "webp, animated alpha": two_frames(RGBA, "WEBP"),
    "webp, animated lossless alpha": two_frames(RGBA, "WEBP", lossless=True),
    "bmp": encode(RGB, "BMP"),
    "bmp, alpha": encode(RGBA, "BMP"),
    "bmp, grey": encode(photograph("L"), "BMP"),
    "bmp, 1 bit": encode(photograph("1"), "BMP"),
    "bmp, palette": encode(RGB.quantize(200), "BMP"),
    "bmp, palette of 2": bmp(1, palette=palette(2)),
    "bmp, palette of 16": bmp(4, palette=palette(16)),
    "bmp, short palette": bmp(8, palette=palette(256)[:800] + bytes(224)),
    "bmp, odd width": bmp(4, palette=palette(16), width=51),
    "bmp, 16 bits": bmp(16),
    "bmp, 16 bits 565": bmp(16, compression=3, masks=(0xF800, 0x7E0, 0x1F)),
    "bmp, 32 bits of fields": bmp(32, compression=3, masks=(0xFF0000, 0xFF00, 0xFF)),
    "bmp, 32 bits reversed": bmp(32, compression=3, masks=(0xFF, 0xFF00, 0xFF0000, 0xFF000000), header=108),
    "bmp, top-down": bmp(24, top_down=True),
    "bmp, top-down palette": bmp(8, top_down=True, palette=palette(256)),
    "bmp, version 5": bmp(24, header=124),
    "bmp, os/2": bmp(24, header=12),
    "bmp, os/2 palette": bmp(8, header=12, palette=palette(256, 3)),
}  # fmt: skip


@pytest.fixture(scope="module")
def decode():
    """`decode[channels](encoded)` runs in a graph, as in tf.data and in `serve_bytes`."""
    return {channels: decode_image.decode_graph(channels) for channels in (1, 3)}


# One test, since every test sets TensorFlow's seed, and TensorFlow then prepares the graphs again.
@pytest.mark.long
def test_variants_are_decoded_as_pillow_decodes_and_turns_them(decode):
    for name in VARIANTS:
        check_variant(decode, name)


def check_variant(decode, name):
    """Compares the pixels of an image in colour and grey with Pillow's."""
    content = VARIANTS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow: of a cut EXIF
        expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    for channels, mode in ((3, "RGB"), (1, "L")):
        pixels = np.asarray(expected.convert(mode)).astype(int)
        decoded = decode[channels](tf.constant(content)).numpy().astype(int)
        assert decoded.shape == (*pixels.shape[:2], channels), name
        difference = np.abs(decoded - pixels.reshape(decoded.shape))
        # CMYK: TensorFlow multiplies with another rounding. Grey: libpng and libjpeg have other weights.
        assert difference.max() <= (12 if channels == 1 or "cmyk" in name else 1), name


@pytest.mark.long
def test_adobe_colours_and_wide_pixels_are_decoded(decode):
    jpeg = encode(photograph("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in jpeg  # the marker of inverted inks
    grey = np.asarray(photograph("L"))
    png = encode(Image.fromarray(grey.astype(np.uint16) * 257), "PNG")
    for content, channels, expected in ((jpeg, 3, np.asarray(RGB)), (png, 1, grey[..., None])):
        decoded = decode[channels](tf.constant(content)).numpy().astype(int)
        assert np.abs(decoded - expected.astype(int)).mean() < 4


TRUNCATED = "corrupt or truncated"
UNSUPPORTED = {
    "BMP compressed by run lengths": bmp(8, compression=1, palette=palette(256)),
    "BMP compressed by run lengths ": bmp(4, compression=2, palette=palette(16)),
    "BMP compressed by JPEG": bmp(24, compression=4),
    "BMP of 13 bits per pixel": bmp(13),
    f"{TRUNCATED} BMP": bmp(24)[:-9],
    f"{TRUNCATED} JPEG": encode(RGB, "JPEG")[:-400],
    f"{TRUNCATED} PNG": encode(RGB, "PNG")[:-400],
    f"{TRUNCATED} GIF": encode(PALETTE, "GIF")[:-400],
    f"{TRUNCATED} WebP": encode(RGB, "WEBP")[:-40],
    f"{TRUNCATED} WebP ": two_frames(RGB, "WEBP")[:70],
    "PNG of 40,000 x 40,000 pixels": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 40000, 40000),
    "GIF of 65,535 x 65,535 pixels": b"GIF89a\xff\xff\xff\xff\0\0\0\x2c\0\0\0\0\1\0\1\0\0\2\2D\1\0;",
    "BMP of 40,000 x 40,000 pixels": bmp(24)[:18] + struct.pack("<II", 40000, 40000) + bmp(24)[26:],
    "TIFF": encode(RGB, "TIFF"),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(9),
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0",
    "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0",
    "SVG": b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>",
    "HTML": b"<!DOCTYPE html><html>",
    "empty file": b"",
    "only zeros": bytes(99),
    "not an image": b"something else",
    "JPEG with arithmetic coding": b"\xff\xd8\xff\xc9\0\x0b\x08\0\x08\0\x08\1\1\x11\0",
    "JPEG of 12 bits": b"\xff\xd8\xff\xc1\0\x0b\x0c\0\x08\0\x08\1\1\x11\0",
}  # fmt: skip


def test_what_is_not_decoded_raises_an_error_and_its_kind_is_named(decode):
    for reason, content in UNSUPPORTED.items():
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode[3](tf.constant(content))
        assert reason.strip() in why_undecodable(content)


@pytest.mark.long
def test_a_random_crop_is_one_of_the_turned_image():
    for image_format in ("JPEG", "PNG", "WebP"):
        for orientation in range(1, 9):
            check_random_crop(image_format, orientation)


def check_random_crop(image_format, orientation):
    """Compares a random crop of a stored image with that of the image that Pillow turned."""
    image = photograph().resize((4 * WIDTH, 4 * HEIGHT))
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "PNG": {}, "WebP": {"lossless": True}}
    options = options[image_format]
    stored = encode(image, image_format, exif=exif(orientation), **options)
    turned = encode(
        ImageOps.exif_transpose(Image.open(io.BytesIO(stored))), image_format, **options, exif=b""
    )
    crops = []
    for content in (stored, turned):
        prepared, numbers, orientations = decode_image.prepare_images(tf.constant([content]), 3)
        crop = random_crop(
            decode_image.PREPARED[int(numbers[0])], prepared[0], orientations[0], tf.constant([3, 7], tf.int64),
            Preprocessing(size=(24, 32)), 3, (0.1, 0.3), (3 / 4, 4 / 3),
        )  # fmt: skip
        crops.append(crop.numpy().astype(int))
    # A JPEG is decoded at a fraction of its size: the corners of the two crops are up to 4 pixels apart. Crops of
    # different places differ by 50 and more.
    limit = 10 if image_format == "JPEG" else 2
    assert np.abs(crops[0] - crops[1]).mean() < limit, (image_format, orientation)


def test_no_orientation_is_missed():
    """The pipeline reads the orientation only of images that have EXIF."""
    for name, content in VARIANTS.items():
        if content.startswith((b"\xff\xd8\xff", b"\x89PNG")):
            image_format = "JPEG" if content.startswith(b"\xff") else "PNG"
            orientation = int(decode_image.read_orientation(tf.constant(content), image_format))
            assert orientation == 1 or _orientation.has_exif(content), name
    plain = encode(RGB, "JPEG", comment=b"Exif\0\0")
    assert not _orientation.has_exif(plain) and not _orientation.has_exif(b"\xff\xd8\xff\xe1")


@pytest.mark.long
@pytest.mark.parametrize("channels", [pytest.param(1, marks=pytest.mark.long), 3])
def test_the_pipeline_and_serving_have_the_same_pixels(decode, channels):
    names = [
        name
        for name in VARIANTS
        if "6" in name or "gif" in name or "bmp" in name or "jpeg, " in name
    ]
    contents = [VARIANTS[name] for name in names] + list(UNSUPPORTED.values())
    prepared, numbers, orientations = decode_image.prepare_images(tf.constant(contents), channels)
    for index, name in enumerate(names):
        image_format = decode_image.PREPARED[int(numbers[index])]
        pixels = decode_image.decode_format(
            image_format, prepared[index], orientations[index], channels
        )
        np.testing.assert_array_equal(pixels, decode[channels](tf.constant(VARIANTS[name])))
    unknown = numbers.numpy()[len(names) :]
    assert (unknown == len(decode_image.PREPARED)).sum() >= 15  # the others fail as JPEG or PNG
