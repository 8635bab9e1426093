"""Plots of text and time series: Zipf's law, several lines on one axis, and predictions of a series."""

import math
import os
from collections.abc import Sequence

from kapps.visualize._style import (
    BLACK,
    COLOURS,
    FONT_SIZE,
    GREY,
    hide_spines,
    new_figure,
    save_figure,
)


def plot_zipf(counts: dict[str, tuple], path: str | os.PathLike) -> None:
    """Plots the counts of n-grams by rank on logarithmic axes, with the fitted lines.

    Args:
        counts: tuples (counts, alpha, c) by name. `counts` are in descending order; the fitted line is
            log n_i = -alpha log i + c.
        path: output file; its suffix sets the format: .png, .svg or .pdf.

    Raises:
        ValueError: if `counts` is empty, for a suffix that matplotlib does not write, or if matplotlib is not
            installed.
        OSError: if the file cannot be written.
    """
    figure, axis = _single_axis(counts, "counts")
    for (name, (ngram_counts, alpha, constant)), colour in zip(
        counts.items(), COLOURS, strict=False
    ):
        ranks = sorted({int(len(ngram_counts) ** (i / 300)) for i in range(301)})
        axis.plot(
            ranks, [ngram_counts[i - 1] for i in ranks], color=colour, label=f"{name}, {alpha:.2f}"
        )
        fitted = [math.exp(constant) * i**-alpha for i in ranks]
        axis.plot(ranks, fitted, color=colour, linestyle=":", linewidth=1)
    axis.set(xscale="log", yscale="log", xlabel="rank", ylabel="count", ylim=(0.7, None))
    axis.legend(title="exponent of the dotted line", fontsize=FONT_SIZE, title_fontsize=FONT_SIZE)
    save_figure(figure, path)


def plot_lines(
    lines: dict[str, tuple[Sequence, Sequence]],
    path: str | os.PathLike,
    xlabel: str,
    ylabel: str,
    *,
    logarithmic: bool = False,
    levels: dict[str, float] | None = None,
    marker: str | None = None,
) -> None:
    """Plots several lines on one axis. The first line is black: it is the reference.

    Args:
        lines: pairs (x values, y values) by name.
        path: output file; its suffix sets the format: .png, .svg or .pdf.
        xlabel: label of the horizontal axis.
        ylabel: label of the vertical axis.
        logarithmic: whether the vertical axis is logarithmic.
        levels: y values of dashed horizontal lines by name, for example the result of another model.
        marker: matplotlib's name of the marker at each point, such as "o"; None for no markers.

    Raises:
        ValueError: if `lines` is empty, for a suffix that matplotlib does not write, or if matplotlib is not
            installed.
        OSError: if the file cannot be written.
    """
    figure, axis = _single_axis(lines, "lines")
    for (name, points), colour in zip(lines.items(), (BLACK, *COLOURS), strict=False):
        axis.plot(*points, color=colour, linewidth=1.2, label=name, marker=marker, markersize=4)
    for name, level in (levels or {}).items():
        axis.axhline(level, color=GREY, linestyle="--", linewidth=1)
        axis.annotate(
            f"{name} {level:.3g}", (1, level), xytext=(-4, 3), textcoords="offset points",
            xycoords=("axes fraction", "data"), fontsize=FONT_SIZE, color=GREY, ha="right",
        )  # fmt: skip
    axis.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if logarithmic else "linear")
    if logarithmic:
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("{x:g}")
        axis.tick_params(axis="y", which="both", labelsize=FONT_SIZE)
    axis.legend(fontsize=FONT_SIZE)
    save_figure(figure, path)


def plot_predictions(
    panels: dict[str, dict],
    path: str | os.PathLike,
    xlabel: str,
    ylabel: str,
    *,
    test_start: float | None = None,
) -> None:
    """Plots a time series in grey and its predictions in colour, in panels below each other.

    Args:
        panels: by title, a mapping from names to pairs (x values, y values). The first pair is the series.
        path: output file; its suffix sets the format: .png, .svg or .pdf.
        xlabel: label of the horizontal axis.
        ylabel: label of the vertical axis.
        test_start: x value at which the test data begin; marked by a dashed line.

    Raises:
        ValueError: if `panels` is empty, for a suffix that matplotlib does not write, or if matplotlib is not
            installed.
        OSError: if the file cannot be written.
    """
    if not panels:
        raise ValueError("panels is empty: there is no panel to plot")
    figure = new_figure(figsize=(9, 2.8 * len(panels) + 0.4))
    axes = figure.subplots(len(panels), sharex=True, sharey=True, squeeze=False).ravel()
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        for (name, points), colour in zip(lines.items(), ("#b9bec4", *COLOURS), strict=False):
            axis.plot(*points, color=colour, linewidth=1, label=name)
        if test_start is not None:
            axis.axvline(test_start, color=GREY, linestyle="--", linewidth=1)
        axis.set_title(title, fontsize=FONT_SIZE + 1)
        axis.grid(alpha=0.25)
        hide_spines(axis)
        axis.legend(fontsize=FONT_SIZE - 1, loc="upper left", ncols=len(lines))
    figure.supxlabel(xlabel, fontsize=FONT_SIZE + 1)
    figure.supylabel(ylabel, fontsize=FONT_SIZE + 1)
    save_figure(figure, path)


def _single_axis(lines, argument):
    """Returns a figure and its only axis; raises ValueError if there is nothing to plot."""
    if not lines:
        raise ValueError(f"{argument} is empty: there is no line to plot")
    figure = new_figure(figsize=(8, 4.5))
    axis = figure.subplots()
    axis.grid(alpha=0.25)
    hide_spines(axis)
    return figure, axis
