"""Writes the figures of docs/cells.md: the cells of the searched networks, from their genotypes.

python tools/cell_figures.py
"""

import os
import pathlib
import sys

import matplotlib

from kapps import _errors, visualize
from kapps._arguments import Parser
from kapps.cnn import amoebanet, darts, enas, nasnet, pnasnet, snas

FOLDER = pathlib.Path(__file__).parents[1] / "docs" / "cells"
GENOTYPES = {
    "nasnet_a": (nasnet.NORMAL, nasnet.REDUCTION),
    "amoebanet_a": (amoebanet.NORMAL, amoebanet.REDUCTION),
    "pnasnet5": (pnasnet.CELL,),
    "darts_v1": darts.FIRST_ORDER,
    "darts_v2": darts.SECOND_ORDER,
    "snas_mild": snas.MILD,
    "snas_moderate": snas.MODERATE,
    "snas_aggressive": snas.AGGRESSIVE,
    "enas_micro": (enas.NORMAL, enas.REDUCTION),
}
"""{name of a figure: (normal cell, reduction cell)}; PNASNet has one cell for both."""


def main():
    """Writes one figure for each genotype, the same file each time."""
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    matplotlib.rcParams["svg.hashsalt"] = "kapps"
    FOLDER.mkdir(exist_ok=True)
    for name, genotypes in GENOTYPES.items():
        path = FOLDER / f"{name}.svg"
        titles = ("normal cell", "reduction cell") if len(genotypes) > 1 else ("cell",)
        visualize.plot_cells(dict(zip(titles, genotypes, strict=True)), path)
        print(path)


if __name__ == "__main__":
    parser = Parser(description=__doc__)
    parser.parse_args()
    sys.exit(_errors.run(main, parser.prog))
