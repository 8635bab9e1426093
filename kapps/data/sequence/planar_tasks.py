"""Tasks on sets of points with exact answers, for pointer networks: convex hulls and shortest tours.

[1] Vinyals 2015, Pointer Networks, arXiv:1506.03134, section 3
[2] Held 1962, A dynamic programming approach to sequencing problems: shortest tours in O(2^n n^2)
[3] Andrew 1979, Another efficient algorithm for convex hulls in two dimensions

Answers are indices of points, from 0.
"""

import numpy as np

from kapps._checked import checked

MOST_CITIES = 13
"""The largest number of cities of `shortest_tours`."""


def turn(a, b, c):
    """Returns twice the area of the triangles a b c, (...,), positive where a, b, c turn counter-clockwise.

    Args:
        a, b, c: points (..., 2).
    """
    ab, ac = b - a, c - a
    return ab[..., 0] * ac[..., 1] - ab[..., 1] * ac[..., 0]


@checked
def convex_hull(points: np.ndarray) -> list[int]:
    """Returns the corners of the convex hull of points, counter-clockwise from the one with the lowest index [1, 3].

    Args:
        points: float (n, 2), n at least 3.

    Raises:
        ValueError: for another shape.
    """
    check_points(points, 3, None, rank=2)
    order = np.lexsort((points[:, 1], points[:, 0])).tolist()

    def chain(order):
        corners = []
        for i in order:
            while (
                len(corners) > 1 and turn(points[corners[-2]], points[corners[-1]], points[i]) <= 0
            ):
                corners.pop()
            corners.append(i)
        return corners[:-1]

    corners = chain(order) + chain(order[::-1])
    first = corners.index(min(corners))
    return corners[first:] + corners[:first]


@checked
def polygon_area(corners: np.ndarray) -> float:
    """Returns the area of a polygon, (n, 2), positive if its corners are counter-clockwise."""
    x, y = np.moveaxis(corners, -1, 0)
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


@checked
def is_simple_polygon(corners: np.ndarray) -> bool:
    """Returns whether no two edges of a polygon, (n, 2), cross, and it has three corners or more."""
    n = len(corners)
    for i in range(n):
        for j in range(i + 2, n - (i == 0)):
            a, b, c, d = corners[i], corners[i + 1], corners[j], corners[(j + 1) % n]
            if turn(a, b, c) * turn(a, b, d) < 0 and turn(c, d, a) * turn(c, d, b) < 0:
                return False
    return n > 2


@checked
def tour_lengths(points: np.ndarray, tours: np.ndarray) -> np.ndarray:
    """Returns the lengths of closed tours, (batch,), of points (batch, n, 2) and indices (batch, n)."""
    stops = np.take_along_axis(points, tours[..., None], axis=1)
    return np.linalg.norm(stops - np.roll(stops, -1, axis=1), axis=-1).sum(axis=1)


@checked
def shortest_tours(points: np.ndarray) -> np.ndarray:
    """Returns the shortest closed tours of sets of points, int64 (batch, n), by dynamic programming [2].

    A tour starts at point 0 and is counter-clockwise.

    Args:
        points: float (batch, n, 2), n from 3 to 13.

    Raises:
        ValueError: for another shape.
    """
    check_points(points, 3, MOST_CITIES, rank=3)
    batch, others = len(points), points.shape[1] - 1
    distance = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    # length[:, s, j]: of the shortest path from point 0 through the points of the set s, bits of 1 .. n - 1, to j + 1
    length = np.full((batch, 2**others, others), np.inf)
    before = np.zeros((batch, 2**others, others), "int8")
    for s in range(1, 2**others):
        for j in [j for j in range(others) if s >> j & 1]:
            rest = s ^ 1 << j
            if not rest:
                length[:, s, j] = distance[:, 0, j + 1]
                continue
            paths = length[:, rest] + distance[:, 1:, j + 1]
            before[:, s, j] = paths.argmin(axis=1)
            length[:, s, j] = paths.min(axis=1)
    rows, s = np.arange(batch), np.full(batch, 2**others - 1)
    last = (length[:, -1] + distance[:, 1:, 0]).argmin(axis=1)
    tours = np.zeros((batch, others + 1), "int64")
    for i in range(others, 0, -1):
        tours[:, i] = last + 1
        s, last = s ^ 1 << last, before[rows, s, last].astype("int64")
    x, y = np.moveaxis(np.take_along_axis(points, tours[..., None], axis=1), -1, 0)
    reverse = (x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)).sum(axis=1) < 0
    tours[reverse, 1:] = tours[reverse, :0:-1]
    return tours


def check_points(points, least, most, rank):
    """Raises ValueError for points that are not an array (..., n, 2) of this rank with a number of points in range."""
    shape = ("n, 2", "batch, n, 2")[rank - 2]
    limits = f"n at least {least}" if most is None else f"n from {least} to {most}"
    is_shape = points.ndim == rank and points.shape[-1] == 2
    if not is_shape or not least <= points.shape[-2] <= (most or points.shape[-2]):
        raise ValueError(f"points have the shape {points.shape}, not ({shape}) with {limits}")
