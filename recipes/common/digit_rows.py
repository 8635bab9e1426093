"""Rows of digits: the images of handwritten digits that are part of kapps, one column per step."""

import numpy as np

from kapps import data
from kapps.data import sequence

COLUMNS, ROWS = 8, 8
"""Size of the images."""


def load_digits(split):
    """Returns the digits of kapps: images [n, 8, 8] in [-1, 1], so that no column is zero, and their labels."""
    images, labels = sequence.read_grey_images(data.open_source("digits", split=split), ROWS)
    return images.astype("float32") / 127.5 - 1, labels


def make_digit_rows(split, count, random, gap=0):
    """Returns rows of three to six digits, one image column per step, padded with zeros, and the digits of each row."""
    images, labels = load_digits(split)
    rows, row_labels = [], []
    for _ in range(count):
        indices = random.integers(0, len(labels), random.integers(3, 7))
        parts = []
        for index in indices:
            parts += [images[index].T, np.full((random.integers(0, gap + 1), ROWS), -1, "float32")]
        rows.append(np.concatenate(parts))
        row_labels.append(labels[indices])
    steps = 6 * (COLUMNS + gap)
    values = np.zeros((count, steps, ROWS), "float32")
    for row, value in zip(rows, values, strict=True):
        value[: len(row)] = row
    return values, row_labels
