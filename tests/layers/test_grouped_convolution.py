"""The grouped convolution compared with `keras.layers.Conv2D`."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from kapps.layers import GroupedConv2D, grouped_convolution, to_keras_layers

# channels, groups, and other arguments; 12 channels in 3 groups make uneven blocks.
CASES = [
    (8, 2, {"filters": 4, "kernel_size": 3, "padding": "same"}),
    (8, 2, {"filters": 8, "kernel_size": 3, "strides": 2, "padding": "same", "use_bias": False}),
    (12, 3, {"filters": 6, "kernel_size": 3, "strides": 2, "padding": "valid"}),
    (12, 4, {"filters": 8, "kernel_size": (1, 3), "dilation_rate": 2, "padding": "same"}),
    (64, 32, {"filters": 64, "kernel_size": 3, "dilation_rate": (2, 1), "padding": "valid"}),
    (128, 32, {"filters": 128, "kernel_size": 3, "padding": "same"}),
    (6, 6, {"filters": 12, "kernel_size": 3, "padding": "same", "activation": "relu"}),
]


@pytest.fixture(params=["direct path", "block-diagonal path"])
def path(request, monkeypatch):
    """Both implementations of the gradient: with and without a gradient in TensorFlow."""
    if request.param == "block-diagonal path":
        monkeypatch.setattr(grouped_convolution, "_cpu_has_gradient", lambda dtype: False)


def pair(channels, groups, options):
    """Returns a grouped convolution, and the layer of Keras with the same weights."""
    ours = GroupedConv2D(groups=groups, bias_initializer="uniform", **options)
    theirs = keras.layers.Conv2D(groups=groups, bias_initializer="uniform", **options)
    for layer in (ours, theirs):
        layer.build((None, 9, 8, channels))
    theirs.set_weights(ours.get_weights())
    return ours, theirs


def images(channels):
    """Returns two images with an even and an odd side."""
    return np.random.default_rng(0).normal(size=(2, 9, 8, channels)).astype("float32")


def values_and_gradients(layer, x, **options):
    """Returns, as NumPy, the layer's output and the gradients of a weighted sum of its squares."""
    import tensorflow as tf

    @tf.function(**options)
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            weight = tf.cast(tf.reshape(tf.range(tf.size(y)) % 7, tf.shape(y)), y.dtype)
            loss = tf.reduce_sum(tf.cast(weight * y * y, "float32"))
        return [y, *tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])]

    return [np.asarray(value, "float32") for value in step(tf.constant(x))]


def close(ours, theirs, within):
    """Asserts that each array equals its counterpart to `within` of the largest value."""
    assert len(ours) == len(theirs) > 1
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape and np.abs(b).max() > 0
        assert np.abs(a - b).max() <= within * np.abs(b).max()


@pytest.mark.tensorflow
@pytest.mark.parametrize("channels, groups, options", CASES)
def test_values_and_gradients_equal_keras(channels, groups, options, path):
    ours, theirs = pair(channels, groups, options)
    x = images(channels)
    close(values_and_gradients(ours, x), values_and_gradients(theirs, x), within=1e-5)


@pytest.mark.long
@pytest.mark.tensorflow
def test_values_and_gradients_with_and_without_onednn(request):
    """TensorFlow reads the variable at import, so the cases run again in a new process."""
    other = "0" if grouped_convolution._cpu_has_gradient("float32") else "1"
    environment = {"TF_ENABLE_ONEDNN_OPTS": other, "KAPPS_TEST_ONEDNN": other}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", __file__, "-q", "-p", "no:cacheprovider"),
            *("-k", "equal_keras and direct or has_gradients"),
        ],
        env={**os.environ, **environment},
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(CASES) + 1} passed" in done.stdout


@pytest.mark.tensorflow
def test_cpu_has_gradients_if_onednn_is_on():
    setting = os.environ.get("KAPPS_TEST_ONEDNN")
    assert setting is None or grouped_convolution._cpu_has_gradient("float32") == (setting == "1")


@pytest.mark.tensorflow
def test_compiled_by_xla(path):
    ours, theirs = pair(*CASES[5])
    x = images(128)
    close(
        values_and_gradients(ours, x, jit_compile=True),
        values_and_gradients(theirs, x),
        within=1e-5,
    )


@pytest.mark.tensorflow
@pytest.mark.parametrize("precision, within", [("mixed_float16", 4e-3), ("mixed_bfloat16", 3e-2)])
def test_half_precision(precision, within):
    channels, groups, options = CASES[0]
    half, _ = pair(channels, groups, {**options, "dtype": precision})
    full, _ = pair(channels, groups, options)
    full.set_weights(half.get_weights())
    x = images(channels)
    y, *gradients = values_and_gradients(half, x)
    assert half(x).dtype == keras.DTypePolicy(precision).compute_dtype
    close([y, *gradients], values_and_gradients(full, x), within)


@pytest.mark.tensorflow
def test_training_on_a_cpu_does_not_use_xla():
    import tensorflow as tf

    model = chain(GroupedConv2D)
    model.compile("sgd", "mse")
    assert model.jit_compile == bool(tf.config.list_physical_devices("GPU"))


@pytest.mark.tensorflow
def test_training_with_unknown_height_and_width():
    layer, _ = pair(*CASES[5])
    image = keras.Input((None, None, 128))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(layer(image)))
    model.compile("sgd", "mse")
    before = layer.get_weights()[0]
    for size in (5, 8):
        x = np.ones((2, size, size, 128), "float32")
        assert np.isfinite(model.train_on_batch(x, np.ones((2, 128))))
    assert not np.allclose(layer.get_weights()[0], before)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("channels, groups, options", CASES[:4])
def test_shapes_and_weights_equal_keras(channels, groups, options, data_format):
    shape = (None, 9, 8, channels) if data_format == "channels_last" else (None, channels, 9, 8)
    options = {**options, "groups": groups, "data_format": data_format}
    ours, theirs = GroupedConv2D(**options), keras.layers.Conv2D(**options)
    assert ours.compute_output_shape(shape) == theirs.compute_output_shape(shape)
    for layer in (ours, theirs):
        layer.build(shape)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]


def chain(layer_class):
    """Returns a small model with a grouped convolution of a class between two other convolutions."""
    image = keras.Input((8, 8, 4), name="image")
    x = keras.layers.Conv2D(8, 1, name="first")(image)
    x = layer_class(8, 3, groups=2, name="grouped")(x)
    return keras.Model(image, keras.layers.Conv2D(2, 1, name="last")(x))


def test_to_keras_layers_of_an_unbuilt_model_raises():
    with pytest.raises(ValueError, match="not built"):
        to_keras_layers(keras.Sequential([keras.layers.Conv2D(2, 3)], name="unbuilt"))
