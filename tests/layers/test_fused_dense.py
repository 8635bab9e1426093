"""The dense layer on maps compared with `keras.layers.Dense`."""

import keras
import numpy as np
import pytest

from kapps.layers import FusedDense

MAPS = np.random.default_rng(0).normal(size=(2, 5, 4, 6)).astype("float32")


def models(shape, **options):
    """Returns a model of a fused layer on inputs of a shape, and one of Keras's layer with the same weights."""
    both = []
    for layer_class in (FusedDense, keras.layers.Dense):
        x = keras.Input(shape)
        layer = layer_class(3, bias_initializer="uniform", name="dense", **options)
        both.append(keras.Model(x, layer(x)))
    both[1].set_weights(both[0].get_weights())
    return both


@pytest.mark.parametrize("options", [{}, {"use_bias": False}, {"activation": "softmax"}])
@pytest.mark.parametrize("shape", [(6,), (4, 6), (5, 4, 6), (None, 4, 6), (None, None, 6)])
def test_values_equal_keras(shape, options):
    ours, theirs = models(shape, **options)
    x = MAPS[(slice(None), *[0] * (3 - len(shape)))]
    assert ours.output_shape == theirs.output_shape
    first, second = (keras.ops.convert_to_numpy(model(x)) for model in (ours, theirs))
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


@pytest.mark.tensorflow
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_gradients_equal_keras(policy):
    import tensorflow as tf

    gradients = []
    for model in models((5, 4, 6), activation="gelu", dtype=policy):
        with tf.GradientTape() as tape:
            y = model(MAPS, training=True)
            loss = tf.reduce_sum(tf.cast(y, "float32") ** 2)
        assert y.dtype == keras.DTypePolicy(policy).compute_dtype
        gradients.append(tape.gradient(loss, model.trainable_variables))
    for first, second in zip(*gradients, strict=True):
        np.testing.assert_allclose(first, second, rtol=0.02 if policy != "float32" else 1e-5)


@pytest.mark.tensorflow
def test_product_bias_and_activation_are_one_operation():
    """TensorFlow joins them where nothing stands between them."""
    import tensorflow as tf

    orders = []
    for model in models((5, 4, 6), activation="relu"):
        graph = tf.function(model).get_concrete_function(tf.TensorSpec((2, 5, 4, 6))).graph
        types = [operation.type for operation in graph.get_operations()]
        last = len(types) - 1 - types[::-1].index("MatMul")
        orders.append(
            [kind for kind in types[last:] if kind in ("MatMul", "Reshape", "BiasAdd", "Relu")]
        )
    assert orders[0] == ["MatMul", "BiasAdd", "Relu", "Reshape"]
    assert orders[1] != orders[0]  # Keras's layer needs no other form if they are equal
