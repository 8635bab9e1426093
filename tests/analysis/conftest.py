"""Fixtures of the profile's tests."""

import keras
import pytest


def zeros(initializer, shape, dtype=None, **_):
    return keras.ops.zeros(shape, dtype)


@pytest.fixture
def unweighted(monkeypatch):
    """Initialises random weights with zeros, since the networks of the test are built but not run."""
    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", zeros)
    monkeypatch.setattr(keras.initializers.RandomNormal, "__call__", zeros)
    keras.backend.clear_session()
