"""The tasks of pointer_tasks.py: data with exact answers, and measures. A task is a function of the recipe's flags.

[1] Vinyals 2015, Pointer Networks, arXiv:1506.03134, sections 3 and 4
"""

import collections
import dataclasses
from collections.abc import Callable

import numpy as np

from kapps.data import sequence

PLOTTED = 8
"""Sets of points of a plot."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A task of a pointer network.

    Args:
        title: name of the task, with its size.
        width: values of each input.
        make: function of a NumPy generator and a number of sets; returns inputs (sets, n, width) and indices from 1
            (sets, n), padded with 0.
        measure: name of the measure.
        evaluate: function of inputs, exact answers and predicted answers; returns the measure and the detail.
        chance: function of inputs and exact answers; returns the measure without a network.
        paper: the paper's figure for this size, or None.
        tour: whether an answer has each input exactly once.
    """

    title: str
    width: int
    make: Callable
    measure: str
    evaluate: Callable
    chance: Callable
    paper: float | None
    tour: bool = False


def draw_points(random, size, n):
    """Returns points (size, n, 2), uniform in the unit square, and none of them (0, 0), which is padding."""
    return random.uniform(1e-3, 1.0, (size, n, 2)).astype("float32")


def sorting_sets(random, size, n):
    """Returns numbers (size, n, 1) and the indices from 1 of the numbers in growing order."""
    x = random.uniform(1e-3, 1.0, (size, n, 1)).astype("float32")
    return x, x[..., 0].argsort(axis=1) + 1


def hull_sets(random, size, n):
    """Returns points (size, n, 2) and the indices from 1 of the corners of their convex hulls, padded with 0."""
    points = draw_points(random, size, n)
    answers = np.zeros((size, n), int)
    for row, xy in zip(answers, points, strict=True):
        corners = sequence.convex_hull(xy.astype("float64"))
        row[: len(corners)] = np.array(corners) + 1
    return points, answers


def tour_sets(random, size, n):
    """Returns points (size, n, 2) and the indices from 1 of their shortest tours."""
    points = draw_points(random, size, n)
    return points, sequence.shortest_tours(points) + 1


def teacher_forcing(x, answers):
    """Returns inputs, labels and weights: 0 and the answer; the answer and 0; ones to the label after the answer."""
    start = np.zeros_like(answers[:, :1])
    labels = np.concatenate([answers, start], axis=1)
    length = (answers > 0).sum(axis=1, keepdims=True)
    weights = (np.arange(labels.shape[1]) <= length).astype("float32")
    return [x, np.concatenate([start, answers], axis=1).astype("int32")], labels, weights


def equal_answers(answers, predicted):
    """Returns the percentage of the answers that are predicted as a whole."""
    predicted = predicted[:, : answers.shape[1] + 1]
    wider = np.pad(answers, ((0, 0), (0, predicted.shape[1] - answers.shape[1])))
    return 100 * (wider == predicted).all(axis=1).mean()


def most_frequent(x, answers):
    """Returns the percentage of the answers that are the most frequent one."""
    del x
    counts = collections.Counter(map(tuple, answers.tolist()))
    return 100 * max(counts.values()) / len(answers)


def evaluate_sorting(x, answers, predicted):
    del x
    n = answers.shape[1]
    places = 100 * (answers == predicted[:, :n]).mean()
    return equal_answers(answers, predicted), f"{places:.1f} % of the places"


def same_polygon(answer, predicted):
    """Whether a prediction is the answer, from any of its corners."""
    answer, predicted = [i for i in answer if i], [i for i in predicted if i]
    turns = [predicted[i:] + predicted[:i] for i in range(len(predicted))]
    return answer in turns


def evaluate_hulls(points, answers, predicted):
    """Returns the percentage of right hulls, and the area that polygons cover of the exact hulls [1, section 4.2]."""
    covered = []
    for xy, answer, guess in zip(points, answers, predicted, strict=True):
        corners = xy[guess[guess > 0] - 1].astype("float64")
        if sequence.is_simple_polygon(corners):
            area = sequence.polygon_area(xy[answer[answer > 0] - 1].astype("float64"))
            covered.append(abs(sequence.polygon_area(corners)) / area)
    right = np.mean(
        [same_polygon(*pair) for pair in zip(answers.tolist(), predicted.tolist(), strict=True)]
    )
    area = f"area {100 * np.mean(covered):.1f} %, " if covered else ""
    return 100 * right, f"{area}{100 - 100 * len(covered) / len(points):.1f} % no simple polygon"


def evaluate_tours(points, answers, predicted):
    lengths = sequence.tour_lengths(points, predicted - 1)
    shortest = sequence.tour_lengths(points, answers - 1)
    share = 100 * (lengths <= shortest * 1.00001).mean()
    return lengths.mean(), f"{share:.1f} % shortest, exact {shortest.mean():.3f}"


def random_tours(points, answers):
    """Returns the mean length of tours in a random order, here that of the points."""
    order = np.broadcast_to(np.arange(answers.shape[1]), answers.shape)
    return sequence.tour_lengths(points, order).mean()


def sorting(n):
    return Task(
        f"sorting {n} numbers", 1, sorting_sets, "right (%)", evaluate_sorting, most_frequent, None
    )  # fmt: skip


def hulls(n):
    paper = {5: 92.0, 10: 87.0, 50: 69.6}.get(n)  # trained on 5 to 50 points
    return Task(
        f"convex hull of {n}", 2, hull_sets, "right (%)", evaluate_hulls, most_frequent, paper
    )


def tours(n):
    paper = {5: 2.12, 10: 2.88, 20: 3.88}.get(n)
    return Task(
        f"tour of {n} points", 2, tour_sets, "mean length", evaluate_tours, random_tours, paper, tour=True
    )  # fmt: skip


TASKS = {"sorting": sorting, "hulls": hulls, "tours": tours}
