"""Pareto fronts: the points that no other point is better than, or as good as, in every objective."""

from collections.abc import Sequence

import numpy as np


def pareto_front(points: Sequence[Sequence[float]]) -> list[int]:
    """Returns the indices of the points that no other point dominates, ascending. Less is better.

    A point dominates another one if it is not greater in any objective and less in one. Equal points are all kept.

    Args:
        points: (number, objectives).
    """
    points = np.asarray(points, "float64")
    left = np.arange(len(points))
    if len(left):
        left = left[
            np.argsort(points.sum(axis=1), kind="stable")
        ]  # those that dominate many come first
    i = 0
    while i < len(left):
        point = points[left[i]]
        equal = (points[left] == point).all(axis=1)
        stays = (points[left] < point).any(axis=1) | equal
        i = int(stays[: i + 1].sum())
        left = left[stays]
    return sorted(map(int, left))


def pareto_ranks(points: Sequence[Sequence[float]], most: int | None = None) -> list[list[int]]:
    """Returns the fronts: that of all points, that of the others, and so on, until `most` points are in them.

    Args:
        points: (number, objectives); less is better.
        most: number of points after which no further front is computed; None for all fronts.
    """
    points = np.asarray(points, "float64")
    left, fronts, count = np.arange(len(points)), [], 0
    while len(left) and (most is None or count < most):
        front = pareto_front(points[left])
        fronts.append([int(i) for i in left[front]])
        count += len(front)
        left = np.delete(left, front)
    return fronts
