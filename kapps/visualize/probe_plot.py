"""Errors of linear probes by depth."""

import os
from collections.abc import Mapping, Sequence

from kapps.visualize._style import COLOURS, FONT_SIZE, hide_spines, new_figure, save_figure
from kapps.visualize.probes import Probe


def plot_probes(
    networks: Mapping[str, Sequence[Probe]], path: str | os.PathLike, *, majority: float | None = None
) -> None:  # fmt: skip
    """Plots the test error of a linear classifier on each layer's output, one line for each network.

    Args:
        networks: {name: probes of the same layers}, such as "trained" and "random weights".
        path: output file; its suffix sets the format: .png, .svg or .pdf.
        majority: error of the most frequent class, from 0 to 1.

    Raises:
        ValueError: for no probes or other layers, for a suffix that matplotlib does not write, or if matplotlib is not
            installed.
        OSError: if the file cannot be written.
    """
    layers = [[probe.layer for probe in probes] for probes in networks.values()]
    if not layers or not layers[0] or any(names != layers[0] for names in layers):
        raise ValueError("networks: pass probes of the same layers for each network")
    figure = new_figure(figsize=(max(4.0, 1.5 + 0.35 * len(layers[0])), 3.6))
    axis = figure.subplots()
    for i, (name, probes) in enumerate(networks.items()):
        errors = [100 * probe.error for probe in probes]
        axis.plot(errors, marker="o", markersize=3, color=COLOURS[i % len(COLOURS)], label=name)
    if majority is not None:
        axis.axhline(100 * majority, color="gray", linestyle=":", label="most frequent class")
    axis.set_xticks(range(len(layers[0])), layers[0], rotation=90, fontsize=FONT_SIZE)
    axis.set(ylabel="test error (%)", ylim=(0, None))
    axis.grid(axis="y", alpha=0.25)
    hide_spines(axis)
    axis.legend(fontsize=FONT_SIZE)
    save_figure(figure, path)
