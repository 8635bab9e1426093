"""ChannelPool: the maximum and the mean over the channels."""

import keras
import numpy as np
import pytest

import kapps
from kapps.layers import ChannelPool, to_keras_layers


def test_maximum_and_mean(tmp_path):
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype("float32")
    expected = np.stack([x.max(axis=-1), x.mean(axis=-1)], axis=-1)
    for mean_first in (False, True):
        image = keras.Input((4, 5, 6))
        model = keras.Model(image, ChannelPool(mean_first, name="pool")(image))
        assert model.output_shape == (None, 4, 5, 2)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        for copy in (model, loaded, to_keras_layers(model)):
            values = keras.ops.convert_to_numpy(copy(x))
            np.testing.assert_allclose(values, expected[..., :: -1 if mean_first else 1], atol=1e-6)
        row = kapps.profile(model).row("pool")
        assert (row.macs, row.additions, row.elementwise) == (0, 20 * 5, 20 * 5 + 20)


def test_order_that_is_not_true_or_false_raises():
    with pytest.raises(ValueError, match="mean_first"):
        ChannelPool("mean")
