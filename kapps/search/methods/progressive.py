"""Progressive search: networks of more and more decisions, chosen by a predictor; PPP-Net chooses by a Pareto front."""

import itertools

import numpy as np

from kapps.search.methods.method import Method, require
from kapps.search.methods.pareto import pareto_ranks
from kapps.search.methods.predictor import Predictor

MOST_CANDIDATES = 3_000
"""Candidates of a level; of more, as many random ones."""


class Progressive(Method):
    """Progressive search (PNAS, Liu 2017, arXiv:1712.00559): from small networks to large ones, guided by a predictor.

    The paper grows cells from 1 to 5 blocks: it trains all 136 cells of one block, extends them, predicts the accuracy
    of each extension by an ensemble of LSTMs, trains the best 256, and so on; 1,160 cells in all. Here a level is a
    step of the space: on NAS-Bench-201 the edges of one node. A network of fewer decisions is completed by the space:
    its last node is the output, so that its score is one of the whole space. All 5 cells of one edge are trained, then
    20 of two nodes, then extensions of the best; the predictor is `Predictor`, fitted again after each batch.

    Args:
        space, seed: as for `Method`.
        beam: number of networks that are extended at the next level, K of the paper.
        quotas: numbers of scores of the levels before the last one; by default at most 20 each.
        batch: number of cells between two fits of the predictor.
    """

    name = "progressive"
    fields = ("level", "count", "parents", "queue")

    def __init__(
        self, space, *, seed: int = 0, beam: int = 20, quotas: tuple[int, ...] | None = None, batch: int = 5
    ):  # fmt: skip
        super().__init__(space, seed=seed)
        require(self.name, beam=(beam, 1), batch=(batch, 1))
        levels = len(space.steps)
        quotas = (20,) * (levels - 1) if quotas is None else tuple(quotas)
        if len(quotas) != levels - 1:
            raise ValueError(
                f"{self.name}: quotas={quotas} has {len(quotas)} numbers, not {levels - 1}: one for each "
                "level before the last"
            )
        require(self.name, **{f"quotas[{i}]": (quota, 1) for i, quota in enumerate(quotas)})
        self.beam, self.quotas, self.batch = beam, quotas, batch
        self.level, self.count = 0, 0
        self.parents: list[list[int]] = [[]]
        self.queue: list[str] = []
        self._candidates: tuple = (None, [])

    def options(self):
        return {"beam": self.beam, "quotas": self.quotas, "batch": self.batch}

    def candidates(self) -> list[tuple[int, ...]]:
        """Returns the options of the decisions so far, of all extensions of the level's parents."""
        key = (self.level, len(self.parents), str(self.parents[:1]))
        if self._candidates[0] == key:
            return self._candidates[1]
        done = len(self.parents[0])
        counts = [len(x.options) for x in self.space.decisions[done : self.space.steps[self.level]]]
        if len(self.parents) * np.prod(counts, dtype="float64") <= MOST_CANDIDATES:
            extensions = list(itertools.product(*map(range, counts)))
            rows = [(*parent, *more) for parent in self.parents for more in extensions]
        else:
            random = np.random.default_rng([self.seed, self.level, 2])
            rows = [
                (*self.parents[random.integers(len(self.parents))], *map(int, random.integers(counts)))
                for _ in range(MOST_CANDIDATES)
            ]  # fmt: skip
        rows = [row for row in rows if self.space.is_valid(self.space.complete(row))]
        self._candidates = key, rows
        return rows

    def choose(self, prefixes, count: int, random: np.random.Generator) -> list:
        """Returns the `count` prefixes of the best predicted networks, the best first."""
        digits = [self.space.complete(prefix) for prefix in prefixes]
        if not self.history:
            return [prefixes[i] for i in random.permutation(len(prefixes))[:count]]
        scored = [self.space.digits(cell) for cell, _ in self.history]
        counts = [len(decision.options) for decision in self.space.decisions]
        predictor = Predictor(counts, scored, [score for _, score in self.history], random)
        return self.ranked(prefixes, digits, predictor.predict(digits), random)[:count]

    def ranked(self, prefixes, digits, predictions, random) -> list:
        """Returns the prefixes, the best first; equal predictions are in random order."""
        del digits
        order = np.lexsort((random.random(len(predictions)), -predictions))
        return [prefixes[i] for i in order]

    def propose(self):
        if not self.queue:
            names = {self.space.cell(self.space.complete(x)): x for x in self.candidates()}
            unseen = [names[cell] for cell in self.unseen(list(names))]
            best = (
                self.choose(unseen, self.batch, self.random_of(len(self.pending))) if unseen else []
            )
            self.queue = [self.space.cell(self.space.complete(prefix)) for prefix in best]
        while self.queue:
            cell = self.queue.pop(0)
            if self.unseen([cell]):
                return cell
        return self.space.sample(self.random)

    def learn(self, cell, score):
        del cell, score
        self.count += 1
        if self.level + 1 == len(self.space.steps):
            return
        if self.count >= min(self.quotas[self.level], len(self.candidates())):
            best = self.choose(self.candidates(), self.beam, self.random_of())
            self.parents = [list(map(int, prefix)) for prefix in best]
            self.level, self.count, self.queue = self.level + 1, 0, []


class PPPNet(Progressive):
    """PPP-Net (Dong 2018, openreview B1NT3TAIM; arXiv:1806.08198): progressive search that keeps a Pareto front.

    The paper grows a cell layer by layer, predicts accuracies by a recurrent network, and extends the networks of the
    Pareto front of accuracy, parameters, multiply-accumulates and the time on a device. Here the objectives are the
    predicted score, parameters and multiply-accumulates; `front()` has the front of the scores and parameters.

    Args:
        As for `Progressive`.
    """

    name = "ppp_net"

    def ranked(self, prefixes, digits, predictions, random):
        costs = [self.space.cost(self.space.cell(row)) for row in digits]
        points = [(-x, c.parameters, c.macs) for x, c in zip(predictions, costs, strict=True)]
        fronts = pareto_ranks(points, most=max(self.beam, self.batch))
        return [prefixes[i] for front in fronts for i in random.permutation(front)]
