"""VGG: the configurations of Table 1, and the parameters of Table 2."""

import graphs
import keras
import pytest

import kapps

# Millions of parameters in Table 2 of arXiv:1409.1556, and layers with weights in Table 1.
PRINTED = {
    "vgg11": (133, 11),
    "vgg11_lrn": (133, 11),
    "vgg13": (133, 13),
    "vgg16_1x1": (134, 16),
    "vgg16": (138, 16),
    "vgg19": (144, 19),
}
FIRST = (64, 128, 256, 256, 512, 512, 512, 512)  # column A


def body(name, size=32):
    return getattr(kapps, name)(include_top=False, input_shape=(size, size, 3))


def convolutions(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


@pytest.mark.parametrize("name", PRINTED)
@pytest.mark.long
def test_parameters_and_layers_of_the_paper(name, reference):
    millions, layers = PRINTED[name]
    assert round(reference[name]["trainable"] / 1e6) == millions
    assert len(convolutions(body(name))) + 3 == layers


def test_column_a():
    model = body("vgg11", size=224)
    assert tuple(layer.filters for layer in convolutions(model)) == FIRST
    sides = [layer.output.shape[1] for layer in convolutions(model)]
    assert sides == [224, 112, 56, 56, 28, 28, 14, 14] and model.output.shape[1:] == (7, 7, 512)


@pytest.mark.parametrize("name, third", [("vgg16_1x1", 1), ("vgg16", 3)])
def test_column_c_and_d_differ_in_the_third_convolutions(name, third):
    kernel_sizes = {layer.name: layer.kernel_size for layer in convolutions(body(name))}
    for layer, kernel in kernel_sizes.items():
        assert kernel == ((third, third) if layer.endswith("conv3") else (3, 3))
    assert sum(layer.endswith("conv3") for layer in kernel_sizes) == 3


def test_column_a_lrn():
    layers = [x for x in body("vgg11_lrn").layers if not isinstance(x, keras.layers.Identity)]
    kinds = [type(layer).__name__ for layer in layers]
    assert kinds.count("LocalResponseNormalization") == 1
    assert kinds[1:4] == ["Conv2D", "LocalResponseNormalization", "MaxPooling2D"]
    assert layers[2].get_config().items() >= {"k": 2.0, "size": 5, "alpha": 1e-4, "beta": 0.75}.items()  # fmt: skip


def test_batch_norms_are_between_convolution_and_relu():
    layers = body("vgg11_bn").layers
    for before, layer, after in zip(layers, layers[1:], layers[2:], strict=False):
        if isinstance(layer, keras.layers.BatchNormalization):
            assert before.use_bias and before.activation is keras.activations.linear
            assert after.activation is keras.activations.relu
    assert sum(isinstance(layer, keras.layers.BatchNormalization) for layer in layers) == 8


def test_dropout_follows_both_dense_layers():
    model = graphs.build(kapps.vgg11, input_shape=(32, 32, 3), classes=10)
    ending = [layer.name.removeprefix("head_") for layer in model.layers[-6:]]
    assert ending == ["dense1", "dropout1", "dense2", "dropout2", "logits", "predictions"]
    assert model.get_layer("head_dense1").kernel.shape == (7 * 7 * 512, 4096)
    assert {model.get_layer(f"head_dropout{i}").rate for i in (1, 2)} == {0.5}


def test_unknown_norm_raises():
    with pytest.raises(ValueError, match="layer"):
        kapps.families.vgg(depths=(1, 1, 1, 1, 1), norm="layer")
