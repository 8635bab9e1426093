"""What the profile's tests share."""

import keras
import pytest


def zeros(initializer, shape, dtype=None, **_):
    return keras.ops.zeros(shape, dtype)


@pytest.fixture
def unweighted(monkeypatch):
    """Models of this test have zeros for random weights: whole networks are built, and none is run."""
    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", zeros)
    monkeypatch.setattr(keras.initializers.RandomNormal, "__call__", zeros)
    keras.backend.clear_session()
