"""Learned attention spans: one point for each head, by layer."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from kapps.visualize._style import BLACK, COLOURS, FONT_SIZE, hide_spines, new_figure, save_figure


def plot_spans(spans: Mapping[str, Sequence[float]], path: str | os.PathLike) -> None:
    """Plots the span of each head and the mean of each layer.

        kapps.visualize.plot_spans(kapps.layers.learned_spans(model), "spans.png")

    Args:
        spans: {layer name: spans of its heads in steps}, as `kapps.layers.learned_spans` returns them.
        path: output file; its suffix sets the format: .png, .svg or .pdf.

    Raises:
        ValueError: if `spans` is empty, for a suffix that matplotlib does not write, or if matplotlib is not installed.
        OSError: if the file cannot be written.
    """
    if not spans:
        raise ValueError("spans is empty: there is no layer to plot")
    layers = range(1, len(spans) + 1)
    figure = new_figure(figsize=(max(4.0, 1.5 + 0.4 * len(spans)), 3.6))
    axis = figure.subplots()
    means = [float(np.mean(values)) for values in spans.values()]
    axis.bar(layers, means, width=0.7, color=COLOURS[0], alpha=0.35, label="mean of the heads")
    for layer, values in zip(layers, spans.values(), strict=True):
        label = "heads" if layer == 1 else None
        axis.scatter([layer] * len(values), values, s=14, color=BLACK, zorder=3, label=label)
    axis.set_xticks(layers, spans, rotation=90, fontsize=FONT_SIZE)
    axis.set(ylabel="span (steps)", ylim=(0, None))
    axis.grid(axis="y", alpha=0.25)
    hide_spines(axis)
    axis.legend(fontsize=FONT_SIZE)
    save_figure(figure, path)
