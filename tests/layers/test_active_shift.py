"""ActiveShift compared with SciPy's shift, and its gradients with differences."""

import keras
import numpy as np
import pytest
from layer_gradients import gradients
from scipy import ndimage

import kapps
from kapps.layers import ActiveShift, Shift, to_keras_layers
from kapps.layers.shift import shift_offsets

RANDOM = np.random.default_rng(0)
DISPLACEMENTS = np.array(
    [(0.3, -0.7), (-1.6, 1.2), (0, 0), (1, -2), (-2, 2), (1.9, -1.1), (2.7, -2.5)]
)


def maps(channels=7, size=(7, 9)):
    return np.random.default_rng(0).normal(size=(2, *size, channels)).astype("float32")


def network(displacements, size=(7, 9), **options):
    """Returns a model of one active shift with these displacements."""
    image = keras.Input((*size, len(displacements)))
    model = keras.Model(image, ActiveShift(**options, name="shift")(image))
    model.get_layer("shift").displacement.assign(displacements)
    return model


def sampled(x, displacements):
    """Returns the bilinear interpolation of SciPy, which has zeros outside."""
    move = {"order": 1, "mode": "grid-constant", "cval": 0.0}
    parts = [
        ndimage.shift(x[..., c].astype("float64"), (0, -y, -x_), **move)
        for c, (y, x_) in enumerate(displacements)
    ]
    return np.stack(parts, axis=-1)


@pytest.mark.parametrize("strides", [1, 2])
def test_samples_displaced_pixels(strides, tmp_path):
    x = maps()
    model = network(DISPLACEMENTS, strides=strides, limit=3)
    expected = sampled(x, DISPLACEMENTS)[:, ::strides, ::strides]
    assert model.output.shape[1:] == expected.shape[1:]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for copy in (model, loaded, to_keras_layers(model)):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(copy(x)), expected, rtol=1e-5, atol=1e-5
        )
    assert loaded.get_layer("shift").get_config() == model.get_layer("shift").get_config()
    row = kapps.profile(model).row("shift")
    size = expected[0].size
    assert (row.parameters, row.macs) == (2 * 7, 0)
    assert (row.elementwise, row.additions) == (4 * size, 3 * size)
    assert row.receptive_field[0].size == 7 and row.receptive_field[0].stride == strides


def test_integers_are_a_shift():
    x = maps(18)
    y = network(shift_offsets(18), limit=1)(x)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(y), keras.ops.convert_to_numpy(Shift()(x))
    )


@pytest.mark.parametrize("strides", [1, 2])
def test_gradients_are_differences(strides):
    """On the right of integers too. The output is linear in the map and, between integers, in a displacement."""
    x = maps(6)
    model = network(DISPLACEMENTS[:6], strides=strides, limit=3)
    upstream = RANDOM.normal(size=model(x).shape).astype("float32")
    layer = model.get_layer("shift")
    of_map, of_weights = gradients(layer, x, upstream)
    step, direction = 0.05, RANDOM.normal(size=x.shape)

    def total(x, displacements):
        return (sampled(x, displacements)[:, ::strides, ::strides] * upstream).sum()

    difference = total(x + direction, DISPLACEMENTS[:6]) - total(x, DISPLACEMENTS[:6])
    np.testing.assert_allclose((of_map * direction).sum(), difference, rtol=1e-4)
    for channel in range(6):
        for axis in (0, 1):
            moved = DISPLACEMENTS[:6].copy()
            moved[channel, axis] += step
            expected = (total(x, moved) - total(x, DISPLACEMENTS[:6])) / step
            assert of_weights["displacement"][channel, axis] == pytest.approx(expected, abs=2e-3)


def test_gradients_of_one_length():
    x = maps(5)
    upstream = RANDOM.normal(size=(2, 7, 9, 5)).astype("float32")
    upstream[..., 2] = 0
    plain, scaled = (
        gradients(
            network(DISPLACEMENTS[:5], limit=3, gradient_length=length).layers[-1], x, upstream
        )
        for length in (None, 0.25)
    )
    model = network(DISPLACEMENTS[:5], limit=3, gradient_length=0.25)
    expected = sampled(x, DISPLACEMENTS[:5])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x)), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scaled[0], plain[0], atol=1e-4)
    plain, scaled = plain[1]["displacement"], scaled[1]["displacement"]
    norms = np.linalg.norm(plain, axis=-1, keepdims=True)
    expected = 0.25 * plain / np.where(norms > 0, norms, 1)
    np.testing.assert_allclose(scaled, expected, atol=1e-4)
    assert not scaled[2].any()


def test_displacements_stay_within_the_limit():
    x = maps(2)
    beyond, limited = network([(5, 0.5), (0.5, -5)]), network([(2, 0.5), (0.5, -2)])
    expected = keras.ops.convert_to_numpy(limited(x))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(beyond(x)), expected, atol=1e-6)
    model = keras.Sequential([beyond, keras.layers.GlobalAveragePooling2D()], name="pooled")
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.train_on_batch(x, np.ones((2, 2)))
    values = keras.ops.convert_to_numpy(beyond.layers[-1].displacement)
    assert np.abs(values).max() == 2


def test_displacements_are_float32_and_begin_within_one_pixel():
    layer = ActiveShift(dtype="mixed_bfloat16")
    y = layer(keras.ops.zeros((1, 4, 4, 1000)))
    values = keras.ops.convert_to_numpy(layer.displacement)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16" and values.dtype == np.float32
    assert np.abs(values).max() <= 1 and values.std() == pytest.approx(3**-0.5, rel=0.05)


def test_arguments_that_are_not_allowed_raise():
    for length in (0, -1.0, "a", True):
        with pytest.raises(ValueError, match="gradient_length"):
            ActiveShift(gradient_length=length)


@pytest.mark.tensorflow
@pytest.mark.parametrize("strides", [1, 2])
def test_exported_active_shift_is_one_depthwise_convolution(strides, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    from kapps import export

    image = keras.Input((8, 8, 6))
    y = ActiveShift(strides)(keras.layers.Conv2D(6, 1)(image))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(y))
    path = export.tflite(model, tmp_path / "shift.tflite")
    assert export.verify(model, path, maps(6, (8, 8))).largest_difference < 1e-5
    names = [operation["op_name"] for operation in Interpreter(str(path))._get_ops_details()]
    expected = {"CONV_2D", "DEPTHWISE_CONV_2D", "MEAN"} | ({"PAD"} if strides > 1 else set())
    assert {name for name in names if name != "DELEGATE"} == expected


@pytest.mark.tensorflow
@pytest.mark.long
def test_int8_file_has_constant_kernels(tmp_path):
    """A kernel that the file computes would be rounded to int8 on the way."""
    from kapps import export

    image = keras.Input((8, 8, 6))
    y = ActiveShift()(keras.layers.Conv2D(6, 1)(image))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(y))
    x = np.random.default_rng(0).normal(size=(100, 8, 8, 6)).astype("float32")
    path = export.tflite(model, tmp_path / "shift.tflite", precision="int8", calibration=x)
    largest = np.abs(keras.ops.convert_to_numpy(model(x))).max()
    assert export.verify(model, path, x).largest_difference < 0.1 * largest
