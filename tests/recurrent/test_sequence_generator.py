"""Sequence generation from one vector."""

import numpy as np
import pytest
from small_networks import CLASSES, FEATURES, SMALL, array

from kapps import families


def test_a_generator_equals_a_labeller_of_the_repeated_vector():
    model = families.sequence_generator(
        steps=5, units=4, input_shape=(1, FEATURES), classes=CLASSES
    )
    x = np.random.default_rng(0).normal(size=(2, 1, FEATURES)).astype("float32")
    assert model(x).shape == (2, 5, CLASSES)
    labeller = families.sequence_labeller(units=4, cell="lstm", merge=None, **SMALL)
    labeller.set_weights(model.get_weights())
    np.testing.assert_allclose(array(model(x)), array(labeller(np.tile(x, (1, 5, 1)))), atol=1e-6)


def test_an_error_names_the_allowed_shape():
    with pytest.raises(ValueError, match=r"input_shape .*\(1, features\).*\(2, 3\)"):
        families.sequence_generator(steps=5, input_shape=(2, FEATURES))
