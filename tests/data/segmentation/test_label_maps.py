"""Masks of each kind of PNG that Pillow writes decode to the same label map."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kapps.data import DataError
from kapps.data.segmentation import VOID, read_mask_classes
from kapps.data.segmentation.label_maps import decode_mask, explain_pair, prepare_mask

COLOURS = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0), (224, 224, 192)], np.uint8)
NUMBERS = np.random.default_rng(0).integers(0, 4, (9, 13)).astype(np.uint8)  # 3 is void
EXPECTED = np.where(NUMBERS == 3, VOID, NUMBERS)


@pytest.fixture
def classes(tmp_path):
    rows = [f"{name},{r},{g},{b}" for name, (r, g, b) in zip("abcv", COLOURS, strict=True)]
    path = tmp_path / "classes.csv"
    path.write_text("\n".join(["name,r,g,b", *rows]), encoding="utf-8")
    return read_mask_classes(path, void=3)


def palette_image(numbers):
    image = Image.fromarray(numbers)
    image.putpalette([7] * 768)  # all colours are equal: only the indices differ
    return image


def decode(encoded, classes):
    return decode_mask(tf.constant(prepare_mask(encoded)), classes).numpy()[..., 0]


@pytest.mark.parametrize("kind", ["grey", "palette", "2 bits", "transparent", "colours", "RGBA"])
def test_every_kind_of_png_is_the_same_label_map(make, classes, kind):
    options = {"bits": 2} if kind == "2 bits" else {}
    image = {
        "grey": lambda: Image.fromarray(NUMBERS),
        "palette": lambda: palette_image(NUMBERS),
        "2 bits": lambda: palette_image(NUMBERS),
        "transparent": lambda: Image.merge(
            "LA", [Image.fromarray(NUMBERS), Image.fromarray(np.full_like(NUMBERS, 9))]
        ),
        "colours": lambda: Image.fromarray(COLOURS[NUMBERS]),
        "RGBA": lambda: Image.fromarray(COLOURS[NUMBERS]).convert("RGBA"),
    }[kind]()
    encoded = make.encoded(image, "PNG", **options)
    np.testing.assert_array_equal(decode(encoded, classes), EXPECTED)


def test_one_bit_a_pixel(make, classes):
    encoded = make.encoded(Image.fromarray(NUMBERS % 2 == 1), "PNG")
    np.testing.assert_array_equal(decode(encoded, classes), NUMBERS % 2)


def explain(make, image, mask, classes):
    return explain_pair(make.encoded(image, "PNG"), prepare_mask(mask), classes)


@pytest.mark.long
def test_a_mask_that_cannot_be_read_has_a_reason(make, classes):
    image = make.photograph(9, 13)
    deep = Image.fromarray(NUMBERS.astype(np.int32) * 300).convert("I;16")
    png = make.encoded(Image.fromarray(NUMBERS), "PNG")
    for mask, words in [
        (make.encoded(image, "JPEG"), "not PNG"),
        (make.encoded(deep, "PNG"), "16 bits"),
        (b"", "empty file"),
        (png[:60], "corrupt or truncated PNG"),
        (
            make.encoded(Image.fromarray(NUMBERS[:, :9]), "PNG"),
            "9 x 9 pixels, and the image 9 x 13",
        ),
    ]:
        reason = explain(make, image, mask, classes)
        assert "its mask" in reason and words in reason and "\n" not in reason
    assert explain_pair(b"\x89PNG", prepare_mask(png), classes) == "corrupt or truncated PNG"


def test_values_and_colours_that_are_no_class_raise(make, classes):
    image, other = make.photograph(9, 13), NUMBERS.copy()
    other[0, 0] = 57
    colours = COLOURS[NUMBERS].copy()
    colours[2, 3] = (1, 2, 3)
    without = dataclasses.replace(classes, has_palette=False)
    for mask, described, words in [
        (Image.fromarray(other), classes, "value 57, and the classes are 0..2, void 3"),
        (Image.fromarray(colours), classes, "colour (1, 2, 3)"),
        (Image.fromarray(colours), without, "columns name, r, g, b"),
    ]:
        with pytest.raises(DataError) as error:
            explain(make, image, make.encoded(mask, "PNG"), described)
        assert words in str(error.value) and "\n" not in str(error.value)
