"""Early exits: the exit at which each image leaves a network with several classifiers, for a budget of computation.

[1] Huang 2017, arXiv:1703.09844, sections 3 and 5, and its authors' code

    costs = kapps.analysis.exit_costs(model)
    policy = kapps.early_exit.fit_budget(model.predict(validation_images), costs, budget=20e6)
    classes, exits = policy.classify(model.predict(test_images))

An image leaves at the first exit whose largest probability reaches the threshold of the exit. The thresholds are fitted
on validation images. `kapps.export.load_tflite_exits` runs the exits of one image one after the other.
"""

import dataclasses
import math

import numpy as np

from kapps._arrays import as_array
from kapps._checked import checked
from kapps._values import is_integer, is_number, short

LARGEST = 50.0
"""The range of log q that `fit_budget` searches, below and above 0."""


@dataclasses.dataclass(frozen=True)
class ExitPolicy:
    """The thresholds of a network's exits for a budget.

    Args:
        thresholds: least probability of the most likely class with which an image leaves, for each exit; that of the
            last exit is -inf.
        costs: multiply-accumulates until each exit.
        q: of the fractions of images, which are proportional to q^k at exit k.
    """

    thresholds: tuple[float, ...]
    costs: tuple[float, ...]
    q: float

    def choose_exits(self, scores) -> np.ndarray:
        """Returns the number of the exit, from 1, at which each image leaves, int [n].

        Args:
            scores: probabilities of each exit, float [n, classes] each, as `model.predict` returns them.
        """
        confidences = _confidences(scores)
        if len(confidences) != len(self.thresholds):
            raise ValueError(
                f"scores of {len(confidences)} exits, and thresholds of {len(self.thresholds)}"
            )
        return 1 + np.argmax(confidences >= np.array(self.thresholds)[:, None], axis=0)

    def classify(self, scores) -> tuple[np.ndarray, np.ndarray]:
        """Returns the most likely class of each image at its exit, int [n], and the number of the exit, int [n].

        Args:
            scores: as for `choose_exits`.
        """
        exits = self.choose_exits(scores)
        classes = np.stack([np.argmax(x, axis=-1) for x in scores])
        return classes[exits - 1, np.arange(len(exits))], exits

    def mean_cost(self, scores) -> float:
        """Returns the mean cost of an image: the sum over the exits of the fraction of images times the cost.

        Args:
            scores: as for `choose_exits`.
        """
        return float(np.array(self.costs)[self.choose_exits(scores) - 1].mean())


def exit_fractions(q: float, exits: int) -> np.ndarray:
    """Returns the fraction of images that leaves at each exit: q^k at exit k, divided by their sum [1].

    Args:
        q: positive number; below 1 most images leave early, above 1 late.
        exits: number of exits.

    Raises:
        ValueError: for other values.
    """
    if not is_number(q) or q <= 0:
        raise ValueError(f"q={short(q)} is not a positive number")
    if not is_integer(exits, 1, 10**6):
        raise ValueError(f"exits={short(exits)} is not a number of exits, a positive integer")
    return _fractions(math.log(q), exits)


def _fractions(log_q, exits):
    logarithms = log_q * np.arange(1, exits + 1)
    powers = np.exp(logarithms - logarithms.max())
    return powers / powers.sum()


