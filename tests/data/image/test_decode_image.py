"""Decoding, compared with Pillow."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kapps.data.image import decode_image


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "image_format, mode",
    [
        ("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"),
        ("PNG", "RGB"), ("PNG", "L"), ("PNG", "P"), ("PNG", "1"), ("PNG", "RGBA"), ("PNG", "LA"),
        ("BMP", "RGB"), ("GIF", "P"), ("WEBP", "RGB"),
    ],
)  # fmt: skip
def test_formats_are_decoded_as_pillow_decodes_them(make, image_format, mode, channels):
    content = make.encoded(make.photograph(mode=mode), image_format)
    decoded = decode_image.decode(tf.constant(content), channels).numpy()
    expected = Image.open(io.BytesIO(content)).convert(
        "RGB" if channels == 3 else mode if mode in "L1" else "RGB"
    )
    expected = np.asarray(expected.convert("RGB" if channels == 3 else "L"))
    assert decoded.dtype == np.uint8 and decoded.shape == (120, 160, channels)
    difference = np.abs(decoded.astype(int) - expected.reshape(decoded.shape).astype(int))
    # CMYK: TensorFlow multiplies with another rounding. Grey from a palette: libpng has other weights of the colours.
    assert difference.mean() < 2.5 and difference.max() <= 12


def test_a_ycck_jpeg_is_decoded_to_colour(make):
    inverted = make.encoded(make.photograph(mode="CMYK"), "JPEG", quality=95)
    assert b"Adobe" in inverted  # the marker of inverted inks
    colour = decode_image.decode(tf.constant(inverted)).numpy().astype(int)
    assert np.abs(colour - np.asarray(make.photograph()).astype(int)).mean() < 4


def test_a_16_bit_png_loses_its_lower_byte(make):
    grey = np.asarray(make.photograph(mode="L"))
    image = Image.fromarray(grey.astype(np.uint16) * 257)
    decoded = decode_image.decode(tf.constant(make.encoded(image, "PNG")), 1).numpy()[..., 0]
    np.testing.assert_array_equal(decoded, grey)
