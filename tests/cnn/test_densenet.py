"""DenseNet: dense layers, transitions, and the sizes of the networks for CIFAR."""

import keras
import numpy as np
import pytest

import kapps

# Millions of parameters in Table 2 of arXiv:1608.06993, and layers with weights that are not 1x1 shortcuts.
PRINTED = {
    "densenet40_cifar": (1.0, 40),
    "densenet100_cifar": (7.0, 100),
    "densenet100_k24_cifar": (27.2, 100),
    "densenet_bc": (0.8, 100),
    "densenet_bc250": (15.3, 250),
    "densenet_bc190": (25.6, 190),
}


def depth(model):
    """Returns the number of convolutions and dense layers."""
    return sum(hasattr(layer, "kernel") for layer in model.layers)


@pytest.mark.parametrize("name", PRINTED)
def test_parameters_of_table_2(name, reference):
    assert round(reference[name]["trainable"] / 1e6, 1) == PRINTED[name][0]


@pytest.mark.long
@pytest.mark.parametrize(
    "name, layers",
    [("densenet40_cifar", 40), ("densenet_bc", 100), ("densenet121", 121), ("densenet169", 169)],
)
def test_number_of_layers(name, layers):
    assert depth(getattr(kapps, name)(input_shape=(32, 32, 3))) == layers


def test_widths_of_layers_and_transitions():
    model = kapps.families.densenet(
        depths=(3, 2), growth_rate=8, include_top=False, input_shape=(32, 32, 3)
    )
    widths = [model.get_layer(f"level2_block{i}_conv1_norm").input.shape[-1] for i in (1, 2, 3)]
    assert widths == [16, 24, 32]
    assert model.get_layer("level2_block1_conv1").kernel.shape == (1, 1, 16, 32)
    assert model.get_layer("level2_transition").kernel.shape == (1, 1, 40, 20)
    assert model.output.shape[-1] == 20 + 2 * 8


@pytest.mark.parametrize("bc, stem, between", [(True, 24, 18), (False, 16, 28)])
def test_compression_and_stem_of_bc(bc, stem, between):
    depth = 10 if bc else 7
    model = kapps.families.densenet_cifar(depth=depth, bc=bc, input_shape=(32, 32, 3))
    assert model.get_layer("stem_conv").filters == stem
    assert model.get_layer("level0_transition").filters == between
    assert any(layer.name.endswith("_conv1") for layer in model.layers) == bc


def test_layer_concatenates_its_input(digits):
    model = kapps.families.densenet(
        depths=(2,), growth_rate=4, include_top=False, input_shape=(32, 32, 1)
    )
    ends = [model.get_layer(f"level2_block{i}_concat").output for i in (1, 2)]
    first, second = (
        keras.ops.convert_to_numpy(x)
        for x in keras.Model(model.input, ends)(digits(32, channels=1)[0][:2], training=False)
    )
    np.testing.assert_array_equal(second[..., :12], first)
    assert np.abs(second[..., 12:]).max() > 0


def test_dropout_follows_all_convolutions_except_the_first():
    model = kapps.families.densenet_cifar(depth=10, dropout=0.2)
    dropped = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert len(dropped) == 3 * 2 + 2 and {layer.rate for layer in dropped} == {0.2}


@pytest.mark.parametrize("depth, bc", [(99, True), (41, False), (4, True)])
def test_depth_that_does_not_divide_raises(depth, bc):
    with pytest.raises(ValueError) as caught:
        kapps.families.densenet_cifar(depth=depth, bc=bc)
    assert str(depth) in str(caught.value) and "\n" not in str(caught.value)
