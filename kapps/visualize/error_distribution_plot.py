"""Distributions of the errors of several populations of networks, with their bands."""

import os

from kapps.visualize._style import COLOURS, FONT_SIZE, hide_spines, new_figure, save_figure


def plot_error_distributions(
    distributions: dict, path: str | os.PathLike, *, xlabel: str = "error (%)", most: float | None = None
) -> None:  # fmt: skip
    """Plots the fraction of networks below each error; the legend has their number, least and mean error.

    Args:
        distributions: results of `kapps.search.design_space.edf` by name. The band around each line is their
            uncertainty.
        path: output file; its suffix sets the format: .png, .svg or .pdf.
        xlabel: label of the errors.
        most: largest error of the plot; None for all.

    Raises:
        ValueError: if `distributions` is empty, for a suffix that matplotlib does not write, or if matplotlib is not
            installed.
        OSError: if the file cannot be written.
    """
    if not distributions:
        raise ValueError("distributions is empty: there is no population to plot")
    figure = new_figure(figsize=(8, 4.5))
    axis = figure.subplots()
    for i, (name, population) in enumerate(distributions.items()):
        colour = COLOURS[i % len(COLOURS)]
        label = f"{name}: {population.count:,} | {population.minimum:.1f} | {population.mean:.1f}"
        axis.fill_between(
            population.errors, population.low, population.high, color=colour, alpha=0.2, linewidth=0
        )
        axis.plot(population.errors, population.fraction, color=colour, linewidth=1.2, label=label)
    axis.set(xlabel=xlabel, ylabel="fraction of networks with a smaller error", ylim=(0, 1.02))
    if most is not None:
        axis.set_xlim(min(x.minimum for x in distributions.values()), most)
    axis.grid(alpha=0.25)
    hide_spines(axis)
    axis.legend(
        title="networks | least | mean error", fontsize=FONT_SIZE, title_fontsize=FONT_SIZE
    )  # fmt: skip
    save_figure(figure, path)
