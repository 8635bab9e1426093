"""Reinforcement learning: the REINFORCE controller of NAS, and the editing policy of RENA."""

import numpy as np

from kapps.search.methods.method import Method, require
from kapps.search.methods.policy import PolicyState, log_probability_gradient, softmax


class Reinforce(Method):
    """REINFORCE (Zoph 2016, arXiv:1611.01578): a controller samples cells, and its gradient is weighted by the reward.

    The paper's controller is an LSTM of 2 x 35 units that writes a network of about 15 layers, with 800 replicas and
    12,800 networks; the reward is the cube of the best accuracy of the last five epochs, less a moving average. Here,
    as in the comparison of NAS-Bench-201 (arXiv:2001.00326), the controller is one softmax for each decision, and the
    reward is the score less the bias-corrected moving average of scores.

    Args:
        space, seed: as for `Method`.
        learning_rate: of Adam.
        decay: of the moving average.
    """

    name = "reinforce"
    fields = ("policy",)

    def __init__(self, space, *, seed: int = 0, learning_rate: float = 0.01, decay: float = 0.9):
        super().__init__(space, seed=seed)
        if not learning_rate > 0 or not 0 <= decay < 1:
            raise ValueError(
                f"{self.name}: learning_rate={learning_rate}, decay={decay}: the first is positive, the second below 1"
            )
        self.learning_rate, self.decay = float(learning_rate), float(decay)
        random = np.random.default_rng([seed, 1])
        counts = [len(decision.options) for decision in space.decisions]
        self.policy = PolicyState.new([1e-3 * random.normal(size=count) for count in counts])

    def options(self):
        return {"learning_rate": self.learning_rate, "decay": self.decay}

    def probabilities(self) -> list[np.ndarray]:
        """Returns the probability of each option of each decision."""
        return [softmax(np.asarray(logits)) for logits in self.policy["logits"]]

    def propose(self):
        return self.samples_of_policy(1)[0]

    def samples_of_policy(self, count: int) -> list[str]:
        """Returns cells that the controller samples; of 1,000 samples outside the space's limits, a random cell."""
        cumulated, cells = [np.cumsum(p) for p in self.probabilities()], []
        for _ in range(1000 * count):
            numbers = self.random.random(len(cumulated))
            digits = tuple(
                min(int(np.searchsorted(sums, number, side="right")), len(sums) - 1)
                for sums, number in zip(cumulated, numbers, strict=True)
            )
            if self.space.is_valid(digits):
                cells.append(self.space.cell(digits))
            if len(cells) == count:
                return cells
        return cells + [self.space.sample(self.random) for _ in range(count - len(cells))]

    def reward(self, cell: str, score: float) -> float:
        """Returns the reward of a cell; here the score."""
        del cell
        return score

    def learn(self, cell, score):
        policy = PolicyState(self.policy)
        advantage = policy.advantage(self.reward(cell, score), self.decay)
        gradients = log_probability_gradient(self.policy["logits"], self.space.digits(cell))
        policy.ascend([advantage * gradient for gradient in gradients], self.learning_rate)


class Rena(Method):
    """RENA (Zhou 2018, arXiv:1806.07912): a policy edits the best network so far, under a limit of its size.

    The paper embeds the layers of a network by an LSTM; its policy scales, inserts or removes layers, and networks over
    a limit of parameters, compute intensity or memory have a smaller reward. Here the policy has a softmax over the
    decision that is edited, and for each option that a decision has, one over the option that it gets: it is
    conditioned on the network, without a shared embedding. An episode is a few edits of the best network so far.

    Args:
        space, seed: as for `Method`.
        edits: largest number of edits of an episode.
        limit: largest number of parameters; None for no limit. The reward of a larger network is multiplied by
            (limit / parameters)^0.5, and `best()` is the best within the limit if there is any.
        learning_rate: of Adam.
        decay: of the moving average of the reward.
    """

    name = "rena"
    fields = ("policy", "base")
    EXPONENT = 0.5

    def __init__(
        self, space, *, seed: int = 0, edits: int = 2, limit: int | None = None, learning_rate: float = 0.05,
        decay: float = 0.9,
    ):  # fmt: skip
        super().__init__(space, seed=seed)
        require(self.name, edits=(edits, 1))
        if limit is not None:
            require(self.name, limit=(limit, 1))
        self.edits, self.limit = edits, limit
        self.learning_rate, self.decay = float(learning_rate), float(decay)
        counts = [len(decision.options) for decision in space.decisions]
        rows = [[0.0] * len(counts), *([0.0] * count for count in counts for _ in range(count))]
        self._starts = np.cumsum([1, *counts[:-1]]).tolist()  # of the rows of each decision
        self.policy = PolicyState.new(rows)
        self.base: list = [space.sample(np.random.default_rng([seed, 1])), None]

    def options(self):
        keys = ("edits", "limit", "learning_rate", "decay")
        return {key: getattr(self, key) for key in keys}

    def _row(self, decision, option):
        """Returns the number of the logits of the options that a decision gets, which has `option` now."""
        return self._starts[decision] + option

    def propose(self):
        base, score = self.base
        if score is None and not self.pending:
            return base
        logits = self.policy["logits"]
        for _ in range(1000):
            digits = list(self.space.digits(base))
            for _ in range(int(self.random.integers(1, self.edits + 1))):
                chances = softmax(np.asarray(logits[0]))
                i = int(self.random.choice(len(chances), p=chances))
                row = np.array(logits[self._row(i, digits[i])])
                row[digits[i]] = -np.inf  # an edit changes the option
                chances = softmax(row)
                digits[i] = int(self.random.choice(len(chances), p=chances))
            if self.space.is_valid(digits) and tuple(digits) != self.space.digits(base):
                return self.space.cell(digits)
        return self.space.mutate(base, self.random)

    def reward(self, cell: str, score: float) -> float:
        """Returns the score, less for a network over the limit."""
        if self.limit is None:
            return score
        ratio = self.limit / self.space.cost(cell).parameters
        return score * min(1.0, ratio**self.EXPONENT)

    def learn(self, cell, score):
        reward, policy = self.reward(cell, score), PolicyState(self.policy)
        advantage = policy.advantage(reward, self.decay)
        before, after = self.space.digits(self.base[0]), self.space.digits(cell)
        gradients = [np.zeros(len(row)) for row in self.policy["logits"]]
        for i, (old, new) in enumerate(zip(before, after, strict=True)):
            if old == new:
                continue
            gradients[0] += log_probability_gradient(self.policy["logits"][:1], [i])[0]
            number = self._row(i, old)
            row = np.array(self.policy["logits"][number])
            row[old] = -np.inf
            gradients[number] += log_probability_gradient([row], [new])[0]
        if before != after:
            policy.ascend([advantage * gradient for gradient in gradients], self.learning_rate)
        if self.base[1] is None or reward > self.base[1]:
            self.base = [cell, reward]

    def best(self):
        within = [
            row
            for row in self.history
            if self.limit is None or self.space.cost(row[0]).parameters <= self.limit
        ]
        if not within:
            return super().best()
        cell, score = max(within, key=lambda row: row[1])
        return cell, score
