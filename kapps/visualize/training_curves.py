"""Training curves of several networks: one panel for each, with the others in grey behind it."""

import os

from kapps.visualize._style import COLOURS, FONT_SIZE, GREY, hide_spines, new_figure, save_figure


def plot_training_curves(
    curves: dict[str, list], path: str | os.PathLike, xlabel: str, ylabel: str
) -> None:
    """Plots one panel for each curve, with all other curves in grey behind it.

    Args:
        curves: lists of points (x, y), by name.
        path: output file; its suffix sets the format: .png, .svg or .pdf.
        xlabel: label of the horizontal axis.
        ylabel: label of the vertical axis.

    Raises:
        ValueError: if `curves` is empty, for a suffix that matplotlib does not write, or if matplotlib is not
            installed.
        OSError: if the file cannot be written.
    """
    if not curves:
        raise ValueError("curves is empty: there is no curve to plot")
    columns = min(len(curves), 5)
    rows = -(-len(curves) // columns)
    figure = new_figure(figsize=(2.6 * columns + 0.8, 2.1 * rows + 0.6))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, (name, points) in zip(panels, curves.items(), strict=False):
        for other in curves.values():
            panel.plot(*zip(*other, strict=True), color=GREY, alpha=0.25, linewidth=0.7)
        panel.plot(*zip(*points, strict=True), color=COLOURS[0], marker=".", markersize=4)
        panel.set_title(f"{name}  {points[-1][1]:.3g}", fontsize=FONT_SIZE)
        panel.grid(alpha=0.25)
        hide_spines(panel)
        panel.tick_params(labelsize=FONT_SIZE)
    for panel in panels[len(curves) :]:
        panel.set_axis_off()
    figure.supxlabel(xlabel, fontsize=FONT_SIZE + 1)
    figure.supylabel(ylabel, fontsize=FONT_SIZE + 1)
    save_figure(figure, path)


HISTORY_PANELS = (
    "loss", "generator_loss", "feature_distance", "accuracy", "pixel_accuracy", "mean_iou", "perplexity",
    "learning_rate", "examples_per_second", "tokens_per_second", "input_wait",
)  # fmt: skip


def plot_history(rows: list[dict], path: str | os.PathLike) -> None:
    """Plots the history of one training run, one panel for each quantity, with training and validation values.

    Args:
        rows: one mapping for each epoch, with "epoch", any quantities of `HISTORY_PANELS`, and their "val_"
            counterparts.
        path: output file; its suffix sets the format: .png, .svg or .pdf.

    Raises:
        ValueError: for a suffix that matplotlib does not write, or if matplotlib is not installed.
        OSError: if the file cannot be written.
    """
    quantities = [name for name in HISTORY_PANELS if any(name in row for row in rows)]
    figure = new_figure(figsize=(4.5 * len(quantities), 4))
    axes = figure.subplots(1, len(quantities), squeeze=False)[0]
    for axis, quantity in zip(axes, quantities, strict=True):
        for key, label in ((quantity, "training"), (f"val_{quantity}", "validation")):
            points = [(row["epoch"], row[key]) for row in rows if key in row]
            if points:
                x, y = zip(*points, strict=True)
                axis.plot(x, y, marker=".", label=f"{label} {y[-1]:.4g}")
        axis.set(xlabel="epoch", ylabel=quantity.replace("_", " "))
        axis.grid(alpha=0.3)
        axis.legend()
    save_figure(figure, path)
