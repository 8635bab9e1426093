"""The grouped convolution against Keras's own, and the padding of `conv` against NumPy."""

import math
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from kapps.layers import GroupedConv2D, conv, to_keras_layers
from kapps.layers import convolution as module

# channels, groups, and what else the layer takes; 12 channels in 3 groups make uneven blocks.
CASES = [
    (8, 2, {"filters": 4, "kernel_size": 3, "padding": "same"}),
    (8, 2, {"filters": 8, "kernel_size": 3, "strides": 2, "padding": "same", "use_bias": False}),
    (12, 3, {"filters": 6, "kernel_size": 3, "strides": 2, "padding": "valid"}),
    (12, 4, {"filters": 8, "kernel_size": (1, 3), "dilation_rate": 2, "padding": "same"}),
    (64, 32, {"filters": 64, "kernel_size": 3, "dilation_rate": (2, 1), "padding": "valid"}),
    (128, 32, {"filters": 128, "kernel_size": 3, "padding": "same"}),
    (6, 6, {"filters": 12, "kernel_size": 3, "padding": "same", "activation": "relu"}),
]


@pytest.fixture(params=["own path", "block-diagonal path"])
def path(request, monkeypatch):
    """Both ways to the gradient: as this TensorFlow has it, and as one that has none."""
    if request.param == "block-diagonal path":
        monkeypatch.setattr(module, "_cpu_has_gradient", lambda dtype: False)


def pair(channels, groups, options):
    """Returns our layer, and Keras's with the same weights."""
    ours = GroupedConv2D(groups=groups, bias_initializer="uniform", **options)
    theirs = keras.layers.Conv2D(groups=groups, bias_initializer="uniform", **options)
    for layer in (ours, theirs):
        layer.build((None, 9, 8, channels))
    theirs.set_weights(ours.get_weights())
    return ours, theirs


def images(channels):
    """Returns two images of even and odd sides."""
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
def test_values_and_gradients_are_keras(channels, groups, options, path):
    ours, theirs = pair(channels, groups, options)
    x = images(channels)
    close(values_and_gradients(ours, x), values_and_gradients(theirs, x), within=1e-5)


@pytest.mark.tensorflow
def test_values_and_gradients_with_onednn_the_other_way(request):
    """TensorFlow reads the variable when it loads, so the cases run again in a new process."""
    other = "0" if module._cpu_has_gradient("float32") else "1"
    environment = {"TF_ENABLE_ONEDNN_OPTS": other, "KAPPS_TEST_ONEDNN": other}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", __file__, "-q", "-p", "no:cacheprovider"),
            *("-k", "are_keras and own or has_gradients"),
        ],
        env={**os.environ, **environment},
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(CASES) + 1} passed" in done.stdout


@pytest.mark.tensorflow
def test_the_cpu_has_gradients_if_onednn_is_on():
    setting = os.environ.get("KAPPS_TEST_ONEDNN")
    assert setting is None or module._cpu_has_gradient("float32") == (setting == "1")


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
def test_training_is_not_put_through_xla_on_a_cpu():
    import tensorflow as tf

    model = chain(GroupedConv2D)
    model.compile("sgd", "mse")
    assert model.jit_compile == bool(tf.config.list_physical_devices("GPU"))


@pytest.mark.tensorflow
def test_a_map_of_unknown_size_trains():
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
def test_shapes_and_weights_are_keras(channels, groups, options, data_format):
    shape = (None, 9, 8, channels) if data_format == "channels_last" else (None, channels, 9, 8)
    options = {**options, "groups": groups, "data_format": data_format}
    ours, theirs = GroupedConv2D(**options), keras.layers.Conv2D(**options)
    assert ours.compute_output_shape(shape) == theirs.compute_output_shape(shape)
    for layer in (ours, theirs):
        layer.build(shape)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]


def chain(kind):
    """Returns a small model with a grouped convolution of that kind between plain ones."""
    image = keras.Input((8, 8, 4), name="image")
    x = keras.layers.Conv2D(8, 1, name="first")(image)
    x = kind(8, 3, groups=2, name="grouped")(x)
    return keras.Model(image, keras.layers.Conv2D(2, 1, name="last")(x))


