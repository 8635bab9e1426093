"""Writes the figures of docs/cells.md: the cells of the searched networks, from their genotypes.

python tools/cell_figures.py
"""

import pathlib
import sys

from kapps import _errors, visualize
from kapps._arguments import Parser
from kapps.cnn import darts, enas, snas

FOLDER = pathlib.Path(__file__).parents[1] / "docs" / "cells"
GENOTYPES = {
    "darts_v1": darts.FIRST_ORDER,
    "darts_v2": darts.SECOND_ORDER,
    "snas_mild": snas.MILD,
    "snas_moderate": snas.MODERATE,
    "snas_aggressive": snas.AGGRESSIVE,
    "enas_micro": (enas.NORMAL, enas.REDUCTION),
}
"""{name of a figure: (normal cell, reduction cell)}."""


def main():
    """Writes one figure for each genotype."""
    FOLDER.mkdir(exist_ok=True)
    for name, (normal, reduction) in GENOTYPES.items():
        path = FOLDER / f"{name}.svg"
        visualize.plot_cells({"normal cell": normal, "reduction cell": reduction}, path)
        print(path)


if __name__ == "__main__":
    parser = Parser(description=__doc__)
    parser.parse_args()
    sys.exit(_errors.run(main, parser.prog))
