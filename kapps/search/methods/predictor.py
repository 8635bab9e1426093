"""A predictor of scores: ridge regressions on the options of a cell and on all pairs of them.

PNAS (Liu 2017, arXiv:1712.00559) has an ensemble of five LSTMs or MLPs, trained on the accuracies so far. With a
hundred cells of six edges, a linear model of the pairs of operations predicts as well and is solved exactly.
"""

from collections.abc import Sequence

import numpy as np

MEMBERS = 5
"""Number of regressions, as in the paper."""
PENALTY = 1.0
"""Of the squared weights."""


class Predictor:
    """Predicts scores of cells by the mean of several regressions.

    Args:
        counts: number of options of each decision.
        digits: (cells, decisions), the options of the cells with a score.
        scores: of these cells.
        random: of the bootstrap samples.
    """

    def __init__(self, counts: Sequence[int], digits, scores, random: np.random.Generator):
        self.counts = tuple(counts)
        features, scores = self.features(digits), np.asarray(scores, "float64")
        self.mean = scores.mean()
        self.scale = scores.std() or 1.0
        targets = (scores - self.mean) / self.scale
        weights = np.zeros(features.shape[1])
        for _ in range(MEMBERS):
            chosen = random.integers(len(scores), size=len(scores))
            x, y = features[chosen], targets[chosen]
            # As many unknowns as cells: the dual form of the regression.
            weights += x.T @ np.linalg.solve(x @ x.T + PENALTY * np.eye(len(x)), y)
        self.weights = weights / MEMBERS

    def features(self, digits) -> np.ndarray:
        """Returns (cells, features): a constant, which options a cell has, and which pairs of options."""
        digits = np.asarray(digits, "int64").reshape(-1, len(self.counts))
        starts = np.cumsum([0, *self.counts[:-1]])
        single = np.zeros((len(digits), sum(self.counts)), "float32")
        single[np.arange(len(digits))[:, None], digits + starts] = 1
        parts = [np.ones((len(digits), 1), "float32"), single]
        for i, count in enumerate(self.counts[:-1]):
            first = single[:, starts[i] : starts[i] + count, None]
            pairs = first * single[:, None, starts[i + 1] :]
            parts.append(pairs.reshape(len(digits), -1))
        return np.concatenate(parts, axis=1)

    def predict(self, digits) -> np.ndarray:
        """Returns the predicted scores of cells, from their digits (cells, decisions)."""
        return self.mean + self.scale * (self.features(digits) @ self.weights)