@pytest.mark.parametrize("source, target", [(0, 1), (1, 0)])
def test_weights_files_interchange_with_keras(source, target, tmp_path):
    models = [chain(GroupedConv2D), chain(keras.layers.Conv2D)]
    models[source].save_weights(tmp_path / "net.weights.h5")
    models[target].load_weights(tmp_path / "net.weights.h5")
    x = images(4)[:, :8]
    first, second = (keras.ops.convert_to_numpy(model(x)) for model in models)
    close([first, first], [second, second], within=1e-5)


def test_loads_from_its_configuration_in_safe_mode(tmp_path):
    model = chain(GroupedConv2D)
    model.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras", safe_mode=True)
    assert isinstance(loaded.get_layer("grouped"), GroupedConv2D)
    assert not isinstance(loaded.get_layer("last"), GroupedConv2D)
    x = images(4)[:, :8]
    np.testing.assert_array_equal(
        *(keras.ops.convert_to_numpy(each(x)) for each in (model, loaded))
    )


def test_stock_keeps_names_weights_and_values():
    model = chain(GroupedConv2D)
    twin = to_keras_layers(model)
    assert not any(isinstance(layer, GroupedConv2D) for layer in twin.layers)
    assert [layer.name for layer in twin.layers] == [layer.name for layer in model.layers]
    x = images(4)[:, :8]
    ours, theirs = (keras.ops.convert_to_numpy(each(x)) for each in (model, twin))
    close([ours, ours], [theirs, theirs], within=1e-5)
    twin.get_layer("grouped").kernel.assign(0 * twin.get_layer("grouped").kernel)
    assert np.abs(model.get_layer("grouped").get_weights()[0]).max() > 0  # a copy, not a view


def test_stock_of_an_unbuilt_model_is_refused():
    with pytest.raises(ValueError, match="not built"):
        to_keras_layers(keras.Sequential([keras.layers.Conv2D(2, 3)], name="unbuilt"))


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize(
    "kernel_size, strides, groups", [(3, 1, 1), (3, 2, 1), (7, 2, 1), (1, 2, 1), (3, 2, 2)]
)
def test_conv_pads_the_same_on_every_side(size, kernel_size, strides, groups):
    image = keras.Input((size, size, 4))
    y = conv(image, 6, kernel_size, strides=strides, groups=groups, use_bias=True, name="it")
    model = keras.Model(image, y)
    x = images(4)[:, :size, :8][:, :, :size]
    kernel, bias = model.get_weights()
    expected = convolve(x, kernel, strides, groups) + bias
    given = keras.ops.convert_to_numpy(model(x))
    close([given, given], [expected, expected], within=1e-5)


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("padding, sides", [(1, (1, 1)), ((0, 1), (0, 1)), (0, (0, 0))])
def test_conv_pads_what_it_is_given(size, padding, sides):
    """(0, strides - 1) is ceil mode: as many windows as begin inside the map."""
    image = keras.Input((size, size, 4))
    model = keras.Model(image, conv(image, 6, 3, strides=2, padding=padding, name="it"))
    x = images(4)[:, :size, :8][:, :, :size]
    expected = convolve(x, model.get_weights()[0], 2, 1, sides)
    assert sides != (0, 1) or expected.shape[1] == math.ceil((size - 3) / 2) + 1
    given = keras.ops.convert_to_numpy(model(x))
    close([given, given], [expected, expected], within=1e-5)


def convolve(x, kernel, strides, groups, sides=None):
    """A grouped convolution in NumPy, padded by half the kernel on every side, or by (before, after)."""
    side = kernel.shape[0]
    sides = sides or (side // 2, side // 2)
    x = np.pad(x, ((0, 0), sides, sides, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
    windows = windows[:, ::strides, ::strides]
    parts = zip(np.split(windows, groups, axis=3), np.split(kernel, groups, axis=3), strict=True)
    return np.concatenate([np.einsum("nijchw,hwcf->nijf", *part) for part in parts], axis=-1)
