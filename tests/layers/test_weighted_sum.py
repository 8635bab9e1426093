"""WeightedSum: the sigmoid of a number for each input."""

import keras
import numpy as np
import pytest

import kapps
from kapps.layers import WeightedSum, to_keras_layers


def sum_of_three(**options):
    inputs = [keras.Input((4, 5, 3), name=f"input{i}") for i in range(3)]
    return keras.Model(inputs, WeightedSum(name="sum", **options)(inputs))


def maps(count=2):
    return list(np.random.default_rng(0).normal(size=(3, count, 4, 5, 3)).astype("float32"))


def test_adds_inputs_times_sigmoids(tmp_path):
    model, x = sum_of_three(initial=1.0), maps()
    sigmoid = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(model.predict(x, verbose=0), sigmoid * sum(x), rtol=1e-5, atol=1e-5)
    numbers = np.array([-2.0, 0.5, 3.0])
    model.get_layer("sum").edge_weights.assign(numbers)
    expected = sum(a / (1 + np.exp(-n)) for a, n in zip(x, numbers, strict=True))
    model.save(tmp_path / "model.keras")
    for copy in (model, keras.saving.load_model(tmp_path / "model.keras"), to_keras_layers(model)):
        np.testing.assert_allclose(copy.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-5)
    row = kapps.profile(model).row("sum")
    assert (row.macs, row.elementwise, row.additions) == (0, 3 * 60, 2 * 60)


def test_training_drops_inputs_of_some_examples():
    """Each example keeps some of the inputs, divided by the fraction that is kept; the mean is the whole sum."""
    model = sum_of_three(drop_rate=0.25, seed=1)
    x = [np.full((4000, 4, 5, 3), 10.0**i, "float32") for i in range(3)]
    y = keras.ops.convert_to_numpy(model(x, training=True)) * 2 * 0.75
    assert np.ptp(y, axis=(1, 2, 3)).max() < 1e-3
    values, counts = np.unique(y[:, 0, 0, 0].round().astype(int), return_counts=True)
    assert list(values) == [0, 1, 10, 11, 100, 101, 110, 111]
    assert counts[-1] / 4000 == pytest.approx(0.75**3, abs=0.03)
    np.testing.assert_allclose(model(x, training=False), sum(x) / 2, rtol=1e-5)


@pytest.mark.parametrize("options, shapes", [({"drop_rate": 1.0}, 2), ({}, 1)])
def test_arguments_that_do_not_fit(options, shapes):
    with pytest.raises(ValueError, match=r"drop_rate|several"):
        layer = WeightedSum(**options)
        layer.build([(None, 4), (None, 4)] if shapes == 2 else (None, 4))
