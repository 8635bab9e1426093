"""Text whose characters or words have the colours of a number, such as a cell's value."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from kapps.visualize._style import FONT_SIZE, new_figure, save_figure

WIDTH = 80
"""Largest number of characters of a line."""


def plot_text(
    tokens: Sequence[str], values: Mapping[str, Sequence[float]], path: str | os.PathLike, *, most: float = 1.0
) -> None:  # fmt: skip
    """Plots a text once for each name, each token on the colour of its value: red for `most`, blue for minus `most`.

        states = kapps.visualize.cell_states(model, tokens)["c"]
        kapps.visualize.plot_text(list(text), {"cell 7": np.tanh(states[0, :, 7])}, "cell.png")

    Args:
        tokens: characters, or words with their spaces.
        values: {name: one number for each token}.
        path: output file; its suffix sets the format: .png, .svg or .pdf.
        most: value of the strongest colour.

    Raises:
        ValueError: for no tokens or other numbers of values, for a suffix that matplotlib does not write, or if
            matplotlib is not installed.
        OSError: if the file cannot be written.
    """
    if not tokens or any(len(row) != len(tokens) for row in values.values()):
        sizes = {name: len(row) for name, row in values.items()}
        raise ValueError(f"{len(tokens)} tokens and values of {sizes}: pass one for each token")
    places, line, column = [], 0, 0
    for token in tokens:
        if column and column + len(token) > WIDTH:
            line, column = line + 1, 0
        places.append((line, column))
        column += len(token)
        if "\n" in token:
            line, column = line + 1, 0
    lines = line + 1
    figure = new_figure(figsize=(9, 0.35 + 0.2 * (lines + 1.5) * len(values)))
    axes = figure.subplots(len(values), 1, squeeze=False)[:, 0]
    for axis, (name, row) in zip(axes, values.items(), strict=True):
        grid = np.zeros((lines, WIDTH))
        for (i, j), token, value in zip(places, tokens, row, strict=True):
            grid[i, j : j + len(token)] = value
            for k, character in enumerate(token.replace("\n", "↵")):
                axis.text(
                    j + k,
                    i,
                    character,
                    fontsize=FONT_SIZE,
                    family="monospace",
                    ha="center",
                    va="center",
                )
        axis.imshow(
            grid,
            cmap="RdBu_r",
            vmin=-most,
            vmax=most,
            aspect="auto",
            alpha=0.6,
            interpolation="nearest",
        )
        axis.set(xticks=[], yticks=[])
        axis.set_title(name, fontsize=FONT_SIZE, loc="left")
    save_figure(figure, path)
