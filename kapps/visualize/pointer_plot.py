"""Answers of a pointer network: the points, and arrows from each point to the next one of the answer."""

import os
from collections.abc import Sequence

import numpy as np

from kapps.visualize._style import BLACK, COLOURS, FONT_SIZE, GREY, new_figure, save_figure

PANELS = 4
"""Panels of a row."""


def plot_pointers(
    points: Sequence, answers: Sequence, path: str | os.PathLike, expected: Sequence | None = None
) -> None:
    """Plots sets of points, one panel each, with the polygon of an answer as arrows, and the exact one as a wide line.

    Args:
        points: sets of points, floats (n, 2) each.
        answers: indices from 0 of each set, in the order of the answer, which is closed.
        path: output file; its suffix sets the format: .png, .svg or .pdf.
        expected: the exact answers, as `answers`; None for none.

    Raises:
        ValueError: for no sets, for a suffix that matplotlib does not write, or if matplotlib is not installed.
        OSError: if the file cannot be written.
    """
    if not len(points):
        raise ValueError("points is empty: there is no set to plot")
    columns = min(PANELS, len(points))
    rows = -(-len(points) // columns)
    figure = new_figure(figsize=(2.4 * columns, 2.4 * rows))
    for i, (xy, answer) in enumerate(zip(points, answers, strict=True)):
        axis, xy = figure.add_subplot(rows, columns, i + 1), np.asarray(xy)
        if expected is not None:
            line = xy[[*expected[i], *expected[i][:1]]]
            axis.plot(*line.T, color=COLOURS[0], linewidth=7, alpha=0.35, solid_joinstyle="round")
        axis.scatter(*xy.T, s=22, color=BLACK, zorder=3)
        for start, end in zip(answer, [*answer[1:], *answer[:1]], strict=True):
            arrow = dict(arrowstyle="-|>", color=COLOURS[1], shrinkA=2, shrinkB=3)
            axis.annotate("", xy=xy[end], xytext=xy[start], arrowprops=arrow)
        for number, place in enumerate(xy, start=1):
            offset = dict(textcoords="offset points", xytext=(4, 4), color=GREY)
            axis.annotate(str(number), place, fontsize=FONT_SIZE, **offset)
        axis.set(xticks=[], yticks=[], aspect="equal")
        axis.margins(0.12)
    save_figure(figure, path)
