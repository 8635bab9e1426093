"""Scenes of handwritten digits on a board of 3 x 3 cells, with captions of a grammar.

    caption = several | related | single
    several = "two" | "three" | "four", size, plural of a digit          # "three small sevens"
    related = "a", size, digit, "above" | "left of", "a", size, digit    # "a large three above a small seven"
    single  = "a", size, digit, "in the", place                          # "a small one in the top left"

A caption says what a scene shows, in one way: which digits, how many, how large and, unless they are several, where.
The words of digits fix where a model has to look. Every scene depends only on its split and its number; the scenes of
the two splits have digits of different handwriting.
"""

import dataclasses
import functools

import numpy as np

from kapps._checked import checked
from kapps.data.captions.captioned_images import CaptionedImages
from kapps.data.errors import DataError
from kapps.data.image.open_source import open_source
from kapps.data.image.splits import select_split
from kapps.data.segmentation.digit_scenes import enlarge
from kapps.data.sequence.pixel_sequences import read_grey_images

DIGIT_BOARDS = "digit_boards"
"""The name of the dataset."""
SPLITS = ("train", "validation")
CELLS, CELL = 3, 16
"""Cells in a row of the board, and height and width of a cell in pixels."""
SIDE = CELLS * CELL
"""Height and width of a scene."""
SIZES = {"small": 8, "large": 14}
"""Height and width of a digit in pixels."""
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PLURALS = tuple(f"{word}es" if word in ("zero", "six") else f"{word}s" for word in DIGITS)
COUNTS = ("two", "three", "four")
PLACES = tuple(
    "middle" if (row, column) == ("middle", "middle") else f"{row} {column}"
    for row in ("top", "middle", "bottom")
    for column in ("left", "middle", "right")
)
"""The names of the cells, row by row."""
_DIGIT = 8
"""Height and width of a digit that is part of kapps."""
_NOISE = 6.0
"""Standard deviation of the noise of a pixel."""


@dataclasses.dataclass(frozen=True)
class DigitBoards(CaptionedImages):
    """Scenes, their captions, and the cells that each word names.

    Args:
        cells: for each word of the caption of each scene, the cells that show it, numbered row by row from 0; () for
            words other than digits.
    """

    cells: tuple[tuple[tuple[int, ...], ...], ...] = dataclasses.field(repr=False, default=())


@checked
def make_digit_boards(split: str = "train", scenes: int = 4000) -> DigitBoards:
    """Returns the first scenes of a split, uint8 [scenes, SIDE, SIDE, 1], with one caption each.

    Args:
        split: "train" or "validation".
        scenes: number of scenes.

    Raises:
        DataError: there is no such split, or `scenes` is not positive.
    """
    if scenes < 1:
        raise DataError(f"scenes={scenes}: choose 1 or more")
    split = select_split("validation" if split.lower() == "test" else split, SPLITS, DIGIT_BOARDS)
    digits, labels = _read_digits(split)
    by_label = [np.flatnonzero(labels == label) for label in range(len(DIGITS))]
    images, captions, cells = [], [], []
    for number in range(scenes):
        random = np.random.default_rng([SPLITS.index(split), number])
        words, places = make_caption(random)
        images.append(_draw(places, digits, by_label, random))
        captions.append((" ".join(word for word, _ in words),))
        cells.append(tuple(inside for _, inside in words))
    names = tuple(f"{split} scene {number:,}" for number in range(scenes))
    return DigitBoards(
        DIGIT_BOARDS, split, np.stack(images), tuple(captions), names, tuple(cells)
    )  # fmt: skip


@functools.cache
def _read_digits(split):
    digits, labels = read_grey_images(open_source("digits", split=split), _DIGIT)
    return digits / 255, labels


def make_caption(random: np.random.Generator) -> tuple[list, list]:
    """Returns a caption of the grammar, and what the scene shows.

    Args:
        random: the generator that samples them.

    Returns:
        (words, digits): [(word, cells that show it), ...], and [(digit, size, cell), ...].
    """
    kind = random.integers(3)
    if kind == 0:
        digit, size = int(random.integers(10)), _size(random)
        count = int(random.integers(2, 5))
        cells = tuple(sorted(random.choice(CELLS**2, count, replace=False).tolist()))
        words = [(COUNTS[count - 2], ()), (size, ()), (PLURALS[digit], cells)]
        return words, [(digit, size, cell) for cell in cells]
    if kind == 1:
        digit, size, cell = int(random.integers(10)), _size(random), int(random.integers(CELLS**2))
        place = [(word, ()) for word in ("in", "the", *PLACES[cell].split())]
        return [("a", ()), (size, ()), (DIGITS[digit], (cell,)), *place], [(digit, size, cell)]
    digits, sizes = random.choice(10, 2, replace=False).tolist(), [_size(random), _size(random)]
    line, (first, second) = (
        int(random.integers(CELLS)),
        sorted(random.choice(CELLS, 2, replace=False).tolist()),
    )
    if random.integers(2):  # one above the other, in a column
        cells, relation = (CELLS * first + line, CELLS * second + line), ("above",)
    else:
        cells, relation = (CELLS * line + first, CELLS * line + second), ("left", "of")
    sides = [
        [("a", ()), (size, ()), (DIGITS[digit], (cell,))]
        for digit, size, cell in zip(digits, sizes, cells, strict=True)
    ]
    words = [*sides[0], *((word, ()) for word in relation), *sides[1]]
    return words, list(zip(digits, sizes, cells, strict=True))


def _size(random):
    return list(SIZES)[random.integers(len(SIZES))]


def _draw(places, digits, by_label, random):
    """Returns the image of (digit, size, cell) tuples, uint8 [SIDE, SIDE, 1]."""
    image = np.zeros((SIDE, SIDE))
    for digit, size, cell in places:
        side = SIZES[size]
        shape = enlarge(digits[random.choice(by_label[digit])], side)
        y, x = np.array(divmod(cell, CELLS)) * CELL + random.integers(0, CELL - side + 1, 2)
        image[y : y + side, x : x + side] = 255 * shape * random.uniform(0.7, 1)
    image += np.abs(random.normal(0, _NOISE, image.shape))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)[..., None]


def cell_of(place: int, grid: tuple[int, int]) -> int:
    """Returns the cell of the board in which the centre of a place of a feature map lies.

    Args:
        place: number of the place, row by row from 0.
        grid: height and width of the feature map.
    """
    row, column = divmod(place, grid[1])
    y, x = ((i + 0.5) * CELLS / size for i, size in zip((row, column), grid, strict=True))
    return CELLS * int(y) + int(x)
