"""Plots of arrays of images: heat maps next to their images, and sheets of filters, feature maps and images."""

import math
import os
from collections.abc import Mapping, Sequence

import numpy as np

from kapps.visualize._style import FONT_SIZE, new_figure, save_figure


def plot_heat_maps(
    images: Sequence, maps: Mapping[str, Sequence], path: str | os.PathLike, titles: Sequence[str] = ()
) -> None:  # fmt: skip
    """Plots each image in a row with its heat maps: red for positive values, blue for negative ones.

        heat = {name: getattr(kapps.visualize, name)(model, images) for name in ("saliency", "grad_cam")}
        kapps.visualize.plot_heat_maps(images, heat, "maps.png")

    Each map has a scale of its own, from the smaller to the larger of plus and minus its 99th percentile.

    Args:
        images: (batch, height, width, 1 or 3), of any range.
        maps: {method: (batch, height, width) or (batch, height, width, channels)}; of channels the sum is plotted.
        path: output file; its suffix sets the format: .png, .svg or .pdf.
        titles: text of each row, such as the class.

    Raises:
        ValueError: for no images or other numbers of maps, for a suffix that matplotlib does not write, or if
            matplotlib is not installed.
        OSError: if the file cannot be written.
    """
    images = np.asarray(images, "float32")
    if not len(images) or any(len(rows) != len(images) for rows in maps.values()):
        sizes = {name: len(rows) for name, rows in maps.items()}
        raise ValueError(
            f"{len(images)} images and maps of {sizes}: pass a map of each method for each image"
        )
    figure = new_figure(figsize=(1.6 * (len(maps) + 1), 1.65 * len(images) + 0.3))
    axes = figure.subplots(len(images), len(maps) + 1, squeeze=False)
    for axis, name in zip(axes[0], ["image", *maps], strict=True):
        axis.set_title(name, fontsize=FONT_SIZE)
    for i, (row, image) in enumerate(zip(axes, images, strict=True)):
        _show(row[0], image)
        if i < len(titles):
            row[0].set_ylabel(titles[i], fontsize=FONT_SIZE)
        for axis, heat in zip(row[1:], maps.values(), strict=True):
            heat = np.asarray(heat[i], "float32")
            heat = heat.sum(axis=-1) if heat.ndim == 3 else heat
            most = float(np.percentile(np.abs(heat), 99)) or 1.0
            axis.imshow(heat, cmap="RdBu_r", vmin=-most, vmax=most)
            axis.set(xticks=[], yticks=[])
    save_figure(figure, path)


def plot_sheet(
    images: Sequence, path: str | os.PathLike, titles: Sequence[str] = (), *, columns: int | None = None
) -> None:  # fmt: skip
    """Plots images on one sheet, row by row, all with one scale.

        kernels = kapps.visualize.filters(model)  # (height, width, 3, filters)
        kapps.visualize.plot_sheet(kernels.transpose(3, 0, 1, 2), "filters.png")

    Args:
        images: (count, height, width) or (count, height, width, 1 or 3), of any range.
        path: output file; its suffix sets the format: .png, .svg or .pdf.
        titles: text above each image.
        columns: images in a row; None for a square sheet.

    Raises:
        ValueError: for no images, for a suffix that matplotlib does not write, or if matplotlib is not installed.
        OSError: if the file cannot be written.
    """
    images = np.asarray(images, "float32")
    if images.ndim not in (3, 4) or not len(images):
        raise ValueError(
            f"images of shape {images.shape}: pass (count, height, width) or with channels"
        )
    columns = columns or math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    figure = new_figure(
        figsize=(max(2.0, 0.9 * columns), max(2.0, (1.1 if titles else 0.9) * rows))
    )
    axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    low, high = float(images.min()), float(images.max())
    for i, axis in enumerate(axes):
        axis.set_axis_off()
        if i < len(images):
            _show(axis, images[i], low, high)
            if i < len(titles):
                axis.set_title(titles[i], fontsize=FONT_SIZE)
    save_figure(figure, path)


def _show(axis, image, low=None, high=None):
    """Draws an image whose smallest and largest number are black and white."""
    low, high = (image.min(), image.max()) if low is None else (low, high)
    image = (image - low) / ((high - low) or 1)
    if image.ndim == 3 and image.shape[-1] != 3:
        image = image.mean(axis=-1)
    axis.imshow(image, cmap="gray", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])
