"""The check by random weights, on a network that is trained here, and rank correlations."""

import functools

import keras
import numpy as np
from keras import layers

from kapps.visualize import activation_maps, attributions, randomisation


def ranks(values):
    """Ranks with the mean of equal values, by loops."""
    return [
        np.mean([i for i, other in enumerate(sorted(values)) if other == value]) for value in values
    ]


def test_rank_correlations_are_those_of_ranks():
    random = np.random.default_rng(0)
    first, second = random.integers(-5, 5, (2, 3, 4, 5))
    result = randomisation.rank_correlations(first, second)
    for i in range(3):
        a, b = (ranks(np.abs(x[i]).ravel()) for x in (first, second))
        np.testing.assert_allclose(result[i], np.corrcoef(a, b)[0, 1], rtol=1e-5)
    assert (randomisation.rank_correlations(first, 0 * second) == 0).all()


def test_gradients_change_with_the_weights_and_an_edge_detector_does_not():
    keras.utils.set_random_seed(0)
    images, labels = (
        np.random.default_rng(0).random((256, 12, 12, 1)).astype("float32"),
        np.arange(256) % 2,
    )
    images[labels == 1, 2:5, 2:5] += 1
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)), layers.Conv2D(8, 3, activation="relu"), layers.BatchNormalization(),
            layers.Conv2D(8, 3, activation="relu"), layers.Flatten(), layers.Dense(2, activation="softmax"),
        ]
    )  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images, labels, epochs=4, verbose=0)
    before = model.get_weights()
    images = images[:16]
    methods = {
        "saliency": functools.partial(attributions.saliency, classes=1),
        "grad_cam": functools.partial(activation_maps.grad_cam, classes=1),
        "edges": lambda model, images: np.diff(images, axis=1),
    }
    results = {
        name: randomisation.randomised(method, model, images) for name, method in methods.items()
    }
    for (name, result), most in zip(results.items(), (0.4, 0.5, 1.01), strict=True):
        assert len(result) == 4 and all(row.shape == (16,) for row in result.values())
        assert (list(result.values())[-1].mean() > 0.99) == (name == "edges")
        assert list(result.values())[-1].mean() < most
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert len(randomisation.randomised(methods["edges"], model, images, layers=2)) == 2
