"""AdaNet: growth of a network as long as an objective of error and complexity falls."""

from kapps.search.methods.method import Method, require


class AdaNet(Method):
    """Growth as in AdaNet (Cortes 2017, arXiv:1607.01097): a round compares networks as large and larger ones.

    The paper grows an ensemble: each round adds a subnetwork of the last depth or of one layer more, with the weights
    of the ensemble, if the loss and a penalty of its complexity fall; it stops when nothing falls. A cell of a search
    space is one network, not an ensemble. Here a round judges cells that differ from the current one in one decision,
    half of them with more parameters and half of them without, and takes the best one if the objective falls: 100 less
    the score, plus `penalty` times parameters, as a fraction of the largest network's. After a round without a gain
    other neighbours are compared, then cells that differ in two decisions; without any left, the search starts again
    from a random cell.

    Args:
        space, seed: as for `Method`.
        candidates: number of cells of a round.
        penalty: of the complexity, in units of the score.
    """

    name = "adanet"
    fields = ("current", "round", "scores", "objectives")

    def __init__(self, space, *, seed: int = 0, candidates: int = 6, penalty: float = 1.0):
        super().__init__(space, seed=seed)
        require(self.name, candidates=(candidates, 1))
        if not penalty >= 0:
            raise ValueError(f"{self.name}: penalty={penalty} is not a number of at least 0")
        self.candidates, self.penalty = candidates, float(penalty)
        digits = [len(decision.options) - 1 for decision in space.decisions]
        self._largest = max(
            space.cost(cell).parameters
            for cell in [*space.neighbours(space.cell(digits)), space.cell(digits)]
        )
        self.current: list = [space.smallest, None]
        self.round: list[str] = [space.smallest]
        self.scores: dict[str, float] = {}
        self.objectives: list[float] = []

    def options(self):
        return {"candidates": self.candidates, "penalty": self.penalty}

    def objective(self, cell: str, score: float) -> float:
        """Returns the objective of a cell; less is better."""
        return 100 - score + self.penalty * self.space.cost(cell).parameters / self._largest

    def _next_round(self):
        """Sets the cells of the next round: unseen neighbours, half of them with more parameters."""
        random, cell = self.random_of(3), self.current[0]
        size = self.space.cost(cell).parameters
        unseen = self.unseen(self.space.neighbours(cell))
        if not unseen:  # the neighbours of a small network are often the same function
            farther = [
                self.space.mutate(self.space.mutate(cell, random), random) for _ in range(50)
            ]
            unseen = self.unseen(farther)
        unseen = [unseen[i] for i in random.permutation(len(unseen))]
        larger = [x for x in unseen if self.space.cost(x).parameters > size]
        others = [x for x in unseen if self.space.cost(x).parameters <= size]
        half = max(self.candidates - len(others), -(-self.candidates // 2))
        cells = [*larger[:half], *others[: self.candidates - len(larger[:half])]]
        if not cells:
            self.current = [self.space.sample(random), None]
            cells = [self.current[0]]
        self.round, self.scores = cells, {}

    def propose(self):
        for cell in self.round:
            if cell not in self.scores and cell not in self.pending:
                return cell
        return self.space.mutate(self.current[0], self.random)  # others judge the round's cells

    def learn(self, cell, score):
        if cell not in self.round:
            return
        self.scores[cell] = score
        if len(self.scores) < len(self.round):
            return
        objectives = {name: self.objective(name, value) for name, value in self.scores.items()}
        best = min(objectives, key=objectives.get)
        if self.current[1] is None or objectives[best] < self.current[1]:
            self.current = [best, objectives[best]]
        self.objectives.append(self.current[1])
        self._next_round()
