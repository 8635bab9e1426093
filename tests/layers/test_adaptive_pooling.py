"""Adaptive average pooling has the windows of PyTorch's AdaptiveAvgPool2d, for smaller and larger maps."""

import keras
import numpy as np
import pytest

from kapps import heads
from kapps.layers import adaptive_average_pool


def windows(x, m, axis):
    """Returns the means of the windows from floor(i n / m) to ceil((i + 1) n / m) along an axis."""
    n = x.shape[axis]
    parts = [
        x.take(range(i * n // m, -(-(i + 1) * n // m)), axis).mean(axis, keepdims=True)
        for i in range(m)
    ]
    return np.concatenate(parts, axis)


@pytest.mark.parametrize("m", [6, 7])
def test_windows_are_those_of_pytorch(m):
    for n in range(1, 21):
        size = (n, n * 7 % 20 + 1)  # the other side is shorter or longer
        image = keras.Input((*size, 2))
        pooled = adaptive_average_pool(image, (m, m), name="grid")
        x = np.random.default_rng(n).normal(size=(2, *size, 2)).astype("float32")
        output = keras.ops.convert_to_numpy(keras.Model(image, pooled)(x))
        np.testing.assert_allclose(output, windows(windows(x, m, 1), m, 2), atol=1e-6)


def test_a_map_of_the_grids_size_has_no_layers():
    image = keras.Input((7, 7, 2))
    assert adaptive_average_pool(image, (7, 7), name="grid") is image
    model = keras.Model(image, heads.flatten(image, (7, 7)))
    assert [layer.name for layer in model.layers[1:]] == ["head_flatten"]


@pytest.mark.tensorflow
@pytest.mark.parametrize("size", [(3, 5), (9, 4)])
def test_tflite_computes_the_same(size):
    import tensorflow as tf

    image = keras.Input((*size, 2), batch_size=1)
    model = keras.Model(image, adaptive_average_pool(image, (7, 7), name="grid"))
    interpreter = tf.lite.Interpreter(
        model_content=tf.lite.TFLiteConverter.from_keras_model(model).convert()
    )
    interpreter.allocate_tensors()
    x = np.random.default_rng(0).normal(size=(1, *size, 2)).astype("float32")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(output, windows(windows(x, 7, 1), 7, 2), atol=1e-6)
