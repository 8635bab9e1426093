"""Cells of NAS-Bench-201 as six digits, as the benchmark's string, and as a genotype; cells that are equal functions.

[1] Dong 2020, arXiv:2001.00326

A cell has four nodes and an operation on each edge from a node to a later one. The digits are the operations of the
edges 0-1, 0-2, 1-2, 0-3, 1-3 and 2-3.
"""

import functools
import re

from kapps._names import nearest
from kapps._values import short

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The operations of [1]; their digits are 0 to 4."""
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(source, node) of each edge, in the order of the digits and of the string."""
NODES = (1, 2, 3)
FORM = (
    "six digits from 0 to 4, such as 303101, or a string such as |nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+"
    "|skip_connect~0|none~1|skip_connect~2|"
)


def cell_digits(cell: str) -> str:
    """Returns the six digits of a cell that is written as digits or as the benchmark's string.

    Raises:
        ValueError: for another text.
    """
    if not isinstance(cell, str):
        raise ValueError(f"cell={short(cell)} is not a cell of NAS-Bench-201: {FORM}")
    if re.fullmatch(r"[0-4]{6}", cell):
        return cell
    parts = [node.strip("|").split("|") for node in cell.split("+")]
    edges = [edge.partition("~") for node in parts for edge in node]
    unknown = [name for name, tilde, _ in edges if tilde and name not in OPERATIONS]
    if unknown:
        raise ValueError(
            f"cell={short(cell, 160)}: there is no operation {short(unknown[0])}."
            f"{nearest(unknown[0], OPERATIONS)} Allowed: {', '.join(OPERATIONS)}"
        )
    digits = "".join(str(OPERATIONS.index(name)) for name, tilde, _ in edges if tilde)
    if len(digits) != len(EDGES) or cell_string(digits) != cell:
        raise ValueError(f"cell={short(cell, 160)} is not a cell of NAS-Bench-201: {FORM}")
    return digits


def cell_string(cell: str) -> str:
    """Returns the benchmark's string of a cell of six digits."""
    names = [OPERATIONS[int(digit)] for digit in cell]
    nodes = [
        [f"{name}~{source}" for name, (source, target) in zip(names, EDGES, strict=True) if target == node]
        for node in NODES
    ]  # fmt: skip
    return "+".join(f"|{'|'.join(edges)}|" for edges in nodes)


def cell_genotype(cell: str) -> tuple:
    """Returns the genotype of a cell of six digits, as for `kapps.layers.cells`, with any number of edges of a node.

    Edges with the operation "none" are left out. A node without any other edge has one, so that it is a map of zeros.
    """
    rows = []
    for node in NODES:
        edges = [
            (OPERATIONS[int(digit)], str(source))
            for digit, (source, target) in zip(cell, EDGES, strict=True)
            if target == node
        ]
        operations = [edge for edge in edges if edge[0] != "none"] or edges[:1]
        rows.append((str(node), *(item for edge in operations for item in edge)))
    return tuple(rows), (str(NODES[-1]),)


def benchmark_function(cell: str) -> str:
    """Returns the text by which [1] finds equal cells: 6,466 texts for the 15,625 cells.

    Identities are transparent, and an operation on zeros counts as zeros. Cells whose sums have their terms in another
    order or in other brackets are different texts; `cell_function` finds these too.
    """
    texts = {0: "0"}
    for node in NODES:
        terms = []
        for digit, (source, target) in zip(cell, EDGES, strict=True):
            if target == node:
                name = OPERATIONS[int(digit)]
                term = texts[source] if name == "skip_connect" else f"({texts[source]})@{name}"
                terms.append("#" if name == "none" or texts[source] == "#" else term)
        texts[node] = "+".join(sorted(terms))
    return texts[NODES[-1]]


@functools.cache
def cell_function(cell: str) -> str:
    """Returns a text that is the same for cells that are the same function: 4,930 texts for the 15,625 cells.

    As `benchmark_function`, but the terms of a sum are in one order, and zeros are left out of it. "" is a cell whose
    output does not depend on its input. An operation on zeros counts as zeros, although a trained batch norm can add a
    constant to them.
    """
    terms = {0: ["0"]}
    for node in NODES:
        terms[node] = []
        for digit, (source, target) in zip(cell, EDGES, strict=True):
            if target == node and digit != "0" and terms[source]:
                if digit == "1":
                    terms[node] += terms[source]
                else:
                    terms[node].append(f"({'+'.join(terms[source])})@{digit}")
        terms[node].sort()
    return "+".join(terms[NODES[-1]])