@checked
def fit_thresholds(scores, fractions) -> tuple[float, ...]:
    """Returns the threshold of each exit at which a fraction of the validation images leaves.

    At each exit but the last, those of the remaining images with the highest confidence leave, and the threshold is the
    lowest of these. Numbers of images are rounded up, in favour of the earlier exits, so that the mean cost is never
    above that of the fractions; the authors' code rounds them down. An exit at which no image leaves has the threshold
    inf, the last exit -inf.

    Args:
        scores: probabilities of the validation images at each exit, float [n, classes] each.
        fractions: of images for each exit; their sum is 1.

    Raises:
        ValueError: for scores that are not probabilities, and for fractions of another number or sum.
    """
    confidences = _confidences(scores)
    fractions = _numbers("fractions", fractions)
    if (
        fractions.shape != (len(confidences),)
        or fractions.min() < 0
        or abs(fractions.sum() - 1) > 1e-6
    ):
        raise ValueError(
            f"fractions={short(fractions.tolist())} are not {len(confidences)} numbers, one an exit, with the sum 1"
        )
    images = confidences.shape[1]
    targets = np.ceil(images * np.cumsum(fractions) - 1e-6).astype(int)
    remaining, thresholds = np.ones(images, bool), []
    for confidence, target in zip(confidences[:-1], targets[:-1], strict=True):
        count = target - (images - remaining.sum())
        ordered = np.sort(confidence[remaining])[::-1]
        thresholds.append(float(ordered[count - 1]) if count > 0 else math.inf)
        remaining &= confidence < thresholds[-1]
    return (*thresholds, -math.inf)


@checked
def fit_budget(scores, costs, budget: float) -> ExitPolicy:
    """Returns the thresholds with which the validation images cost at most `budget` in the mean.

    The fractions of the exits are proportional to q^k [1], with the largest q whose expected cost, the sum of fractions
    times costs, is in the budget. A budget of at least the last exit's cost sends all images to the last exit.

    Args:
        scores: probabilities of the validation images at each exit, float [n, classes] each.
        costs: multiply-accumulates until each exit, as `kapps.analysis.exit_costs` returns them.
        budget: multiply-accumulates for an image in the mean.

    Raises:
        ValueError: for a budget below the first exit's cost, costs that do not rise, and scores that are not
            probabilities.
    """
    exits = len(_confidences(scores))
    costs = _numbers("costs", costs)
    if costs.shape != (exits,) or costs[0] <= 0 or (np.diff(costs) <= 0).any():
        raise ValueError(
            f"costs={short(costs.tolist())} are not {exits} rising positive numbers, one an exit"
        )
    if not budget >= costs[0]:
        raise ValueError(
            f"budget={short(budget)} is below costs[0]={costs[0]:,.0f}, those of the first exit: give a "
            f"budget from {costs[0]:,.0f} to {costs[-1]:,.0f}, or a network with a smaller first block"
        )
    low, high = -LARGEST, LARGEST
    if budget >= costs[-1]:
        fractions, low = np.eye(exits)[-1], math.inf
    else:
        for _ in range(100):
            middle = (low + high) / 2
            is_in_budget = _fractions(middle, exits) @ costs <= budget
            low, high = (middle, high) if is_in_budget else (low, middle)
        fractions = _fractions(low, exits)
    return ExitPolicy(fit_thresholds(scores, fractions), tuple(costs.tolist()), math.exp(low))


def _confidences(scores) -> np.ndarray:
    """Returns the largest probability of each image at each exit, float [exits, n]."""
    arrays = [as_array("scores", x) for x in scores] if np.iterable(scores) else []
    shapes = {x.shape for x in arrays}
    if len(shapes) != 1 or arrays[0].ndim != 2 or not arrays[0].size:
        raise ValueError(
            f"scores of shapes {short([x.shape for x in arrays])}: pass one array (images, classes) for each exit"
        )
    stacked = np.stack(arrays)
    if not (stacked.dtype.kind == "f" and (stacked > -1e-3).all() and (stacked < 1 + 1e-3).all()):
        raise ValueError(
            "scores are not probabilities between 0 and 1: pass the outputs of a softmax, not logits"
        )
    return stacked.max(axis=-1)


def _numbers(name, values) -> np.ndarray:
    """Returns finite numbers as an array, float64."""
    if not np.iterable(values) or not all(map(is_number, values)):
        raise ValueError(f"{name}={short(values)}: must be finite numbers, one an exit")
    return np.asarray(values, "float64")
