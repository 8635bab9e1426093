"""Cells of searched networks, as the figures of their papers show them: nodes, operations and what they read."""

import os
from collections.abc import Mapping, Sequence

from kapps.visualize._style import BLACK, COLOURS, FONT_SIZE, GREY, new_figure, save_figure

KINDS = {"sep": "#cfe0f0", "dil": "#d3ebe9", "avg": "#faedc8", "max": "#fbdcc0", "none": "#ffffff"}
"""Colours of operations by the start of their names; others are grey."""
COLUMN = 1.7
"""Width of a column in inches."""
HALF = 0.25, 0.16
"""Half of the width, in columns, and of the height, in rows, of an operation's box."""


def plot_cells(genotypes: Mapping[str, Sequence], path: str | os.PathLike) -> None:
    """Plots cells, one panel for each: inputs on the left, the concatenated output on the right.

    A node is right of the operations that it adds, and of all nodes that these read. Lines have the colour of the map
    that is read.

        from kapps.cnn.darts import SECOND_ORDER
        normal, reduction = SECOND_ORDER
        kapps.visualize.plot_cells({"normal": normal, "reduction": reduction}, "darts.png")

    Args:
        genotypes: {title: genotype}. A genotype is (rows, concatenated), a row (node, operation, input, operation,
            input), as for `kapps.layers.cells`; a row may have any number of operations.
        path: output file; its suffix sets the format: .png, .svg or .pdf.

    Raises:
        ValueError: if `genotypes` is empty or an operation reads a later node, for a suffix that matplotlib does not
            write, or if matplotlib is not installed.
        OSError: if the file cannot be written.
    """
    if not genotypes:
        raise ValueError("genotypes is empty: there are no cells to plot")
    places = {title: _places(title, genotype) for title, genotype in genotypes.items()}
    columns = [max(x for x, _ in cell.values()) + 1.4 for cell in places.values()]
    rows = max(sum(map(_height, genotype[0])) for genotype in genotypes.values())
    figure = new_figure(figsize=(COLUMN * sum(columns), 0.62 * rows + 0.6))
    axes = figure.subplots(1, len(places), squeeze=False, width_ratios=columns)[0]
    for axis, (title, genotype) in zip(axes, genotypes.items(), strict=True):
        axis.set_title(title, fontsize=FONT_SIZE + 1)
        axis.set_xlim(-0.4, max(x for x, _ in places[title].values()) + 0.4)
        axis.set_ylim(-rows + 0.4, 0.6)
        axis.axis("off")
        _draw(axis, genotype, places[title])
    save_figure(figure, path)


def _height(row):
    """Returns the height of a node in rows of two operations."""
    return max(1.0, (len(row) // 2) / 2)


def _places(title, genotype):
    """Returns {input, node or "concat": (column, vertical position)}, with all inputs in the first column."""
    rows, concatenated = genotype
    nodes = [row[0] for row in rows]
    reads = [source for row in rows for source in row[2::2]] + list(concatenated)
    inputs = sorted(dict.fromkeys(source for source in reads if source not in nodes))
    heights = [_height(row) for row in rows]
    middle = -(sum(heights) - 1) / 2
    places = {name: (0, middle + 1 - 2 * i) for i, name in enumerate(inputs)}
    for i, row in enumerate(rows):
        later = [source for source in row[2::2] if source not in places]
        if later:
            raise ValueError(
                f"{title}: node {row[0]} reads {later[0]}, a later node or none at all"
            )
        height = 0.5 - sum(heights[:i]) - heights[i] / 2
        places[row[0]] = (1 + max(places[source][0] for source in row[2::2]), height)
    last = max(column for column, _ in places.values())
    return {**places, "concat": (last + 0.8, middle)}


def _draw(axis, genotype, places):
    """Draws the boxes of a cell and the lines between them."""
    rows, concatenated = genotype
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(places)}
    colours["concat"] = BLACK
    for name, place in places.items():
        _box(axis, f"${name}$" if "_{" in name else name, place, colours[name])
    for node, *edges in rows:
        column, height = places[node]
        middle = (len(edges) / 2 - 1) / 2
        for i, (operation, source) in enumerate(zip(edges[::2], edges[1::2], strict=True)):
            place = (column - 0.5, height + 0.44 * (middle - i))
            _operation(axis, operation, place)
            _line(axis, places[source], (place[0] - HALF[0], place[1]), colours[source])
            _line(axis, (place[0] + HALF[0], place[1]), places[node], GREY)
    for name in concatenated:
        _line(axis, places[name], places["concat"], colours[name])


def _box(axis, text, place, colour):
    """Draws an input, a node or the output."""
    style = {"boxstyle": "round,pad=0.4", "facecolor": "#ffffff", "edgecolor": colour}
    axis.text(*place, text, ha="center", va="center", fontsize=FONT_SIZE, bbox=style, zorder=3)


def _operation(axis, text, place):
    """Draws the box of an operation; that of "none" has a dashed edge."""
    from matplotlib.patches import Rectangle

    kind = next((kind for kind in KINDS if text.startswith(kind)), None)
    corner = (place[0] - HALF[0], place[1] - HALF[1])
    style = {"facecolor": KINDS.get(kind, "#eeeeee"), "linestyle": "--" if kind == "none" else "-"}
    axis.add_patch(
        Rectangle(
            corner, 2 * HALF[0], 2 * HALF[1], edgecolor=GREY, linewidth=0.6, zorder=2, **style
        )
    )
    axis.text(*place, text, ha="center", va="center", fontsize=FONT_SIZE - 2, zorder=3)


def _line(axis, start, end, colour):
    """Draws a curve that begins and ends horizontally, behind the boxes."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    (x1, y1), (x2, y2) = start, end
    middle = (x1 + x2) / 2
    path = Path([(x1, y1), (middle, y1), (middle, y2), (x2, y2)], [Path.MOVETO, *[Path.CURVE4] * 3])
    axis.add_patch(PathPatch(path, facecolor="none", edgecolor=colour, linewidth=1, zorder=1))
