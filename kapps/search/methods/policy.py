"""A policy of independent decisions with a softmax each, and the steps of REINFORCE with Adam."""

import numpy as np

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the probabilities of logits, over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def log_probability(logits: list, digits) -> float:
    """Returns the log-probability of a choice for each of several decisions, with the logits of each."""
    return float(
        sum(np.log(softmax(np.asarray(row))[digit]) for row, digit in zip(logits, digits, strict=True))
    )  # fmt: skip


def log_probability_gradient(logits: list, digits) -> list[np.ndarray]:
    """Returns the gradient of `log_probability` by the logits of each decision: the one-hot choice less the softmax."""
    gradients = []
    for row, digit in zip(logits, digits, strict=True):
        gradient = -softmax(np.asarray(row, "float64"))
        gradient[digit] += 1
        gradients.append(gradient)
    return gradients


class PolicyState:
    """Logits, Adam's moments and the moving average of the reward, as a dictionary of JSON values.

    Args:
        values: the dictionary, which `update` changes.
    """

    def __init__(self, values: dict):
        self.values = values

    @staticmethod
    def new(logits) -> dict:
        """Returns the dictionary of a new policy with these logits, a list of lists."""
        zeros = [[0.0] * len(row) for row in logits]
        logits = [list(map(float, row)) for row in logits]
        moments = {"first": zeros, "second": [list(row) for row in zeros]}
        return {"logits": logits, **moments, "step": 0, "numerator": 0.0, "denominator": 0.0}

    def advantage(self, reward: float, decay: float) -> float:
        """Returns the reward less the bias-corrected moving average of all rewards, this one included."""
        values = self.values
        values["numerator"] = decay * values["numerator"] + (1 - decay) * reward
        values["denominator"] = decay * values["denominator"] + (1 - decay)
        return reward - values["numerator"] / values["denominator"]

    def ascend(self, gradients, learning_rate: float) -> None:
        """Takes a step of Adam along the gradients of the logits."""
        values = self.values
        values["step"] += 1
        for i, gradient in enumerate(gradients):
            first = BETA_1 * np.asarray(values["first"][i]) + (1 - BETA_1) * gradient
            second = BETA_2 * np.asarray(values["second"][i]) + (1 - BETA_2) * gradient**2
            corrected = first / (1 - BETA_1 ** values["step"])
            scale = np.sqrt(second / (1 - BETA_2 ** values["step"])) + EPSILON
            logits = np.asarray(values["logits"][i]) + learning_rate * corrected / scale
            values["logits"][i], values["first"][i] = logits.tolist(), first.tolist()
            values["second"][i] = second.tolist()
