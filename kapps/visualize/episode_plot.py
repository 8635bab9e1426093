"""Episodes of few-shot classification: the examples of each class, the query, and the predicted class."""

import os
from collections.abc import Sequence

import numpy as np

from kapps.visualize._style import BLACK, COLOURS, FONT_SIZE, new_figure, save_figure


def plot_episodes(
    examples: Sequence, queries: Sequence, classes: Sequence, probabilities: Sequence, path: str | os.PathLike
) -> None:  # fmt: skip
    """Plots one episode a row: the examples by class, the query, and the probabilities of the classes as bars.

    Args:
        examples: of each episode and class one image, (episodes, ways, height, width).
        queries: images (episodes, height, width).
        classes: the class of each query, from 0.
        probabilities: of the classes, (episodes, ways).
        path: output file; its suffix sets the format: .png, .svg or .pdf.

    Raises:
        ValueError: for no episodes, for a suffix that matplotlib does not write, or if matplotlib is not installed.
        OSError: if the file cannot be written.
    """
    if not len(examples):
        raise ValueError("examples is empty: there is no episode to plot")
    ways = len(examples[0])
    figure = new_figure(figsize=(0.9 * (ways + 3), 0.95 * len(examples)))
    axes = figure.subplots(len(examples), ways + 2, squeeze=False)
    for row, (images, query, answer, values) in enumerate(
        zip(examples, queries, classes, probabilities, strict=True)
    ):
        for column, image in enumerate([*images, query]):
            axis = axes[row, column]
            axis.imshow(np.asarray(image), cmap="gray_r", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            if row == 0:
                axis.set_title("query" if column == ways else str(column + 1), fontsize=FONT_SIZE)
        axis = axes[row, -1]
        colours = [COLOURS[0] if i == answer else COLOURS[1] for i in range(ways)]
        axis.bar(range(1, ways + 1), values, color=colours)
        axis.set(ylim=(0, 1), yticks=[], xticks=range(1, ways + 1))
        axis.tick_params(labelsize=FONT_SIZE - 2)
        axis.spines[["top", "right", "left"]].set_visible(False)
        for spine in axes[row, ways].spines.values():
            spine.set(color=BLACK, linewidth=1.5)
    axes[0, -1].set_title("predicted", fontsize=FONT_SIZE)
    save_figure(figure, path)
