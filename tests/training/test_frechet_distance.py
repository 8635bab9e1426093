"""The Frechet distance between normal distributions, against the matrix square root of SciPy and known distances."""

import keras
import numpy as np
import pytest
import scipy.linalg

from kapps import training

RANDOM = np.random.default_rng(0)


def formula(x, y):
    """||m - n||^2 + tr(C + D - 2 (C D)^(1/2))."""
    c, d = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(c @ d).real
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c + d - 2 * root)


def distance(x, y, batch=16):
    metric = training.FrechetDistance(x.shape[-1])
    for start in range(0, len(x), batch):
        metric.update_state(x[start : start + batch], y[start : start + batch])
    return float(metric.result())


def vectors(count, size, mean=0.0):
    mix = RANDOM.normal(size=(size, size))
    return (mean + RANDOM.normal(size=(count, size)) @ mix).astype("float32")


@pytest.mark.parametrize("count, size", [(50, 3), (40, 8), (10, 16)])
def test_is_the_formula_in_any_batches(count, size):
    """Also for fewer vectors than numbers in a vector, whose covariance has no inverse."""
    x, y = vectors(count, size), vectors(count, size, mean=0.5)
    # SciPy's root of a singular matrix has errors of its own.
    within = {"rtol": 1e-3} if count > size else {"rtol": 0.02}
    np.testing.assert_allclose(distance(x, y), formula(x, y), **within)
    np.testing.assert_allclose(distance(x, y), distance(x, y, batch=7), rtol=1e-3)


def test_known_distances():
    x = vectors(200, 4)
    np.testing.assert_allclose(distance(x, x), 0, atol=1e-2)
    np.testing.assert_allclose(distance(x, x + 2), 16, rtol=1e-3)  # four means differ by 2
    spread = float(np.trace(np.cov(x, rowvar=False)))
    np.testing.assert_allclose(distance(x, 3 * (x - x.mean(0)) + x.mean(0)), 4 * spread, rtol=1e-2)


def test_without_vectors_and_after_a_reset_it_is_0():
    metric = training.FrechetDistance(3)
    assert float(metric.result()) == 0
    metric.update_state(vectors(5, 3), vectors(5, 3))
    assert float(metric.result()) > 0
    metric.reset_state()
    assert float(metric.result()) == 0
    assert not keras.ops.convert_to_numpy(metric.products).any()
