"""MobileNet V1: the layers of Table 1, and the costs of Tables 6 and 7."""

import pytest

import kapps

# Millions of multiply-adds and of parameters in Table 6 of arXiv:1704.04861.
PRINTED = {
    "mobilenet_v1": (569, 4.2),
    "mobilenet_v1_075": (325, 2.6),
    "mobilenet_v1_050": (149, 1.3),
    "mobilenet_v1_025": (41, 0.5),
}
# Table 7: millions of multiply-adds of smaller images.
RESOLUTIONS = {192: 418, 160: 290, 128: 186}


@pytest.mark.parametrize("name", PRINTED)
def test_costs_of_table_6(name, reference):
    macs, params = PRINTED[name]
    assert reference[name]["macs"] / 1e6 == pytest.approx(macs, abs=0.55)
    assert round(reference[name]["trainable"] / 1e6, 1) == params


@pytest.mark.parametrize("size", RESOLUTIONS)
def test_costs_of_smaller_images(size, figures):
    macs = figures(kapps.mobilenet_v1(input_shape=(size, size, 3)))["macs"]
    assert macs / 1e6 == pytest.approx(RESOLUTIONS[size], abs=0.8)


def test_layers_of_table_1():
    model = kapps.mobilenet_v1()
    pairs = [
        (layer.output.shape[1], layer.output.shape[3])
        for layer in model.layers
        if layer.name.endswith("_pointwise")
    ]
    sizes = [(112, 64)] + 2 * [(56, 128)] + 2 * [(28, 256)] + 6 * [(14, 512)]
    assert pairs == sizes + 2 * [(7, 1024)]


def test_strides_and_relu6():
    model = kapps.mobilenet_v1_025(input_shape=(32, 32, 3))
    strided = [layer.name for layer in model.layers if getattr(layer, "strides", None) == (2, 2)]
    assert strided == ["stem_conv"] + [f"level{n}_block1_depthwise" for n in (2, 3, 4, 5)]
    activations = [layer for layer in model.layers if layer.name.endswith("_relu6")]
    assert len(activations) == 27  # the stem and 13 pairs
    assert {layer.activation.__name__ for layer in activations} == {"relu6"}
