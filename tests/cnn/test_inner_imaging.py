"""Competitive inner-imaging SE: the gates compared with the authors' code in NumPy."""

import graphs
import keras
import numpy as np
import pytest

import kapps
from kapps.cnn import inner_imaging

CHANNELS, MAPS = 64, 4


def relu(x):
    return np.maximum(x, 0)


def image_of_pairs(u, s):
    return np.stack([u, s], axis=-1)  # (n, channels, 2)


def folded(u, s, columns):
    """The reshapes of the authors' code: (n, c, 2), (n, c / k, k, 2), (n, c / k, 2, k), (n, 2 c / k, k)."""
    x = image_of_pairs(u, s)
    x = x.reshape(len(x), -1, columns, 2).transpose(0, 1, 3, 2)
    return x.reshape(len(x), -1, columns)


def slide(image, kernel):
    """A valid convolution of an image (n, height, width) with a kernel (kh, kw, 1, maps)."""
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape[:2], axis=(1, 2))
    return np.einsum("nhwij,ijm->nhwm", windows, kernel[:, :, 0])


def expected_gate(name, u, s, weights, columns):
    """Returns the scores of a gate before the sigmoid."""
    if name == "se":
        reduce, expand = weights
        return relu(u @ reduce) @ expand
    if name == "double_fc":
        first, second, expand = weights
        return np.concatenate([relu(u @ first), relu(s @ second)], axis=-1) @ expand
    kernel, gamma, beta, mean, variance, reduce, expand = weights
    image = folded(u, s, columns) if name == "conv_3x3" else image_of_pairs(u, s)
    maps = (slide(image, kernel) - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    return relu(maps.mean(axis=-1).reshape(len(u), -1) @ reduce) @ expand


@pytest.mark.parametrize("name", ["se", "double_fc", "conv_1x1", "conv_2x1", "conv_3x3"])
def test_formula(name, randomise):
    shape, columns = (3, 4, CHANNELS), 8
    branch, shortcut = keras.Input(shape), keras.Input(shape)
    gate = getattr(inner_imaging, name)
    y = gate(branch, shortcut, maps=MAPS, columns=columns, name="block")
    inputs = [branch] if name == "se" else [branch, shortcut]
    model = keras.Model(inputs, y)
    rng = np.random.default_rng(0)
    parts = ("conv", "conv_bn", "branch_reduce", "shortcut_reduce", "reduce", "expand")
    layers = [x for part in parts for x in model.layers if x.name == f"block_{part}"]
    for layer in layers:
        signs = rng.choice([-1, 1], layer.weights[0].shape) if "bn" not in layer.name else 1
        layer.set_weights([signs * rng.uniform(0.5, 1.5, w.shape) for w in layer.weights])
    weights = [w for layer in layers for w in layer.get_weights()]
    assert len(weights) == len(model.weights)
    u, s = (rng.normal(size=(2, *shape)).astype("float32") for _ in range(2))
    scores = expected_gate(name, u.mean(axis=(1, 2)), s.mean(axis=(1, 2)), weights, columns)
    output = keras.ops.convert_to_numpy(model(u if name == "se" else [u, s]))
    expected = u / (1 + np.exp(-scores))[:, None, None]
    np.testing.assert_allclose(output, expected, atol=1e-4)


@pytest.mark.long
def test_parameters_with_the_se_block():
    """Numbers of the authors' code, with the projection that it lacks in ResNet-164."""
    for options, parameters in (({"n": 18}, 1_896_794), (inner_imaging.WRN, 36_748_026)):
        model = graphs.build(kapps.families.inner_imaging, gate=inner_imaging.se, **options)
        assert sum(np.prod(v.shape) for v in model.trainable_variables) == parameters


def test_images_of_the_folded_gate():
    """16 columns in a ResNet, 16 rows of each map in a wide ResNet."""
    for options, height, width in (
        ({"filters": 32}, 2 * 8, 16),
        ({"filters": 48, "unit": inner_imaging.basic_unit}, 2 * 16, 3),
    ):
        model = graphs.build(
            kapps.families.inner_imaging, n=1, gate=inner_imaging.conv_3x3, **options
        )
        assert model.get_layer("level0_block1_image").output.shape[1:] == (height, width, 1)


def test_first_block_projects_and_the_input_is_normalised():
    model = graphs.build(kapps.families.inner_imaging, n=1, gate=inner_imaging.se)
    assert model.get_layer("level0_block1_shortcut").kernel.shape == (1, 1, 16, 64)
    assert not model.get_layer("stem_norm").trainable_variables


def test_channels_that_16_does_not_divide_raise():
    with pytest.raises(ValueError, match="filters=24 is not a multiple of 16"):
        kapps.families.inner_imaging(n=1, gate=inner_imaging.se, filters=24)
