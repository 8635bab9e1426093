"""The cells of NAS-Bench-201 (Dong 2020, arXiv:2001.00326): six edges with one of five operations each."""

import numpy as np

from kapps._cell_strings import (
    EDGES,
    NODES,
    OPERATIONS,
    benchmark_function,
    cell_digits,
    cell_function,
    cell_string,
)
from kapps._checked import checked
from kapps.search.spaces.space import Cost, Decision, Space

KERNELS = {"2": 1, "3": 9}
"""Weights of a filter for each channel, of the operations that have any."""
COLOURS = 3


class NASBench201(Space):
    """The space of NAS-Bench-201: 15,625 cells, 4,930 different functions.

        space = NASBench201()
        space.cost("303101")  # 559,386 parameters and 78,561,920 multiply-accumulates
        space.benchmark_string("303101")  # "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+..."
        model = space.build("303101")

    Cells are six digits; wherever a cell is an argument, the benchmark's string is as good.

    Args:
        filters: channels of the first stage.
        depth: number of cells of each of the three stages.
        side: height and width of the images in pixels.
        classes: number of classes.
    """

    @checked
    def __init__(self, *, filters: int = 16, depth: int = 5, side: int = 32, classes: int = 10):
        if depth < 1:
            raise ValueError(f"depth={depth} is not a positive integer, the cells of a stage")
        self.filters, self.depth, self.side, self.classes = filters, depth, side, classes
        self.name = f"nasbench201(filters={filters}, depth={depth}, side={side}, classes={classes})"
        self.decisions = tuple(
            Decision(f"{source}-{node}", OPERATIONS) for source, node in EDGES
        )  # fmt: skip
        self._costs: dict[str, Cost] = {}
        self.steps = (1, 3, 6)  # the edges of one node after the other

    def digits(self, cell):
        return tuple(map(int, cell_digits(cell)))

    def cell(self, digits):
        return "".join(map(str, digits))

    def benchmark_string(self, cell: str) -> str:
        """Returns the benchmark's string of a cell."""
        return cell_string(cell_digits(cell))

    def function(self, cell):
        return cell_function(cell_digits(cell))

    def benchmark_function(self, cell: str) -> str:
        """Returns the text by which the benchmark finds equal cells, 6,466 different ones."""
        return benchmark_function(cell_digits(cell))

    def complete(self, prefix):
        """The edges of later nodes are "none", but for an identity from the last node of the prefix to the output."""
        if len(prefix) == len(EDGES):
            return tuple(prefix)
        last = {0: 0, 1: 1, 3: 2}[len(prefix)]
        later = [int(edge == (last, NODES[-1])) for edge in EDGES[len(prefix) :]]
        return (*prefix, *later)

    def cost(self, cell):
        """Returns the figures of the built network. Operations whose results no operation reads are not in it."""
        cell = cell_digits(cell)
        if cell not in self._costs:
            self._costs[cell] = self._cost(cell)
        return self._costs[cell]

    def _cost(self, cell):
        read = {NODES[-1]}
        used = []
        for (source, node), digit in reversed(list(zip(EDGES, cell, strict=True))):
            if node in read and digit != "0":
                read.add(source)
                used.append(KERNELS.get(digit, 0))
        kernels = [kernel for kernel in used if kernel]
        parameters = macs = 0
        channels, side = self.filters, self.side
        parameters += 9 * COLOURS * channels + 2 * channels
        macs += 9 * COLOURS * channels * side**2
        for stage in range(3):
            if stage:
                before, channels, side = channels, 2 * channels, (side + 1) // 2
                weights = 9 * before * channels + 9 * channels**2 + before * channels
                parameters += weights + 4 * channels
                macs += (9 * before * channels + 9 * channels**2) * side**2
                macs += before * channels * side**2
            weights = sum(kernels) * channels**2
            parameters += self.depth * (weights + 2 * channels * len(kernels))
            macs += self.depth * weights * side**2
        parameters += 2 * channels + (channels + 1) * self.classes
        return Cost(parameters, macs + channels * self.classes)

    def operation_macs(self) -> np.ndarray:
        """Returns the multiply-accumulates of each operation on each edge of all cells of a network, (6, 5) int64."""
        stages = [(self.filters * 2**i, -(-self.side // 2**i)) for i in range(3)]
        points = self.depth * sum((channels * side) ** 2 for channels, side in stages)
        row = [points * KERNELS.get(str(digit), 0) for digit in range(len(OPERATIONS))]
        return np.array([row] * len(EDGES), "int64")

    def build(self, cell, **options):
        """Returns `kapps.families.nasbench201` of a cell; `options` are further arguments of it."""
        from kapps.cnn import nasbench201  # Keras, which methods do not need

        shape = (self.side, self.side, COLOURS)
        defaults = dict(
            input_shape=shape, classes=self.classes, filters=self.filters, depth=self.depth
        )
        return nasbench201.body(cell=cell, **{**defaults, **options})
