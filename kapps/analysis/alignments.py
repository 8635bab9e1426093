"""An image of what a translator looked at: words of the source across, of the target down."""

import os
from collections.abc import Sequence

import numpy as np

from kapps.analysis.plotting import blank, save


def draw(
    weights: dict[str, np.ndarray],
    source: Sequence[str],
    target: Sequence[str],
    path: str | os.PathLike,
) -> None:
    """Draws how much of each source word goes into each target word, a panel a layer: black for all, white for nothing.

    Args:
        weights: by layer, floats in [0, 1], [target, source]; with heads, [heads, target, source], their mean is drawn.
        source: the words across, as many as columns.
        target: the words down, of which each row is.
        path: of the image; its suffix says what it is: .png, .svg, .pdf.

    Raises:
        ValueError: where there is no layer, weights are not of these words, or for a suffix that matplotlib does not
            write.
        OSError: where the file cannot be written.
    """
    if not weights:
        raise ValueError("there are no weights to draw")
    maps = {
        name: np.asarray(each).reshape(-1, *np.shape(each)[-2:]).mean(axis=0)
        for name, each in weights.items()
    }
    for name, each in maps.items():
        if each.shape != (len(target), len(source)):
            raise ValueError(
                f"{name} has weights of {each.shape[0]} x {each.shape[1]} words, and there are {len(target)} and"
                f" {len(source)}"
            )
    width, height = 1.5 + 0.3 * len(source), 1.6 + 0.26 * len(target)
    figure = blank(figsize=(max(3.5, width) * min(len(maps), 2), height * -(-len(maps) // 2)))
    axes = figure.subplots(-(-len(maps) // 2), min(len(maps), 2), squeeze=False).ravel()
    for axis in axes[len(maps) :]:
        axis.remove()
    for axis, (name, each) in zip(axes, maps.items(), strict=False):
        axis.imshow(each, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        axis.set_title(name, fontsize=9)
        axis.set_xticks(range(len(source)), source, rotation=90, fontsize=8)
        axis.set_yticks(range(len(target)), target, fontsize=8)
        axis.xaxis.tick_top()
        axis.set_xticks(np.arange(len(source) + 1) - 0.5, minor=True)
        axis.set_yticks(np.arange(len(target) + 1) - 0.5, minor=True)
        axis.grid(which="minor", color="#dddddd", linewidth=0.5)
        axis.tick_params(which="both", length=0)
    save(figure, path)
