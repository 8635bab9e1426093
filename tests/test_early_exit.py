"""Thresholds of exits for a budget: fractions, order by confidence, costs, and errors."""

import math

import numpy as np
import pytest

from kapps import early_exit

COSTS = (10.0, 25.0, 60.0)


def probabilities(images=400, exits=3, classes=5):
    """Returns probabilities of each exit that are more confident at later exits."""
    draw = np.random.default_rng(0)
    scores = []
    for number in range(1, exits + 1):
        powers = np.exp(number * draw.normal(size=(images, classes)))
        scores.append((powers / powers.sum(-1, keepdims=True)).astype("float32"))
    return scores


def leave_in_order(scores, counts):
    """Returns the exit of each image by the rule of the paper, one image at a time."""
    exits = [0] * len(scores[0])
    for number, count in enumerate(counts, start=1):
        left = [i for i, x in enumerate(exits) if not x]
        order = sorted(left, key=lambda i: -scores[number - 1][i].max())
        for i in order[:count]:
            exits[i] = number
    return exits


def test_fractions_are_powers():
    np.testing.assert_allclose(early_exit.exit_fractions(0.5, 3), np.array([4, 2, 1]) / 7)
    np.testing.assert_allclose(early_exit.exit_fractions(1, 4), 0.25)
    np.testing.assert_allclose(early_exit.exit_fractions(2.0, 2), [1 / 3, 2 / 3])
    assert early_exit.exit_fractions(1e300, 1000)[-1] == 1  # no overflow


def test_the_most_confident_images_leave_first():
    scores = probabilities(images=100)
    thresholds = early_exit.fit_thresholds(scores, [0.3, 0.45, 0.25])
    policy = early_exit.ExitPolicy(thresholds, COSTS, 1.0)
    assert thresholds[-1] == -math.inf
    exits = policy.choose_exits(scores)
    assert exits.tolist() == leave_in_order(scores, [30, 45, 25])
    classes, same = policy.classify(scores)
    assert same.tolist() == exits.tolist()
    assert classes.tolist() == [int(scores[k - 1][i].argmax()) for i, k in enumerate(exits)]
    assert policy.mean_cost(scores) == pytest.approx(0.3 * 10 + 0.45 * 25 + 0.25 * 60)


def test_numbers_of_images_are_rounded_in_favour_of_earlier_exits():
    scores = probabilities(images=7)
    thresholds = early_exit.fit_thresholds(scores, [1 / 3, 1 / 3, 1 / 3])
    exits = early_exit.ExitPolicy(thresholds, COSTS, 1.0).choose_exits(scores)
    assert np.bincount(exits, minlength=4)[1:].tolist() == [3, 2, 2]
    none_first = early_exit.fit_thresholds(scores, [0, 0, 1])
    assert none_first == (math.inf, math.inf, -math.inf)
    # Images of equal confidence leave together, and fewer at the next exit.
    equal = [np.full((6, 2), 0.5, "float32"), *probabilities(6, 2, 2)]
    exits = early_exit.ExitPolicy(
        early_exit.fit_thresholds(equal, [1 / 3, 1 / 3, 1 / 3]), COSTS, 1.0
    ).choose_exits(equal)
    assert exits.tolist() == [1] * 6


@pytest.mark.parametrize("budget", [10, 11, 17.5, 30, 45, 59.9, 60, 1000])
def test_a_budget_is_met(budget):
    scores = probabilities(images=2000)
    policy = early_exit.fit_budget(scores, COSTS, budget)
    mean = policy.mean_cost(scores)
    assert mean <= budget and mean >= 0.98 * min(budget, 60)
    fractions = np.bincount(policy.choose_exits(scores), minlength=4)[1:] / 2000
    if budget < 60:
        np.testing.assert_allclose(fractions, early_exit.exit_fractions(policy.q, 3), atol=1e-3)
    else:
        assert fractions.tolist() == [0, 0, 1] and policy.thresholds[0] == math.inf


SCORES = probabilities(images=4)
ERRORS = [
    (early_exit.fit_budget, (SCORES, COSTS, 9.9), "budget=9.9 is below costs[0]=10"),
    (early_exit.fit_budget, (SCORES, COSTS, math.nan), "budget=nan"),
    (early_exit.fit_budget, (SCORES, COSTS[:2], 20), "3 rising positive numbers"),
    (early_exit.fit_budget, (SCORES, (10, 10, 60), 20), "3 rising positive numbers"),
    (early_exit.fit_thresholds, (SCORES, [0.5, 0.5]), "with the sum 1"),
    (early_exit.fit_thresholds, (SCORES, [0.5, 0.5, 0.5]), "with the sum 1"),
    (early_exit.fit_thresholds, ([x * 20 for x in SCORES], [0.5, 0.5, 0]), "not logits"),
    (early_exit.fit_thresholds, ([SCORES[0], SCORES[1][:2]], [0.5, 0.5]), "shapes"),
    (early_exit.fit_thresholds, (SCORES[0], [1]), "shapes"),
    (early_exit.exit_fractions, (0, 3), "q=0"),
    (early_exit.exit_fractions, (0.5, 0), "exits=0"),
    (early_exit.ExitPolicy((0.5, -math.inf), COSTS, 1).choose_exits, (SCORES,), "3 exits"),
]


@pytest.mark.parametrize("function, arguments, words", ERRORS)
def test_errors(function, arguments, words):
    with pytest.raises(ValueError) as caught:
        function(*arguments)
    assert words in str(caught.value) and "\n" not in str(caught.value)
