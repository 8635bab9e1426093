"""ShiftNet and ShiftResNet: what is concatenated and added, and the papers' figures."""

import graphs
import keras
import numpy as np
import pytest

import kapps
from kapps.cnn.shiftnet import csc, unit
from kapps.layers import Shift

# Parameters and multiply-accumulates that arXiv:1711.08141 prints.
PRINTED = {"shiftnet_a": (4.1e6, 1.4e9), "shiftnet_b": (1.1e6, 371e6), "shiftnet_c": (0.78e6, None)}


def test_costs_of_the_paper(reference):
    for name, (params, macs) in PRINTED.items():
        assert reference[name]["trainable"] == pytest.approx(params, rel=0.08)
        if macs:
            assert reference[name]["macs"] == pytest.approx(macs, rel=0.02)
    assert kapps.card("shift_resnet20_e3").params == 95_642  # printed by the authors' code


def test_a_unit_with_strides_concatenates_its_average():
    image = keras.Input((8, 8, 4))
    options = {"kernel_size": 3, "expansion": 2, "name": "level2_block1"}
    y = unit(image, 10, concatenate=True, strides=2, **options)
    model = keras.Model(image, y)
    x = np.ones((1, 8, 8, 4), "float32")
    averaged = keras.ops.convert_to_numpy(model(x))[0, ..., :4]
    assert averaged.shape == (4, 4, 4)
    assert averaged[0, 0, 0] == pytest.approx(4 / 9) and averaged[1, 1, 0] == pytest.approx(1)
    assert model.get_layer("level2_block1_conv2").kernel.shape == (1, 1, 12, 6)
    plain = unit(image, 10, concatenate=False, strides=2, **options)
    assert plain.shape == (None, 4, 4, 10)


def test_only_the_stem_and_shifts_are_spatial():
    for name, sizes in (("shiftnet_a", {5: 11, 3: 10}), ("shiftnet_c", {3: 12})):
        model = graphs.graph(name).model
        shifts = [layer.kernel_size for layer in model.layers if isinstance(layer, Shift)]
        assert {size: shifts.count(size) for size in set(shifts)} == sizes
        kernels = [x.kernel_size for x in model.layers if isinstance(x, keras.layers.Conv2D)]
        assert kernels[0] == (7, 7) and set(kernels[1:]) == {(1, 1)}


def test_shift_is_between_the_convolutions():
    image = keras.Input((8, 8, 4))
    model = keras.Model(image, csc(image, 6, kernel_size=3, expansion=3, strides=1, name="block"))
    assert [layer.name for layer in model.layers[1:]] == [
        "block_preact", "block_preact_relu", "block_conv1", "block_shift", "block_norm",
        "block_norm_relu", "block_conv2",
    ]  # fmt: skip


def test_place_of_the_last_relu():
    options = {"n": 1, "expansion": 1, "include_top": False, "input_shape": (16, 16, 3)}
    x = np.random.default_rng(0).normal(size=(1, 16, 16, 3)).astype("float32")
    for after, ends in ((False, "add"), (True, "out")):
        model = kapps.families.shift_resnet(relu_after_sum=after, **options)
        assert model.layers[-1].name == f"level2_block1_{ends}"
        # The projecting shortcut is negative in places, and no ReLU follows the sum by default.
        assert (keras.ops.convert_to_numpy(model(x)).min() < 0) is not after
