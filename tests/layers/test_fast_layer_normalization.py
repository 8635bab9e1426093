"""The layer norm compared with `keras.layers.LayerNormalization`."""

import keras
import numpy as np
import pytest

from kapps.layers import FastLayerNormalization

MAPS = 3 + np.random.default_rng(0).normal(size=(2, 5, 4, 6)).astype("float32")


def models(shape, **options):
    """Returns a model of the layer on inputs of a shape, and one of Keras's layer with the same weights."""
    both = []
    for layer_class in (FastLayerNormalization, keras.layers.LayerNormalization):
        x = keras.Input(shape)
        layer = layer_class(
            beta_initializer="uniform", gamma_initializer="uniform", name="norm", **options
        )
        both.append(keras.Model(x, layer(x)))
    both[1].set_weights(both[0].get_weights())
    return both


def outputs(x, *networks):
    return [keras.ops.convert_to_numpy(network(x)) for network in networks]


@pytest.mark.parametrize(
    "options",
    [{}, {"epsilon": 0.1}, {"center": False}, {"scale": False}, {"axis": 3}],
)
def test_values_equal_keras(options):
    ours, theirs = models((5, 4, 6), **options)
    np.testing.assert_allclose(*outputs(MAPS, ours, theirs), rtol=1e-5, atol=1e-6)


@pytest.mark.tensorflow  # Keras 3.15 on PyTorch raises an error for other axes than the last
def test_values_of_other_axes_equal_keras():
    ours, theirs = models((5, 4, 6), axis=[1, 2])
    np.testing.assert_allclose(*outputs(MAPS, ours, theirs), rtol=1e-5, atol=1e-6)


def test_values_of_sequences_of_any_length_equal_keras():
    ours, theirs = models((None, 6))
    np.testing.assert_allclose(*outputs(MAPS[:, 0], ours, theirs), rtol=1e-5, atol=1e-6)


@pytest.mark.tensorflow
@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_float16", "float16", "bfloat16"])
def test_gradients_equal_keras(policy):
    import tensorflow as tf

    gradients = []
    for model in models((5, 4, 6), dtype=policy):
        with tf.GradientTape() as tape:
            y = model(MAPS, training=True)
            loss = tf.reduce_sum(tf.cast(y, "float32") ** 2)
        assert y.dtype == keras.DTypePolicy(policy).compute_dtype
        gradients.append(tape.gradient(loss, model.trainable_variables))
    within = 1e-5 if policy in ("float32", "float64") else 0.02
    for first, second in zip(*gradients, strict=True):
        np.testing.assert_allclose(
            tf.cast(first, "float64"), tf.cast(second, "float64"), rtol=within
        )
