"""Scenes of handwritten digits with their masks: the images for segmentation that are part of kapps.

A scene has several light digits of different sizes and colours on a dark background with clutter: lines, and fragments
of digits. Digits overlap little.
The class of a pixel is the digit that it shows, or background. The soft edge of a digit is void. Every scene depends
only on its split and its number.
"""

import functools

import numpy as np

from kapps.data.errors import DataError
from kapps.data.image.open_source import open_source
from kapps.data.image.splits import select_split
from kapps.data.segmentation.mask_classes import VOID, MaskClasses, voc_colours
from kapps.data.segmentation.mask_records import encode_png
from kapps.data.segmentation.mask_source import MaskSource
from kapps.data.sequence.pixel_sequences import read_grey_images

DIGIT_SCENES = "digit_scenes"
"""The name of the dataset."""
SIDE = 64
"""Height and width of a scene."""
SCENES = {"train": 1200, "validation": 300}
"""Number of scenes of each split."""
NAMES = ("background", *map(str, range(10)))
_DIGIT = 8
"""Height and width of a digit that is part of kapps."""
_SIDES = (20, 32)
"""Least and largest height and width of a digit in a scene."""
_INSIDE, _EDGE = 0.4, 0.2
"""Opacity above which a pixel is of the digit, and above which it is void."""
_DARK, _LIGHT = (0, 90), (120, 255)
"""Ranges of red, green and blue of the background, and of what is painted on it."""
_PLACES = 8
"""Number of random places to choose from: a digit is painted where it hides the fewest pixels of others."""


@functools.cache
def open_digit_scenes(split: str) -> MaskSource:
    """Returns the scenes of a split, "train" or "validation", as an archive in memory.

    Raises:
        DataError: there is no such split.
    """
    split = select_split("validation" if split.lower() == "test" else split, SCENES, DIGIT_SCENES)
    digits, labels = read_grey_images(open_source("digits", split=split), _DIGIT)
    pairs = [
        tuple(map(encode_png, make_scene(digits / 255, labels, list(SCENES).index(split), number)))
        for number in range(SCENES[split])
    ]
    images, masks = zip(*pairs, strict=True)
    names = [f"{split}/{number:04d}.png" for number in range(len(images))]
    return MaskSource(
        name=DIGIT_SCENES, split=split, kind="archive", class_names=NAMES, examples=len(images),
        bytes=sum(map(len, images + masks)), files=tuple(names), masks=tuple(names), encoded=images,
        encoded_masks=masks, classes=MaskClasses(NAMES, tuple(range(11)), voc_colours(11)),
        splits=tuple(SCENES),
    )  # fmt: skip


def make_scene(
    digits: np.ndarray, labels: np.ndarray, seed: int, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the image and the mask of a scene.

    Args:
        digits: float [n, height, width] in [0, 1].
        labels: int [n], in 0..9.
        seed, number: what the scene depends on.

    Returns:
        (image, mask): uint8 [SIDE, SIDE, 3], uint8 [SIDE, SIDE] of 0 for background, 1 + digit, and `VOID`.
    """
    if len(digits) != len(labels) or len(digits) == 0:
        raise DataError(f"{len(digits)} digits and {len(labels)} labels: pass as many of each")
    random = np.random.default_rng([seed, number])
    image, mask = _make_background(random), np.zeros((SIDE, SIDE), np.uint8)
    for _ in range(random.integers(1, 5)):
        # A quarter of a digit looks like a part of one, and is background.
        digit = digits[random.integers(len(digits))]
        y, x = random.integers(0, 2, 2) * (_DIGIT // 2)
        fragment = digit[y : y + _DIGIT // 2, x : x + _DIGIT // 2]
        _paint(image, mask, fragment, random, random.integers(8, 13))
    for _ in range(random.integers(0, 3)):
        _draw_line(image, random)
    for _ in range(random.integers(2, 5)):
        index, side = random.integers(len(digits)), random.integers(_SIDES[0], _SIDES[1] + 1)
        opacity, window = _paint(image, mask, digits[index], random, side)
        part = mask[window]
        part[opacity > _EDGE] = VOID
        part[opacity > _INSIDE] = 1 + labels[index]
    image += random.normal(0, 6, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), mask


def _make_background(random):
    """Returns a gradient between two dark colours, float [SIDE, SIDE, 3]."""
    first, last = random.uniform(*_DARK, (2, 3))
    angle = random.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:SIDE, :SIDE] / (SIDE - 1) - 0.5
    position = np.clip(0.5 + x * np.cos(angle) + y * np.sin(angle), 0, 1)[..., None]
    return first * (1 - position) + last * position


def _paint(image, mask, shape, random, side):
    """Paints an enlarged shape in a random light colour where it hides few digits; returns its opacity and window."""
    opacity = enlarge(shape, side)
    places = random.integers(0, SIDE - side + 1, (_PLACES, 2))
    windows = [(slice(y, y + side), slice(x, x + side)) for y, x in places]
    window = min(windows, key=lambda window: np.sum((mask[window] > 0) & (opacity > _EDGE)))
    colour = random.uniform(*_LIGHT, 3)
    image[window] += opacity[..., None] * (colour - image[window])
    return opacity, window


def _draw_line(image, random):
    """Draws a line of one to two pixels between two random points."""
    start, end = random.uniform(0, SIDE - 2, (2, 2))
    steps = np.linspace(0, 1, 2 * SIDE)[:, None]
    y, x = np.rint(start + steps * (end - start)).astype(int).T
    colour, width = random.uniform(0, 255, 3), random.integers(1, 3)
    for offset in range(width):
        image[y + offset, x] = colour


def enlarge(shape: np.ndarray, side: int) -> np.ndarray:
    """Returns a square array enlarged bilinearly: float [side, side]."""
    size = len(shape)
    position = np.clip((np.arange(side) + 0.5) * size / side - 0.5, 0, size - 1)
    weights = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(size)))
    return weights @ shape @ weights.T
