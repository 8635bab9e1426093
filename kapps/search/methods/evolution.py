"""Evolution: regularised evolution, in which the oldest dies, and large-scale evolution by pairwise tournaments."""

from kapps.search.methods.method import Method, require


class RegularisedEvolution(Method):
    """Regularised evolution (Real 2018, arXiv:1802.01548): tournament, mutation of one decision, the oldest dies.

    The paper has 100 individuals, tournaments of 25 and 20,000 networks of two cells with 5 nodes; its mutations change
    the input or the operation of an edge. Here, as in the comparison of NAS-Bench-201 (arXiv:2001.00326), 10
    individuals and tournaments of 3; inputs are fixed, so that a mutation gives one edge another operation.

    Args:
        space, seed: as for `Method`.
        population: number of individuals, P of the paper.
        tournament: number of individuals whose best one is mutated, S of the paper.
        ageing: whether the oldest individual dies; otherwise the worst. With `tournament=population` and without ageing
            it is hill climbing.
    """

    name = "evolution"
    fields = ("population",)

    def __init__(
        self, space, *, seed: int = 0, population: int = 10, tournament: int = 3, ageing: bool = True
    ):  # fmt: skip
        super().__init__(space, seed=seed)
        require(self.name, population=(population, 1), tournament=(tournament, 1))
        if tournament > population:
            raise ValueError(
                f"{self.name}: tournament={tournament} is more than population={population}"
            )
        self.individuals, self.tournament, self.ageing = population, tournament, bool(ageing)
        self.population: list[list] = []

    def options(self):
        return {
            "population": self.individuals,
            "tournament": self.tournament,
            "ageing": self.ageing,
        }

    def propose(self):
        if len(self.population) < self.individuals:
            return self.space.sample(self.random)
        chosen = self.random.choice(len(self.population), self.tournament, replace=False)
        parent = max((self.population[i] for i in chosen), key=lambda row: row[1])
        return self.space.mutate(parent[0], self.random)

    def learn(self, cell, score):
        self.population.append([cell, score])
        if len(self.population) > self.individuals:
            worst = min(range(len(self.population)), key=lambda i: self.population[i][1])
            self.population.pop(0 if self.ageing else worst)


class LargeScaleEvolution(Method):
    """Large-scale evolution (Real 2017, arXiv:1703.01041): of two individuals the worse dies, the better reproduces.

    The paper has 1,000 individuals on 250 workers that begin with a linear model, 11 mutations (learning rate,
    identity, resetting weights, inserting and removing a convolution, strides, channels, kernel size, one-to-one,
    adding and removing a skip) and children that inherit weights. Here the individuals begin as the smallest network of
    the space; of the mutations, inserting and removing a convolution, kernel size, and adding and removing a skip are
    the change of one decision, and "identity" returns the parent. Each child is trained from scratch.

    Args:
        space, seed: as for `Method`.
        population: number of individuals.
        identity: probability that a child is its parent, which is evaluated again.
    """

    name = "large_scale_evolution"
    fields = ("population",)

    def __init__(self, space, *, seed: int = 0, population: int = 20, identity: float = 1 / 11):
        super().__init__(space, seed=seed)
        require(self.name, population=(population, 2))
        if not 0 <= identity < 1:
            raise ValueError(f"{self.name}: identity={identity} is not a probability below 1")
        self.individuals, self.identity = population, float(identity)
        self.population: list[list] = [[space.smallest, None]] * population

    def options(self):
        return {"population": self.individuals, "identity": self.identity}

    def _pair(self, random):
        """Returns the numbers (worse, better) of two random individuals; one without a score is the worse."""
        pair = random.choice(len(self.population), 2, replace=False)
        scores = [self.population[i][1] for i in pair]
        scores = [float("-inf") if score is None else score for score in scores]
        return [int(i) for i in (pair if scores[0] <= scores[1] else pair[::-1])]

    def propose(self):
        _, better = self._pair(self.random)
        cell, score = self.population[better]
        if score is None and not self.history:
            return cell  # the linear model has no score yet
        return (
            cell if self.random.random() < self.identity else self.space.mutate(cell, self.random)
        )

    def learn(self, cell, score):
        worse, _ = self._pair(self.random_of())
        self.population = [*self.population]
        self.population.pop(worse)
        self.population.append([cell, score])
