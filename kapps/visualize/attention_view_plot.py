"""Plots of attention weights: lines between tokens for one layer, and a grid of all layers and heads."""

import os
from collections.abc import Sequence

import numpy as np

from kapps.visualize._style import COLOURS, FONT_SIZE, new_figure, save_figure


def plot_head_view(
    view: np.ndarray, queries: Sequence[str], keys: Sequence[str], path: str | os.PathLike
) -> None:
    """Plots the weights of the heads of one layer as lines from the queries on the left to the keys on the right.

    Each head has a colour; the opacity of a line is its weight.

        maps = kapps.visualize.attention_maps(model, tokens)
        view = kapps.visualize.head_view(maps, "encoder1_attention")
        kapps.visualize.plot_head_view(view, words, words, "heads.png")

    Args:
        view: (heads, queries, keys), of `head_view`.
        queries, keys: texts of the steps.
        path: output file; its suffix sets the format: .png, .svg or .pdf.

    Raises:
        ValueError: for other numbers of texts, for a suffix that matplotlib does not write, or if matplotlib is not
            installed.
        OSError: if the file cannot be written.
    """
    view = np.asarray(view)
    if view.ndim != 3 or view.shape[1:] != (len(queries), len(keys)):
        raise ValueError(
            f"view of shape {view.shape}, {len(queries)} queries and {len(keys)} keys: pass (heads, queries, keys)"
        )
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    rows = max(len(queries), len(keys))
    figure = new_figure(figsize=(4.5, 0.6 + 0.18 * rows))
    axis = figure.subplots()
    for head, weights in enumerate(view):
        i, j = np.nonzero(weights > 0.01)
        shift = 0.5 * (
            (head + 0.5) / len(view) - 0.5
        )  # lines of different heads lie next to each other
        lines = [((0, a + shift), (1, b + shift)) for a, b in zip(i, j, strict=True)]
        colour = to_rgba(COLOURS[head % len(COLOURS)])[:3]
        colours = [(*colour, min(1, float(weights[a, b]))) for a, b in zip(i, j, strict=True)]
        axis.add_collection(LineCollection(lines, colors=colours, linewidths=1.2))
    for x, texts, align in ((-0.03, queries, "right"), (1.03, keys, "left")):
        for y, text in enumerate(texts):
            axis.text(x, y, text, ha=align, va="center", fontsize=FONT_SIZE)
    axis.set(xlim=(-0.6, 1.6), ylim=(rows - 0.5, -0.5))
    axis.set_axis_off()
    save_figure(figure, path)


def plot_model_view(view: np.ndarray, path: str | os.PathLike, layers: Sequence[str] = ()) -> None:
    """Plots the weights of all heads of several layers: a row for each layer, a column for each head.

    Black is the largest weight of a head and white is 0. Queries are rows and keys are columns.

    Args:
        view: (layers, heads, queries, keys), of `model_view`.
        path: output file; its suffix sets the format: .png, .svg or .pdf.
        layers: names of the rows.

    Raises:
        ValueError: for a view of other dimensions, for a suffix that matplotlib does not write, or if matplotlib is not
            installed.
        OSError: if the file cannot be written.
    """
    view = np.asarray(view)
    if view.ndim != 4 or not view.size:
        raise ValueError(f"view of shape {view.shape}: pass (layers, heads, queries, keys)")
    rows, columns = view.shape[:2]
    figure = new_figure(figsize=(0.5 + 1.2 * columns, 0.3 + 1.2 * rows))
    axes = figure.subplots(rows, columns, squeeze=False)
    for i, row in enumerate(axes):
        for j, axis in enumerate(row):
            axis.imshow(view[i, j], cmap="Greys", vmin=0, interpolation="nearest", aspect="auto")
            axis.set(xticks=[], yticks=[])
            if i == 0:
                axis.set_title(f"head {j}", fontsize=FONT_SIZE)
        if i < len(layers):
            row[0].set_ylabel(layers[i], fontsize=FONT_SIZE)
    save_figure(figure, path)
