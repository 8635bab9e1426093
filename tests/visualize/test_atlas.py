"""The activation atlas, and principal components."""

import keras
import numpy as np
import pytest
from keras import layers

from kapps import visualize

IMAGES = np.random.default_rng(0).normal(size=(300, 6, 6, 2)).astype("float32")


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, name="maps")(inputs)
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))


def test_principal_components_are_eigenvectors_of_the_covariance():
    vectors = np.random.default_rng(0).normal(size=(50, 6)) * [1, 5, 2, 3, 1, 4]
    points = visualize.principal_components(vectors, 3)
    _, eigenvectors = np.linalg.eigh(np.cov(vectors.T))
    expected = (vectors - vectors.mean(axis=0)) @ eigenvectors[:, ::-1][:, :3]
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-4)
    with pytest.raises(ValueError, match="components"):
        visualize.principal_components(vectors[:1])


def test_cells_have_the_means_of_their_members():
    model = network()
    result = visualize.atlas(model, IMAGES, "maps", grid=5)
    (maps,) = visualize.feature_maps(model, IMAGES, "maps").values()
    activations = np.array(
        [row[tuple(place)] for row, place in zip(maps, result.places, strict=True)]
    )
    edges = np.linspace(0, 1, 6)
    expected, _, _ = np.histogram2d(*result.layout.T, bins=[edges, edges])
    np.testing.assert_array_equal(result.counts, expected)
    assert result.counts.sum() > 280 and len(result.vectors) == (result.counts >= 5).sum()
    for vector, cell, rows in zip(result.vectors, result.cells, result.members, strict=True):
        assert len(rows) == result.counts[tuple(cell)]
        np.testing.assert_allclose(vector, activations[rows].mean(axis=0), rtol=1e-5, atol=1e-6)
    chosen = visualize.atlas(model, IMAGES, "maps", layout=activations[:, :2])
    order = np.argsort(activations[:, 0], kind="stable")
    assert (np.diff(chosen.layout[order, 0]) >= 0).all()
    for options, words in (
        ({"least": 400}, "no cell"),
        ({"layout": activations}, "layout"),
        ({"grid": 0}, "grid=0"),
    ):
        with pytest.raises(ValueError, match=words):
            visualize.atlas(model, IMAGES, "maps", **options)
