"""Attention weights of an encoder-decoder: words of the source in columns, words of the target in rows."""

import os
from collections.abc import Sequence

import numpy as np

from kapps.visualize._style import FONT_SIZE, new_figure, save_figure


def plot_attention(
    weights: dict[str, np.ndarray],
    source: Sequence[str],
    target: Sequence[str],
    path: str | os.PathLike,
) -> None:
    """Plots the attention weight of each source word for each target word, one panel for each layer.

    Black is 1 and white is 0.

    Args:
        weights: floats in [0, 1] by layer, of shape (target, source) or (heads, target, source). The mean over
            heads is plotted.
        source: words of the columns.
        target: words of the rows.
        path: output file; its suffix sets the format: .png, .svg or .pdf.

    Raises:
        ValueError: if `weights` is empty or its shapes do not match the words, for a suffix that matplotlib does not
            write, or if matplotlib is not installed.
        OSError: if the file cannot be written.
    """
    if not weights:
        raise ValueError("weights is empty: there are no attention weights to plot")
    maps = {
        name: np.asarray(values).reshape(-1, *np.shape(values)[-2:]).mean(axis=0)
        for name, values in weights.items()
    }
    for name, values in maps.items():
        if values.shape != (len(target), len(source)):
            raise ValueError(
                f"{name} has weights for {values.shape[0]} target words and {values.shape[1]} source words, but there "
                f"are {len(target)} and {len(source)}"
            )
    # Inches of the longest label of each axis, and of the title.
    of_source, of_target = (0.08 * max(map(len, words), default=0) for words in (source, target))
    width = 0.3 * len(source) + 0.5 + max(1.0, of_target)
    height = 0.26 * len(target) + 0.6 + max(1.0, of_source)
    columns, rows = min(len(maps), 2), -(-len(maps) // 2)
    figure = new_figure(figsize=(max(3.5, width) * columns, height * rows))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(maps) :]:
        axis.remove()
    for axis, (name, values) in zip(axes, maps.items(), strict=False):
        axis.imshow(values, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        axis.set_title(name, fontsize=FONT_SIZE + 1)
        axis.set_xticks(range(len(source)), source, rotation=90, fontsize=FONT_SIZE)
        axis.set_yticks(range(len(target)), target, fontsize=FONT_SIZE)
        axis.xaxis.tick_top()
        axis.set_xticks(np.arange(len(source) + 1) - 0.5, minor=True)
        axis.set_yticks(np.arange(len(target) + 1) - 0.5, minor=True)
        axis.grid(which="minor", color="#dddddd", linewidth=0.5)
        axis.tick_params(which="both", length=0)
    save_figure(figure, path)
