"""Colours, font size, and creating and saving a figure, for every plot."""

import os

from kapps._files import write_atomically
from kapps.analysis.levels_and_blocks import HEAD_COLOUR, LEVEL_COLOURS

COLOURS = LEVEL_COLOURS
GREY = HEAD_COLOUR
BLACK = "#1c2733"
FONT_SIZE = 8  # points, of labels inside a plot


def new_figure(**options):
    """Returns an empty matplotlib figure that opens no window.

    Args:
        **options: of `matplotlib.figure.Figure`, for example `figsize`.

    Raises:
        ValueError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # not pyplot: no global state
    except ImportError as error:
        raise ValueError("a plot needs matplotlib: pip install matplotlib") from error
    return Figure(layout="constrained", **options)


def save_figure(figure, path: str | os.PathLike) -> None:
    """Writes a figure to a file, in the format of its suffix.

    Args:
        figure: a `matplotlib.figure.Figure`.
        path: ends in .png, .svg, .pdf or another suffix that matplotlib writes.

    Raises:
        ValueError: for a suffix that matplotlib does not write.
        OSError: if the file cannot be written.
    """
    suffix = os.fspath(path).rpartition(".")[2].lower()
    if suffix not in figure.canvas.get_supported_filetypes():
        raise ValueError(f"{os.fspath(path)}: a plot's file ends in .png, .svg or .pdf")
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=130)


def level_colour(level: int | None) -> str:
    """Returns the colour of a level; grey for None, the head."""
    return GREY if level is None else COLOURS[level % len(COLOURS)]


def hide_spines(axis) -> None:
    """Hides the top and right lines around a plot."""
    axis.spines[["top", "right"]].set_visible(False)
