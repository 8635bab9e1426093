"""The self-attention GAN: parameters by the shapes of the authors' code, names, sizes, special cases, files, errors."""

import csv
import math

import graphs
import keras
import models
import numpy as np
import pytest

import kapps
from kapps.generative import sagan_discriminator, sagan_generator

RANDOM = np.random.default_rng(0)
with open(models.REFERENCE / "generative.csv", newline="", encoding="utf-8") as file:
    REFERENCE = {row["name"]: int(row["params"]) for row in csv.DictReader(file)}
SMALL = {"image_shape": (16, 16, 1), "classes": 3, "filters": 2, "attention": 8}


def array(x):
    return keras.ops.convert_to_numpy(x)


def parameters(model):
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def attention_parameters(channels):
    """Four 1x1 convolutions without biases: keys and queries C/8, values C/2, back to C; one number."""
    return channels * (channels // 8) * 2 + channels * (channels // 2) * 2 + 1


def conv(size, before, after):
    return size * size * before * after + after


def generator_parameters(blocks, filters, noise, classes, channels, attention):
    """Counts as generator.py of the authors' code adds its variables. `attention`: the number of a block, or None."""
    width = filters * 2 ** (blocks - 1)
    total = noise * 16 * width + 16 * width
    for block in range(1, blocks + 1):
        after = filters * 2 ** (blocks - block)
        total += 2 * classes * (width + after)  # gamma and beta of the two norms
        total += conv(3, width, after) + conv(3, after, after) + conv(1, width, after)
        width = after
        total += attention_parameters(width) if block == attention else 0
    return total + 2 * width + conv(3, width, channels)


def discriminator_parameters(blocks, filters, classes, channels, attention):
    """Counts as discriminator.py does; the last block keeps the size and its shortcut has no convolution."""
    total, before = 0, channels
    for block in range(1, blocks + 1):
        after = filters * 2 ** (block - 1)
        total += conv(3, before, after) + conv(3, after, after) + conv(1, before, after)
        total += attention_parameters(after) if block == attention else 0
        before = after
    return total + 2 * conv(3, before, before) + before + 1 + classes * before


COUNTS = [
    # options, generator, discriminator, the published generator's block and discriminator's block with attention
    (
        {},
        REFERENCE["sagan_generator"],
        REFERENCE["sagan_discriminator"],
        (5, 64, 128, 1000, 3, 3),
        (5, 64, 1000, 3, 2),
    ),
    ({"attention": None}, None, None, (5, 64, 128, 1000, 3, None), (5, 64, 1000, 3, None)),
    ({"attention": 64}, None, None, (5, 64, 128, 1000, 3, 4), (5, 64, 1000, 3, 1)),
    (
        {"image_shape": (32, 32, 1), "classes": 10, "filters": 16, "attention": 16},
        None,
        None,
        (3, 16, 128, 10, 1, 2),
        (3, 16, 10, 1, 1),
    ),
]


@pytest.mark.parametrize(
    "options, generator, discriminator, of_generator, of_discriminator", COUNTS
)
def test_parameters(options, generator, discriminator, of_generator, of_discriminator):
    models = [graphs.build(build, **options) for build in (sagan_generator, sagan_discriminator)]
    counts = [parameters(model) for model in models]
    assert counts == [
        generator_parameters(*of_generator),
        discriminator_parameters(*of_discriminator),
    ]
    if generator is not None:  # of the published sizes
        assert counts == [generator, discriminator]
        without = [
            v for v in models[0].trainable_variables if v.path.split("/")[0][-7:] != "_affine"
        ]
        assert sum(math.prod(v.shape) for v in without) == 32_222_852


def test_attention_blocks_have_the_published_parameters():
    for build, level, count in ((sagan_generator, 2, 81_921), (sagan_discriminator, 2, 20_481)):
        model = graphs.build(build)
        block = [
            v for v in model.trainable_variables if v.path.startswith(f"level{level}_attention")
        ]
        assert sum(math.prod(v.shape) for v in block) == count
        assert model.get_layer(f"level{level}_attention_add").output.shape[1:3] == (32, 32)


def test_sizes_and_names():
    generator, discriminator = graphs.build(sagan_generator), graphs.build(sagan_discriminator)
    assert [x.name for x in generator.inputs] == ["noise", "label"]
    assert [x.name for x in discriminator.inputs] == ["image", "label"]
    sides = [generator.get_layer(f"level{level}_add").output.shape[1:] for level in (4, 3, 2, 1, 0)]
    assert sides == [(8, 8, 1024), (16, 16, 512), (32, 32, 256), (64, 64, 128), (128, 128, 64)]
    maps = [discriminator.get_layer(f"level{n}_block1_add").output.shape[1:] for n in range(1, 6)]
    assert maps == [(64, 64, 64), (32, 32, 128), (16, 16, 256), (8, 8, 512), (4, 4, 1024)]
    assert discriminator.get_layer("level5_block2_add").output.shape[1:] == (4, 4, 1024)
    assert generator.output.shape[1:] == (128, 128, 3) and discriminator.output.shape[1:] == (1,)
    for model in (generator, discriminator):
        assert model.output.dtype == "float32"
        kinds = {type(x) for x in model.layers if x.weights}
        assert keras.layers.Conv2D not in kinds and keras.layers.Dense not in kinds


@pytest.fixture(scope="module")
def networks():
    """A generator and a discriminator, and their initial weights."""
    models = sagan_generator(noise=4, **SMALL), sagan_discriminator(**SMALL)
    return models, [model.get_weights() for model in models]


@pytest.fixture
def small(networks):
    """The two networks with their initial weights, noise and labels."""
    for model, weights in zip(*networks, strict=True):
        model.set_weights(weights)
    z = np.random.default_rng(1).normal(size=(5, 4)).astype("float32")
    return *networks[0], z, np.array([0, 2, 1, 2, 0], "int32")


@pytest.mark.long
def test_without_training_the_attention_adds_nothing(small):
    """gamma is 0 at first, so that a network has the outputs of one without attention and its weights."""
    generator, discriminator, z, label = small
    plain = {**SMALL, "attention": None}
    image = array(generator([z, label]))
    for model, other, inputs in (
        (generator, sagan_generator(noise=4, **plain), [z, label]),
        (discriminator, sagan_discriminator(**plain), [image, label]),
    ):
        for layer in other.layers:
            layer.set_weights(model.get_layer(layer.name).get_weights())
        np.testing.assert_allclose(array(model(inputs)), array(other(inputs)), rtol=1e-4, atol=1e-5)
        gamma = next(x for x in model.layers if x.name.endswith("_gamma"))
        gamma.set_weights([np.float32(1)])
        assert np.abs(array(model(inputs)) - array(other(inputs))).max() > 1e-5


def test_the_score_is_the_sum_of_one_of_the_image_and_one_of_its_class(small):
    """The difference between two classes is linear in the summed features: it has no constant [3, equation 6]."""
    _, model, *_ = small
    image = RANDOM.uniform(-1, 1, (2, 16, 16, 1)).astype("float32")
    h = array(
        keras.Model(model.input, model.get_layer("head_dense").input)([image, np.zeros(2, "int32")])
    )
    vectors = array(model.get_layer("head_class").normalise()[0])
    scores = [array(model([image, np.full(2, label, "int32")]))[:, 0] for label in range(3)]
    for label in (1, 2):
        expected = h @ (vectors[label] - vectors[0])
        np.testing.assert_allclose(scores[label] - scores[0], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.long
def test_files_and_keras_layers(small, tmp_path):
    generator, discriminator, z, label = small
    for _ in range(2):  # moving statistics and power iterations
        generator([z, label], training=True)
    image = array(generator([z, label]))
    assert image.shape == (5, 16, 16, 1) and np.abs(image).max() <= 1
    for model, inputs in ((generator, [z, label]), (discriminator, [image, label])):
        expected = array(model(inputs))
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
        np.testing.assert_array_equal(array(loaded(inputs)), expected)
        plain = kapps.to_keras_layers(model)
        np.testing.assert_allclose(array(plain(inputs)), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.long
@pytest.mark.tensorflow
def test_an_exported_generator_has_plain_kernels_and_no_norm_after_a_convolution(small):
    """The norms that follow a convolution are folded into it: the second one of each block."""
    from kapps.export.fold import fold
    from kapps.export.inference_model import inference_model

    generator, _, z, label = small
    generator([z, label], training=True)
    expected = array(generator([z, label]))
    model = inference_model(generator)
    inner = next(x for x in model.layers if isinstance(x, keras.Model))
    assert not any(isinstance(x, kapps.layers.SpectralNorm) for x in inner.layers)
    names = {x.name for x in inner.layers if isinstance(x, keras.layers.BatchNormalization)}
    assert names == {"level1_norm1_bn", "level0_norm1_bn", "head_bn"}
    outputs = array(model({"noise": z, "label": label})["logits"])
    np.testing.assert_allclose(outputs, expected, rtol=1e-3, atol=1e-4)
    copy, reasons = fold(generator)
    assert "level0_norm2_bn" in reasons
    np.testing.assert_allclose(array(copy([z, label])), expected, rtol=1e-3, atol=1e-4)


def test_values_that_are_not_allowed_raise_one_line():
    cases = [
        (sagan_generator, {"image_shape": (32, 16, 1)}, "image_shape"),
        (sagan_generator, {"image_shape": (48, 48, 1)}, "image_shape"),
        (sagan_generator, {"image_shape": (4, 4, 1)}, "image_shape"),
        (sagan_generator, {"image_shape": (64, 64, 0)}, "image_shape"),
        (sagan_generator, {"attention": 20}, "attention=20"),
        (sagan_generator, {"classes": 0}, "classes"),
        (sagan_generator, {"filters": 0}, "filters"),
        (sagan_discriminator, {"image_shape": (32, 32, 1), "attention": 32}, "attention=32"),
        (sagan_discriminator, {"attention": "yes"}, "attention"),
    ]
    for function, options, words in cases:
        with pytest.raises(ValueError) as caught:
            function(**options)
        assert words in str(caught.value) and "\n" not in str(caught.value), options
