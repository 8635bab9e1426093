"""EfficientNet: Table 1 of its paper, the compound scaling, and the same weights in Keras Applications."""

import keras
import numpy as np
import pytest

import kapps
from kapps.cnn import efficientnet as module


@pytest.fixture(scope="module")
def model():
    return kapps.efficientnet_b0()


def test_stages_of_table_1(model):
    stages = [
        (x.output.shape[1], x.output.shape[3]) for x in model.layers if x.name.endswith("_project")
    ]
    expected = [(112, 16)] + 2 * [(56, 24)] + 2 * [(28, 40)] + 3 * [(14, 80)] + 3 * [(14, 112)]
    assert stages == expected + 4 * [(7, 192)] + [(7, 320)]
    kernels = [x.kernel_size[0] for x in model.layers if x.name.endswith("_depthwise")]
    assert kernels == [3] + 2 * [3] + 2 * [5] + 3 * [3] + 3 * [5] + 4 * [5] + [3]
    assert model.get_layer("stem_conv").filters == 32
    assert model.get_layer("level5_conv").filters == 1280


def test_se_blocks_have_a_quarter_of_the_input_channels(model):
    squeezed = [x.filters for x in model.layers if x.name.endswith("_se_reduce")]
    entering = [32, 16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112] + 4 * [192]
    assert squeezed == [n // 4 for n in entering]


def test_coefficients_follow_the_compound_scaling_rule():
    """Equation 3 of arXiv:1905.11946: 1.2 ** phi for depth, 1.1 ** phi for width, 1.15 ** phi for the image's side."""
    for i, phi in enumerate((0, 0.5, 1, 2, 3, 4, 5, 6)):
        builder = getattr(kapps, f"efficientnet_b{i}").builder
        assert builder.row["depth_coefficient"] == pytest.approx(1.2**phi, rel=0.07)
        assert builder.row["width_coefficient"] == pytest.approx(1.1**phi, rel=0.13)
        assert builder.defaults["input_shape"][0] == pytest.approx(224 * 1.15**phi, rel=0.18)


def test_stochastic_depth_rises_linearly(model):
    rates = {x.name: x.rate for x in model.layers if x.name.endswith("_drop")}
    assert next(iter(rates)) == "level2_block2_drop"
    assert list(rates.values()) == sorted(rates.values())
    assert rates["level2_block2_drop"] == pytest.approx(0.2 * 2 / 16)
    assert rates["level5_block4_drop"] == pytest.approx(0.2 * 14 / 16)


def test_stochastic_depth_drops_branches_of_images():
    image = keras.Input((4, 4, 8))
    ends = module.mbconv(image, 8, 3, expansion=6, strides=1, drop_rate=0.5, name="block")
    model = keras.Model(image, ends)
    images = np.random.default_rng(0).normal(size=(64, 4, 4, 8)).astype("float32")
    added = keras.ops.convert_to_numpy(model(images, training=True)) - images
    untouched = (np.abs(added) < 1e-6).all(axis=(1, 2, 3))
    assert (
        16 < untouched.sum() < 48 and (np.abs(added[~untouched]) > 1e-6).any(axis=(1, 2, 3)).all()
    )


def test_image_sizes_and_crops():
    """The image sizes are those of the authors' code; larger images have larger crops."""
    steps = [kapps.card(f"efficientnet_b{i}").preprocessing for i in range(8)]
    sizes = [224, 240, 260, 300, 380, 456, 528, 600]
    assert [step.size for step in steps] == [(size, size) for size in sizes]
    assert {step.interpolation for step in steps} == {"bicubic"}
    assert [step.crop for step in steps] == sorted(step.crop for step in steps)
    assert kapps.card("efficientnet_b5").input_shape == (456, 456, 3)


def test_dropout_of_the_head():
    for i, dropout in ((0, 0.2), (7, 0.5)):
        head = getattr(kapps, f"efficientnet_b{i}").builder.heads["head"]
        assert head.keywords == {"dropout": dropout}


@pytest.mark.parametrize("size", [75, pytest.param(64, marks=pytest.mark.long)])
@pytest.mark.long
def test_logits_equal_keras_applications(size, randomise):
    """The network of Keras Applications includes preprocessing; without weights it is a factor of 1 / 255."""
    shape = (size, size, 3)
    ours = randomise(kapps.efficientnet_b0(input_shape=shape, classifier_activation=None))
    theirs = keras.applications.EfficientNetB0(
        weights=None, input_shape=shape, classifier_activation=None
    )
    statistics = theirs.layers[2].get_weights()  # of its normalisation layer
    theirs.set_weights([*statistics, *ours.get_weights()])
    images = np.random.default_rng(0).uniform(-500, 500, (2, *shape)).astype("float32")
    expected = keras.ops.convert_to_numpy(theirs(images, training=False))
    output = keras.ops.convert_to_numpy(ours(images / 255, training=False))
    largest = np.abs(expected).max()
    assert np.abs(expected[0] - expected[1]).max() > 0.01 * largest
    np.testing.assert_allclose(output, expected, atol=1e-4 * largest)
