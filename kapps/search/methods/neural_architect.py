"""Neural Architect: a reinforced generator of networks, a predictor of their accuracy, and several objectives."""

import numpy as np

from kapps.search.methods.method import require
from kapps.search.methods.policy_gradient import Reinforce
from kapps.search.methods.predictor import Predictor


class NeuralArchitect(Reinforce):
    """Neural Architect (Zhou 2018, SysML): REINFORCE whose samples a predictor of the accuracy selects.

    The paper's generator is a recurrent policy; a predictor network estimates the accuracy of a network from its text
    and replaces most trainings, and the reward has several objectives: accuracy and resources. Here the policy has a
    softmax for each decision, the predictor is a regression (`Predictor`), and the reward of a network with more
    parameters than `limit` is multiplied by (limit / parameters)^`exponent`. Of `samples` sampled networks the one
    with the best predicted reward is trained.

    Args:
        space, seed, learning_rate, decay: as for `Reinforce`.
        samples: number of networks that the predictor compares.
        first: number of random networks before the first prediction.
        limit: number of parameters; None for no limit.
        exponent: of the factor of networks over the limit.
    """

    name = "neural_architect"

    def __init__(
        self, space, *, seed: int = 0, learning_rate: float = 0.01, decay: float = 0.9, samples: int = 20,
        first: int = 20, limit: int | None = None, exponent: float = 0.5,
    ):  # fmt: skip
        super().__init__(space, seed=seed, learning_rate=learning_rate, decay=decay)
        require(self.name, samples=(samples, 1), first=(first, 1))
        if limit is not None:
            require(self.name, limit=(limit, 1))
        self.samples, self.first, self.limit, self.exponent = samples, first, limit, float(exponent)

    def options(self):
        own = {key: getattr(self, key) for key in ("samples", "first", "limit", "exponent")}
        return {**super().options(), **own}

    def reward(self, cell, score):
        if self.limit is None:
            return score
        ratio = self.limit / self.space.cost(cell).parameters
        return score * min(1.0, ratio**self.exponent)

    def propose(self):
        if len(self.history) < self.first:
            return super().propose()
        cells = self.samples_of_policy(self.samples)
        cells = self.unseen(cells) or cells[:1]
        counts = [len(decision.options) for decision in self.space.decisions]
        digits = [self.space.digits(cell) for cell, _ in self.history]
        scores = [score for _, score in self.history]
        predictor = Predictor(counts, digits, scores, self.random_of())
        predictions = predictor.predict([self.space.digits(cell) for cell in cells])
        rewards = [self.reward(cell, x) for cell, x in zip(cells, predictions, strict=True)]
        return cells[int(np.argmax(rewards))]
