"""The two baselines of every comparison: random search, and the networks with the most parameters."""

import heapq

import numpy as np

from kapps.search.methods.method import Method

SAMPLED = 2_000
"""Random cells that stand for a space that is too large to list."""
LISTED = 50_000
"""The most cells of a space that is listed."""


class RandomSearch(Method):
    """Random search: each cell of the space is as likely.

    Args:
        space, seed: as for `Method`.
        distinct: whether no cell is requested that is the same function as an earlier one.
    """

    name = "random"

    def __init__(self, space, *, seed: int = 0, distinct: bool = False):
        super().__init__(space, seed=seed)
        self.distinct = bool(distinct)

    def options(self):
        return {"distinct": self.distinct}

    def propose(self):
        cell = self.space.sample(self.random)
        while self.distinct and not self.unseen([cell]):
            cell = self.space.sample(self.random)
        return cell


class MostParameters(Method):
    """The cells with the most parameters, one after the other. No score is used.

    On NAS-Bench-201 the number of parameters and the accuracy have a rank correlation of 0.75: a method that does not
    beat this baseline has found nothing that counting does not find. Cells with as many parameters come in random
    order. Of a space of more than 50,000 cells, 2,000 random ones are ordered.
    """

    name = "most_parameters"

    def __init__(self, space, *, seed: int = 0):
        super().__init__(space, seed=seed)
        random = np.random.default_rng([seed, 1])
        is_small = space.size <= LISTED
        cells = space.cells() if is_small else (space.sample(random) for _ in range(SAMPLED))
        cells = list(cells)
        order = random.permutation(len(cells))
        heap = [(-space.cost(cells[i]).parameters, k, cells[i]) for k, i in enumerate(order)]
        heapq.heapify(heap)
        self._heap = heap

    def propose(self):
        while self._heap:
            _, _, cell = heapq.heappop(self._heap)
            if self.unseen([cell]):
                return cell
        return self.space.sample(self.random)
