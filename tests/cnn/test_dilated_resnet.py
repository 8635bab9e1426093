"""Dilated ResNets: strides, dilations, weights of ResNets, and logits of the authors' code of DRN-A."""

import fingerprints
import graphs
import keras
import numpy as np
import pytest

import kapps
from kapps.cnn.resnet import basic_block
from kapps.weights import from_torch, to_torch
from kapps.weights.names import dilated_resnet, resnet

SMALL = {"depths": (1, 2, 2, 1), "block": basic_block, "input_shape": (64, 64, 3)}


def dilations(name):
    """Returns the dilation of the first 3x3 and of the last of each stage."""
    model = graphs.graph(name).model
    convolutions = [x for x in model.layers if getattr(x, "kernel_size", None) == (3, 3)]
    by_width = {}
    for layer in convolutions:
        by_width.setdefault(layer.filters, []).append(layer.dilation_rate[0])
    return [(values[0], values[-1]) for values in by_width.values()]


def test_dilations_of_each_stage():
    assert dilations("dilated_resnet50") == [(1, 1), (1, 1), (1, 2), (2, 4)]
    assert dilations("dilated_resnet50_os16") == [(1, 1), (1, 1), (1, 1), (1, 2)]
    assert dilations("drn_a_50") == [(1, 1), (1, 1), (1, 2), (1, 4)]


def test_receptive_field_is_that_of_the_resnet():
    dilated = graphs.graph("dilated_resnet50").profile.row("level3_block13_out")
    plain = graphs.graph("resnet50").profile.row("level5_block3_out")
    fields = [(field.size, field.stride) for field in dilated.receptive_field]
    assert fields == [(field.size, 8) for field in plain.receptive_field] == [(427, 8)] * 2


def test_weights_of_a_resnet_load_and_give_the_same_features(randomise):
    small = {**SMALL, "include_top": False}
    plain = randomise(kapps.families.resnet(**small))
    state = to_torch(plain, resnet.torchvision)
    x = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype("float32")
    expected = keras.ops.convert_to_numpy(plain(x))
    for stride in (8, 16):
        dilated = kapps.families.dilated_resnet(output_stride=stride, **small)
        from_torch(dilated, state, dilated_resnet.torchvision)
        y = keras.ops.convert_to_numpy(dilated(x))
        step = 32 // stride
        np.testing.assert_allclose(
            y[:, ::step, ::step], expected, atol=1e-4 * np.abs(expected).max()
        )


def test_options_that_are_not_allowed_raise():
    for option, value in (("output_stride", 12), ("first_dilation", "two")):
        with pytest.raises(ValueError, match=option) as caught:
            kapps.families.dilated_resnet(**SMALL, **{option: value})
        assert "\n" not in str(caught.value)


@pytest.mark.long
def test_logits_of_drn_a_equal_those_of_the_authors_code():
    output, count = fingerprints.logits(
        kapps.drn_a_50, dilated_resnet.torchvision, fingerprints.images(1, 224, 224), "fc", 1000
    )
    assert count == 267
    first = (-1134.56849, -1361.48364, 6672.95015, 3605.32323)
    fingerprints.assert_fingerprint(output, first, -5845.04339, 86353.6132)
