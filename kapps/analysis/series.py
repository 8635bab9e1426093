"""Images of text and of time series: Zipf's law, predictions beside what came, errors and losses over steps."""

import math
import os
from collections.abc import Sequence

from kapps.analysis.plotting import COLOURS, HEAD, blank, save


def zipf(lines: dict[str, tuple], path: str | os.PathLike) -> None:
    """Draws how often n-grams are there by their rank, both axes logarithmic, with the lines that were fitted.

    Args:
        lines: by name (counts from the most frequent on, alpha, c), with log n_i = -alpha log i + c.
        path: of the image; its suffix says what it is: .png, .svg, .pdf.

    Raises:
        ValueError: where there is no line, or for a suffix that matplotlib does not write.
        OSError: where the file cannot be written.
    """
    axis, figure = _axis(lines)
    for (name, (counts, alpha, constant)), colour in zip(lines.items(), COLOURS, strict=False):
        ranks = sorted({int(len(counts) ** (i / 300)) for i in range(301)})
        axis.plot(ranks, [counts[i - 1] for i in ranks], color=colour, label=f"{name}, {alpha:.2f}")
        fitted = [math.exp(constant) * i**-alpha for i in ranks]
        axis.plot(ranks, fitted, color=colour, linestyle=":", linewidth=1)
    axis.set(
        xscale="log", yscale="log", xlabel="rank", ylabel="how often it is there", ylim=(0.7, None)
    )
    axis.legend(title="exponent of the dotted line", fontsize=8, title_fontsize=8)
    save(figure, path)


def lines(
    drawn: dict[str, tuple[Sequence, Sequence]],
    path: str | os.PathLike,
    across: str,
    up: str,
    *,
    logarithmic: bool = False,
    levels: dict[str, float] | None = None,
) -> None:
    """Draws lines over one axis; the first is black, being what the others are compared with.

    Args:
        drawn: (across, up) by name.
        path: of the image; its suffix says what it is: .png, .svg, .pdf.
        across: what the axis to the right is.
        up: what the axis upwards is.
        logarithmic: whether the axis upwards is.
        levels: by name, where a dashed line lies across all, such as what another model reaches.

    Raises:
        ValueError: where there is no line, or for a suffix that matplotlib does not write.
        OSError: where the file cannot be written.
    """
    axis, figure = _axis(drawn)
    for (name, points), colour in zip(drawn.items(), ("#1c2733", *COLOURS), strict=False):
        axis.plot(*points, color=colour, linewidth=1.2, label=name)
    for name, level in (levels or {}).items():
        axis.axhline(level, color=HEAD, linestyle="--", linewidth=1)
        axis.annotate(
            f"{name} {level:.3g}", (1, level), xytext=(-4, 3), textcoords="offset points",
            xycoords=("axes fraction", "data"), fontsize=8, color=HEAD, ha="right",
        )  # fmt: skip
    axis.set(xlabel=across, ylabel=up, yscale="log" if logarithmic else "linear")
    if logarithmic:
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("{x:g}")
        axis.tick_params(axis="y", which="both", labelsize=8)
    axis.legend(fontsize=8)
    save(figure, path)


def predictions(
    panels: dict[str, dict],
    path: str | os.PathLike,
    across: str,
    up: str,
    *,
    began: float | None = None,
) -> None:
    """Draws panels below each other: in each the series in grey, and what was predicted of it.

    Args:
        panels: by title, of each (across, up) by name, the series itself first.
        path: of the image; its suffix says what it is: .png, .svg, .pdf.
        across: what the axis to the right is.
        up: what the axis upwards is.
        began: where what a model was not trained on begins.

    Raises:
        ValueError: where there is no panel, or for a suffix that matplotlib does not write.
        OSError: where the file cannot be written.
    """
    if not panels:
        raise ValueError("there is no panel to draw")
    figure = blank(figsize=(9, 2.8 * len(panels) + 0.4))
    axes = figure.subplots(len(panels), sharex=True, sharey=True, squeeze=False).ravel()
    for axis, (title, drawn) in zip(axes, panels.items(), strict=True):
        for (name, points), colour in zip(drawn.items(), ("#b9bec4", *COLOURS), strict=False):
            axis.plot(*points, color=colour, linewidth=1, label=name)
        if began is not None:
            axis.axvline(began, color=HEAD, linestyle="--", linewidth=1)
        axis.set_title(title, fontsize=9)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=7, loc="upper left", ncols=len(drawn))
    figure.supxlabel(across, fontsize=9)
    figure.supylabel(up, fontsize=9)
    save(figure, path)


def _axis(drawn):
    if not drawn:
        raise ValueError("there is no line to draw")
    figure = blank(figsize=(8, 4.5))
    axis = figure.subplots()
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    return axis, figure
