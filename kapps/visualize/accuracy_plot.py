"""Accuracy against multiply-accumulates and parameters: one point for each network."""

import math
import os

from kapps.visualize._style import COLOURS, FONT_SIZE, GREY, hide_spines, new_figure, save_figure

COSTS = (("macs", "multiply-accumulates (G)", 1e9), ("parameters", "parameters (M)", 1e6))
LABEL_OFFSETS = sorted(
    ((x, y) for x in range(-90, 91, 6) for y in range(-60, 61, 6) if max(abs(x), abs(y)) > 5),
    key=lambda offset: math.hypot(offset[0], 1.5 * offset[1]) - (offset[0] > 0),
)
"""Offsets of a label from its point, in points of 1/72 inch, nearest first."""


def plot_accuracy(points: list[dict], path: str | os.PathLike) -> None:
    """Plots top-1 accuracy against multiply-accumulates and against parameters.

    Args:
        points: one mapping for each network: "network", its name; "top1" in percent; "macs"; "parameters"; and
            "source", the publication that the accuracy is from. Points of one source have one colour.
        path: output file; its suffix sets the format: .png, .svg or .pdf.

    Raises:
        ValueError: if `points` is empty, for a suffix that matplotlib does not write, or if matplotlib is not
            installed.
        OSError: if the file cannot be written.
    """
    if not points:
        raise ValueError("points is empty: there is no network to plot")
    figure = new_figure(figsize=(13, 7))
    axes = figure.subplots(1, 2, sharey=True)
    sources = dict.fromkeys(point["source"] for point in points)
    for axis, (key, label, unit) in zip(axes, COSTS, strict=True):
        for source, colour in zip(sources, COLOURS, strict=False):
            members = [point for point in points if point["source"] == source]
            costs = [point[key] / unit for point in members]
            axis.scatter(
                costs, [point["top1"] for point in members], s=30, color=colour, label=source
            )
        _set_log_axis(axis, label)
    axes[0].set_ylabel("top-1 accuracy on ImageNet (%)")
    axes[0].legend(loc="lower right", fontsize=FONT_SIZE)
    figure.draw_without_rendering()  # lays the axes out, so that labels can be placed
    for axis, (key, _, unit) in zip(axes, COSTS, strict=True):
        _label_points(
            axis, [(point[key] / unit, point["top1"], point["network"]) for point in points]
        )
    save_figure(figure, path)


def _set_log_axis(axis, label):
    from matplotlib.ticker import LogLocator

    axis.set(xscale="log", xlabel=label)
    axis.margins(x=0.15, y=0.08)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("")
    axis.grid(alpha=0.25, which="both")
    hide_spines(axis)


def _label_points(axis, points):
    """Writes each point's name where it overlaps no other name or point; a line connects a distant name."""
    scale = 72 / axis.figure.dpi
    centres = [scale * axis.transData.transform(point[:2]) for point in points]
    (left, bottom), (right, top) = scale * axis.transAxes.transform([(0, 0), (1, 1)])
    boxes = [(x - 4, y - 4, x + 4, y + 4) for x, y in centres]
    for (x, y, name), (centre_x, centre_y) in zip(points, centres, strict=True):
        width = 0.56 * FONT_SIZE * len(name)
        for dx, dy in LABEL_OFFSETS:
            start = centre_x + dx - (width if dx < 0 else 0)
            box = (
                start,
                centre_y + dy - FONT_SIZE / 2,
                start + width,
                centre_y + dy + FONT_SIZE / 2 + 1,
            )
            inside = left < box[0] and box[2] < right and bottom < box[1] and box[3] < top
            if inside and not any(_overlap(box, other) for other in boxes):
                break
        else:
            dx, dy = 6, 0
        boxes.append(box)
        axis.annotate(
            name, (x, y), xytext=(dx, dy), textcoords="offset points", fontsize=FONT_SIZE, va="center",
            ha="right" if dx < 0 else "left",
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5} if math.hypot(dx, dy) > 15 else None,
        )  # fmt: skip


def _overlap(a, b):
    """Returns whether two boxes (left, bottom, right, top) overlap."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
