"""A caption of an image: for each word the image, light where the attention weights are large."""

import os
from collections.abc import Sequence

import numpy as np

from kapps.visualize._style import FONT_SIZE, new_figure, save_figure

PANELS = 6
"""Panels of a row."""
_DARKEST = 0.4
"""Brightness of the image where the weight is 0."""


def plot_caption(
    images: Sequence, captions: Sequence, weights: Sequence, path: str | os.PathLike
) -> None:
    """Plots images, and for each word of their captions the attention weights of the places of the image.

    The weights of a word are divided by their largest and enlarged to the size of the image.

    Args:
        images: the images, (height, width, 1 or 3) each, uint8 or floats in [0, 1].
        captions: the words of each caption.
        weights: of each caption, floats (words, rows, columns).
        path: output file; its suffix sets the format: .png, .svg or .pdf.

    Raises:
        ValueError: if there are no images or the weights do not match the words, for a suffix that matplotlib does not
            write, or if matplotlib is not installed.
        OSError: if the file cannot be written.
    """
    if not len(images):
        raise ValueError("images is empty: there is no caption to plot")
    for words, maps in zip(captions, weights, strict=True):
        if np.ndim(maps) != 3 or len(maps) != len(words):
            raise ValueError(
                f"weights have the shape {np.shape(maps)}, not (words, rows, columns) with {len(words)} words"
            )
    rows = [-(-(len(words) + 1) // PANELS) for words in captions]
    figure = new_figure(figsize=(1.5 * PANELS, 1.7 * sum(rows)))
    axes = figure.subplots(sum(rows), PANELS, squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    first = 0
    for image, words, maps, count in zip(images, captions, weights, rows, strict=True):
        panels = axes[first : first + count].ravel()
        image = as_floats(image)
        panels[0].imshow(image)
        for axis, word, values in zip(panels[1:], words, maps, strict=False):
            light = enlarge(np.asarray(values, float) / max(np.max(values), 1e-9), image.shape[:2])
            axis.imshow(image * (_DARKEST + (1 - _DARKEST) * light[..., None]))
            # A colour shows the weights on a dark background too.
            axis.imshow(light, cmap="Oranges", alpha=0.6 * light, vmin=0, vmax=1)
            axis.set_title(word, fontsize=FONT_SIZE + 1)
        first += count
    save_figure(figure, path)


def as_floats(image):
    """Returns an image as floats (height, width, 3) in [0, 1]."""
    image = np.asarray(image)
    image = image / 255 if image.dtype == np.uint8 else np.clip(image, 0, 1)
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image


def enlarge(values, size):
    """Returns a map enlarged bilinearly to (height, width)."""
    for axis, length in enumerate(size):
        count = values.shape[axis]
        position = np.clip((np.arange(length) + 0.5) * count / length - 0.5, 0, count - 1)
        weights = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(count)))
        values = np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)
    return values
