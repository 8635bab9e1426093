"""Plots of architecture searches: the regret by evaluations, and all evaluated networks by size and score."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from kapps.visualize._style import (
    BLACK,
    COLOURS,
    FONT_SIZE,
    GREY,
    hide_spines,
    new_figure,
    save_figure,
)

BASELINES = {"random": "--", "most_parameters": ":"}
"""Line styles of the baselines, which are black."""


def plot_regret(
    curves: Mapping[str, Sequence],
    path: str | os.PathLike,
    *,
    ylabel: str = "regret",
    bands: int = 4,
) -> None:
    """Plots the mean regret of searches by the number of evaluations, on logarithmic axes.

    Args:
        curves: {method: regrets (seeds, evaluations)}: by how much the best network so far is worse than the best of
            the space.
        path: output file; its suffix sets the format: .png, .svg or .pdf.
        ylabel: label of the vertical axis.
        bands: number of the first methods with a band from the lower to the upper quartile.

    Raises:
        ValueError: if `curves` is empty or an array has another shape, for a suffix that matplotlib does not write, or
            if matplotlib is not installed.
        OSError: if the file cannot be written.
    """
    if not curves:
        raise ValueError("curves is empty: there is no search to plot")
    arrays = {name: np.asarray(values, "float64") for name, values in curves.items()}
    for name, values in arrays.items():
        if values.ndim != 2 or not values.size:
            raise ValueError(
                f"{name}: regrets of shape {values.shape} are not (seeds, evaluations)"
            )
    figure = new_figure(figsize=(8, 4.8))
    axis = figure.subplots()
    least = min(values.mean(axis=0)[values.mean(axis=0) > 0].min() for values in arrays.values())
    colours = iter(COLOURS * 3)
    for i, (name, values) in enumerate(arrays.items()):
        steps = np.arange(1, values.shape[1] + 1)
        colour = BLACK if name in BASELINES else next(colours)
        mean = np.maximum(values.mean(axis=0), least / 2)
        axis.plot(
            steps, mean, color=colour, linewidth=1.3, label=name.replace("_", " "),
            linestyle=BASELINES.get(name, "-" if i < 10 else "-."),
        )  # fmt: skip
        if i < bands and len(values) > 1:
            low, high = np.quantile(values, [0.25, 0.75], axis=0)
            axis.fill_between(
                steps, np.maximum(low, least / 2), high, color=colour, alpha=0.12, linewidth=0
            )
    axis.set(xscale="log", yscale="log", xlabel="evaluated networks", ylabel=ylabel)
    axis.grid(alpha=0.25, which="both")
    hide_spines(axis)
    axis.legend(fontsize=FONT_SIZE, ncols=2)
    save_figure(figure, path)


def plot_evaluations(
    points: Mapping[str, Sequence], path: str | os.PathLike, *, ylabel: str = "score"
) -> None:
    """Plots all evaluated networks by parameters and score, and the Pareto front of all of them.

    Args:
        points: {method: (parameters, score) of each evaluated network}.
        path: output file; its suffix sets the format: .png, .svg or .pdf.
        ylabel: label of the score.

    Raises:
        ValueError: if there is no point, for a suffix that matplotlib does not write, or if matplotlib is not
            installed.
        OSError: if the file cannot be written.
    """
    every = sorted((x, -y) for values in points.values() for x, y in values)
    if not every:
        raise ValueError("points is empty: there is no network to plot")
    figure = new_figure(figsize=(8, 4.8))
    axis = figure.subplots()
    front, best = [], float("-inf")
    for x, negative in every:
        if -negative > best:
            best = -negative
            front.append((x, best))
    axis.step(*zip(*front, strict=True), where="post", color=GREY, linewidth=1, label="front")
    for i, (name, values) in enumerate(points.items()):
        if len(values):
            colour = COLOURS[i % len(COLOURS)]
            axis.scatter(
                *zip(*values, strict=True), s=14, color=colour, alpha=0.7, linewidths=0,
                marker="o" if i < len(COLOURS) else "s", label=name.replace("_", " "),
            )  # fmt: skip
    axis.set(xlabel="parameters", ylabel=ylabel, xscale="log")
    axis.grid(alpha=0.25)
    hide_spines(axis)
    axis.legend(fontsize=FONT_SIZE, ncols=2)
    save_figure(figure, path)
