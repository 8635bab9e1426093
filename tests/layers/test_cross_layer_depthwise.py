"""CrossLayerDepthwiseConv2D: the sum of batch norms, its gradient, its cost and its copies."""

import fingerprints
import finite_differences
import keras
import numpy as np
import pytest

import kapps
from kapps.layers import CrossLayerDepthwiseConv2D, to_keras_layers

SHAPE = (4, 5, 3)


def model_of(count=3, **options):
    inputs = [keras.Input(SHAPE, name=f"map{i}") for i in range(count)]
    return keras.Model(inputs, CrossLayerDepthwiseConv2D(name="cross", **options)(inputs))


def maps(count=3, examples=6):
    rng = np.random.default_rng(0)
    return [
        (i + rng.normal(size=(examples, *SHAPE)) * (1 + i)).astype("float32") for i in range(count)
    ]


def randomised(model):
    rng = np.random.default_rng(1)
    layer = model.get_layer("cross")
    layer.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in layer.weights])
    return model


def outputs(model, inputs, **options):
    return keras.ops.convert_to_numpy(model(inputs, **options))


def test_equals_the_sum_of_batch_norms_in_training_and_inference():
    model = randomised(model_of())
    norms = to_keras_layers(model)
    assert not [x for x in norms.layers if isinstance(x, CrossLayerDepthwiseConv2D)]
    for training in (True, False):  # the second pass reads the moving averages of the first
        expected = outputs(norms, maps(), training=training)
        np.testing.assert_allclose(
            outputs(model, maps(), training=training), expected, rtol=1e-5, atol=1e-5
        )
    for ours, theirs in zip(
        model.get_layer("cross").keras_weights(), norms.get_weights(), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_one_map_several_times_is_its_batch_norm():
    """With the first weights, 1 / maps."""
    (x,) = maps(1)
    expected = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
    for count in (1, 4):
        y = outputs(model_of(count), [x] * count, training=True)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_gradients_equal_differences():
    """Those of gamma and beta, and through the maps those of the layers before."""
    with fingerprints.float64():
        image = keras.Input((3, 2, 2))
        sources = [keras.layers.Dense(2, name=f"source{i}")(image) for i in range(2)]
        model = keras.Model(image, CrossLayerDepthwiseConv2D(name="cross")(sources))
        randomised(model)
        x = np.random.default_rng(2).normal(size=(4, 3, 2, 2))
        finite_differences.assert_gradients_equal_differences(model, x)


def test_a_frozen_layer_keeps_its_moving_averages():
    model = randomised(model_of())
    expected = outputs(model, maps())
    model.trainable = False
    np.testing.assert_allclose(outputs(model, maps(), training=True), expected, rtol=1e-6)


def test_copies_and_cost(tmp_path):
    model = randomised(model_of(momentum=0.8, epsilon=1e-4))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(loaded, maps()), outputs(model, maps()))
    layer = loaded.get_layer("cross")
    assert (layer.momentum, layer.epsilon) == (0.8, 1e-4)
    row = kapps.profile(model).row("cross")
    assert (row.macs, row.elementwise, row.additions) == (0, 3 * 60, 3 * 60)
    assert (row.trainable, row.non_trainable) == (2 * 3 * 3, 2 * 3 * 3)


def test_half_precision_computes_statistics_in_float32():
    """Squares of these values are infinite in float16."""
    model = model_of(2, dtype="mixed_float16")
    x = [1000 * x for x in maps(2)]
    y = outputs(model, x, training=True)
    assert y.dtype == np.float16 and np.isfinite(y).all() and np.abs(y).max() > 1


@pytest.mark.parametrize("shapes", [[(None, 4, 4, 3), (None, 4, 4, 2)], (None, 4, 4, 3)])
def test_maps_of_several_shapes_raise(shapes):
    with pytest.raises(ValueError, match="shapes of maps") as caught:
        CrossLayerDepthwiseConv2D().build(shapes)
    assert "\n" not in str(caught.value)
