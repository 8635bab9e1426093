"""DropPath: whole examples are dropped, by a rate that may rise over the training steps."""

import keras
import numpy as np
import pytest

import kapps
from kapps.layers import DropPath, to_keras_layers


def dropped(layer, examples=2000):
    """Returns the fraction of examples that a training step drops, and the values of the others."""
    y = keras.ops.convert_to_numpy(layer(np.ones((examples, 2, 2, 1), "float32"), training=True))
    assert (y.min(axis=(1, 2, 3)) == y.max(axis=(1, 2, 3))).all()
    return (y[:, 0, 0, 0] == 0).mean(), y.max()


def test_drops_whole_examples_and_keeps_the_mean():
    fraction, value = dropped(DropPath(0.4, seed=1))
    assert fraction == pytest.approx(0.4, abs=0.04) and value == pytest.approx(1 / 0.6)


def test_rate_rises_with_the_training_steps():
    layer = DropPath(0.8, steps=4, seed=1)
    layer(np.ones((2, 2), "float32"))  # inference does not count
    fractions = [dropped(layer)[0] for _ in range(6)]
    assert fractions == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 0.8], abs=0.05)


def test_inference_returns_the_inputs():
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(DropPath(0.9)(x, training=False)), x)


def trainable():
    """Returns a compiled model, its data, and its layer of drop path."""
    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.Dense(1)(DropPath(0.5, steps=8, name="drop")(image)))
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
    return model, (x, x[:, :1]), model.get_layer("drop")


def test_model_that_is_loaded_has_the_schedule(tmp_path):
    model, data, layer = trainable()
    model.fit(*data, batch_size=4, epochs=2, shuffle=False, verbose=0)
    assert int(keras.ops.convert_to_numpy(layer.seed_generator.state)[1]) == 6
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras").get_layer("drop")
    assert (copy.rate, copy.steps) == (0.5, 8)


@pytest.mark.tensorflow
def test_training_resumes_exactly_from_a_checkpoint(tmp_path):
    """The seeds of checkpoints count the steps of the schedule."""
    model, data, _ = trainable()
    other, _, layer = trainable()
    options = {"batch_size": 4, "shuffle": False, "verbose": 0}
    model.fit(*data, **options)
    checkpoints = kapps.training.Checkpoints(tmp_path, steps_per_epoch=3)
    checkpoints.set_model(model)
    checkpoints.step = 3
    checkpoints.save()
    assert kapps.training.Checkpoints(tmp_path, steps_per_epoch=3).restore(other) == 3
    assert int(layer.seed_generator.state[1]) == 3
    model.fit(*data, **options)
    other.fit(*data, **options)
    for value, expected in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_half_precision_profile_and_portable_copy():
    image = keras.Input((4, 4, 2))
    layer = DropPath(0.3, steps=5, dtype="mixed_float16", name="drop")
    model = keras.Model(image, layer(image))
    output = layer(np.ones((2, 4), "float32"), training=True)
    assert keras.backend.standardize_dtype(output.dtype) == "float16"
    assert kapps.profile(model).macs == 0 and kapps.profile(model).row("drop").elementwise == 0
    copy = to_keras_layers(model).get_layer("drop")
    assert copy.rate == 0.3 and tuple(copy.noise_shape) == (None, 1, 1, 1)


def test_values_that_are_not_allowed():
    for options in ({"rate": 1.0}, {"rate": -0.1}, {"rate": 0.5, "steps": 0}):
        with pytest.raises(ValueError):
            DropPath(**options)
