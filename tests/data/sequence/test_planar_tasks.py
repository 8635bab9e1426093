"""Convex hulls, polygons and shortest tours against brute force."""

import itertools

import numpy as np
import pytest

from kapps.data import sequence
from kapps.data.sequence import planar_tasks

RANDOM = np.random.default_rng(0)


def test_hulls_have_all_points_to_the_left_of_their_edges():
    for n in (3, 4, 7, 12) * 10:
        points = RANDOM.uniform(size=(n, 2))
        corners = sequence.convex_hull(points)
        assert corners[0] == min(corners) and len(set(corners)) == len(corners)
        for i, j in zip(corners, [*corners[1:], corners[0]], strict=True):
            others = [k for k in range(n) if k not in (i, j)]
            assert (planar_tasks.turn(points[i], points[j], points[others]) > 0).all()


def test_areas_and_crossings_of_polygons():
    square = np.array([[0, 0], [2, 0], [2, 2], [0, 2]], float)
    assert sequence.polygon_area(square) == 4 and sequence.polygon_area(square[::-1]) == -4
    assert sequence.is_simple_polygon(square)
    assert not sequence.is_simple_polygon(square[[0, 2, 1, 3]])
    assert not sequence.is_simple_polygon(square[:2])


def test_tours_are_the_shortest_of_all():
    points = RANDOM.uniform(size=(5, 6, 2))
    tours = sequence.shortest_tours(points)
    every = np.array([(0, *rest) for rest in itertools.permutations(range(1, 6))])
    lengths = [sequence.tour_lengths(points, np.tile(tour, (5, 1))) for tour in every]
    np.testing.assert_allclose(sequence.tour_lengths(points, tours), np.min(lengths, axis=0))
    assert not tours[:, 0].any()
    assert all(sequence.polygon_area(xy[tour]) > 0 for xy, tour in zip(points, tours, strict=True))
    assert (np.sort(tours, axis=1) == np.arange(6)).all()


def test_errors_name_the_shape():
    for function, shape in (
        (sequence.convex_hull, (2, 2)),
        (sequence.convex_hull, (1, 4, 2)),
        (sequence.shortest_tours, (1, 14, 2)),
        (sequence.shortest_tours, (4, 2)),
    ):
        with pytest.raises(ValueError, match=r"\(" + str(shape)[1:-1]):
            function(np.zeros(shape))
