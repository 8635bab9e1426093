"""AlexNet, CaffeNet and the one-tower networks: map sizes, towers, and the order of layers."""

import keras
import numpy as np
import pytest

import kapps

# Rows of the map after each convolution: Krizhevsky 2012 Figure 2, arXiv:1404.5997 and torchvision, the lectures.
MAPS = {
    "alexnet": (55, 27, 13, 13, 13),
    "caffenet": (55, 27, 13, 13, 13),
    "alexnet_owt": (55, 27, 13, 13, 13),
    "alexnet_single": (54, 26, 12, 12, 12),
}
LAST = {"alexnet_single": 5}


def body(name, size=224):
    return getattr(kapps, name)(include_top=False, input_shape=(size, size, 3))


def convolutions(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


@pytest.mark.parametrize("name", MAPS)
def test_map_sizes(name):
    model = body(name)
    assert tuple(layer.output.shape[1] for layer in convolutions(model)) == MAPS[name]
    assert model.output.shape[1] == LAST.get(name, 6)


@pytest.mark.parametrize("name, groups", [("alexnet", 2), ("caffenet", 2), ("alexnet_ungrouped", 1)])  # fmt: skip
def test_groups_of_the_convolutions(name, groups):
    layer_groups = [layer.groups for layer in convolutions(body(name))]
    assert layer_groups == [1, groups, 1, groups, groups]


def order(name):
    """Returns the kinds of the layers up to the second convolution, without padding."""
    layers = [x for x in body(name).layers if not x.name.endswith("_pad")]
    kinds = [type(x).__name__ for x in layers if not isinstance(x, keras.layers.Identity)]
    return kinds[1 : kinds.index("Conv2D", 2)]


def test_caffenet_normalises_after_pooling():
    norm = "LocalResponseNormalization"
    assert order("alexnet") == ["Conv2D", norm, "MaxPooling2D"]
    assert order("caffenet") == ["Conv2D", "MaxPooling2D", norm]
    assert order("alexnet_owt") == order("alexnet_single") == ["Conv2D", "MaxPooling2D"]


@pytest.mark.parametrize("name, k, alpha", [("alexnet", 2.0, 1e-4), ("caffenet", 1.0, 2e-5)])
def test_normalisation_constants(name, k, alpha):
    norms = [layer for layer in body(name).layers if layer.name.endswith("_norm")]
    assert [(norm.k, norm.size, norm.alpha, norm.beta) for norm in norms] == 2 * [(k, 5, alpha, 0.75)]  # fmt: skip


def test_output_for_224_pixels_is_that_for_227_padded_pixels(digits):
    """With 224 pixels, three rows of zeros take the place of the last three."""
    small, large = body("alexnet"), body("alexnet", size=227)
    large.set_weights(small.get_weights())
    images = digits(224)[0][:1]
    padded = np.pad(images, ((0, 0), (0, 3), (0, 3), (0, 0)))
    output, expected = (
        keras.ops.convert_to_numpy(model(x)) for model, x in ((small, images), (large, padded))
    )
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


def test_poolings_overlap():
    pools = [layer for layer in body("alexnet").layers if isinstance(layer, keras.layers.MaxPooling2D)]  # fmt: skip
    assert {(layer.pool_size, layer.strides) for layer in pools} == {((3, 3), (2, 2))}
    assert len(pools) == 3
