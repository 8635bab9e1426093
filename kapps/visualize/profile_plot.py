"""Costs of a model by depth: one bar for each layer, from the input to the output."""

import itertools
import os

from kapps.analysis import Profile
from kapps.visualize._style import (
    BLACK,
    FONT_SIZE,
    GREY,
    hide_spines,
    level_colour,
    new_figure,
    save_figure,
)


def plot_profile(profile: Profile, path: str | os.PathLike) -> None:
    """Plots the memory of feature maps and weights, multiply-accumulates and receptive field by depth.

    Args:
        profile: from `kapps.profile`.
        path: output file; its suffix sets the format: .png, .svg or .pdf.

    Raises:
        ValueError: for a suffix that matplotlib does not write, or if matplotlib is not installed.
        OSError: if the file cannot be written.
    """
    rows = profile.rows
    figure = new_figure(figsize=(min(max(7, len(rows) / 16), 14), 9))
    axes = figure.subplots(4, sharex=True)
    panels = (
        ("feature maps (MB)", [row.output_bytes / 1e6 for row in rows]),
        ("weights (MB)", [row.weight_bytes / 1e6 for row in rows]),
        ("MACs (M)", [row.macs / 1e6 for row in rows]),
    )
    positions, colours = range(1, len(rows) + 1), [level_colour(row.level) for row in rows]
    for axis, (label, values) in zip(axes, panels, strict=False):
        axis.bar(positions, values, width=1, color=colours, edgecolor="white", linewidth=0.2)
        axis.set_ylabel(label)
    _plot_receptive_fields(axes[3], profile, positions)
    axes[3].set(xlabel="layer, in the graph's order", xlim=(0.5, max(len(rows), 1) + 0.5))
    for axis in axes:
        _shade_levels(axis, rows)
        axis.grid(axis="y", alpha=0.25)
        hide_spines(axis)
        axis.margins(y=0.08)
    _label_levels(axes[0], rows)
    shape = ", ".join("x".join(map(str, x)) for x in profile.inputs)
    figure.suptitle(
        f"{profile.name}, input {shape}: {profile.macs / 1e9:,.3g} G multiply-accumulates, "
        f"{profile.parameters / 1e6:,.3g} M parameters,\npeak memory of activations: "
        f"{profile.inference_bytes / 1e6:,.1f} MB at inference, {profile.training_bytes / 1e6:,.1f} MB in training "
        f"({profile.dtype})",
        fontsize=10,
    )
    save_figure(figure, path)


def _plot_receptive_fields(axis, profile, positions):
    """Plots the receptive field of each layer, in pixels or steps of the input."""
    maps = [i for i, row in enumerate(profile.rows) if row.level is not None]
    indices = maps or range(len(profile.rows))  # the head's units see the whole input
    rows = [(positions[i], profile.rows[i].receptive_field) for i in indices]
    points = [
        (position, max(field.size for field in fields)) for position, fields in rows if fields
    ]
    axis.set_ylabel("receptive field")
    if not points:
        axis.text(0.5, 0.5, "not known", transform=axis.transAxes, ha="center", color=GREY)
        return
    axis.plot(*zip(*points, strict=True), drawstyle="steps-mid", color=BLACK, linewidth=1.5)
    side = max(profile.inputs[0][1:-1], default=0)
    if side:
        axis.axhline(side, color=GREY, linestyle="--", linewidth=1)
        axis.annotate(
            f"input size {side}", (0, side), xytext=(4, 3), textcoords="offset points",
            xycoords=("axes fraction", "data"), fontsize=FONT_SIZE, color=GREY,
        )  # fmt: skip


def _shade_levels(axis, rows):
    """Shades the background of each run of layers in its level's colour."""
    for level, first, last in _level_runs(rows):
        axis.axvspan(first - 0.5, last + 0.5, color=level_colour(level), alpha=0.09, linewidth=0)


def _label_levels(axis, rows):
    """Writes the names of levels above the runs that are wide enough."""
    for level, first, last in _level_runs(rows):
        if last - first + 1 >= len(rows) / 20:
            name = "head" if level is None else f"level {level}"
            axis.annotate(
                name, ((first + last) / 2, 1), xytext=(0, 3), textcoords="offset points",
                xycoords=("data", "axes fraction"), ha="center", fontsize=FONT_SIZE, color="#4a5866",
            )  # fmt: skip


def _level_runs(rows):
    """Returns (level, first, last) for each run of consecutive layers at one level; positions start at 1."""
    runs, position = [], 1
    for level, members in itertools.groupby(rows, key=lambda row: row.level):
        count = len(list(members))
        runs.append((level, position, position + count - 1))
        position += count
    return runs
