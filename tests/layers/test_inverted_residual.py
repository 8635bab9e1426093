"""The inverted residual block, its addition, the rounding of its channels, and the gate of SE blocks."""

from functools import partial

import keras
import numpy as np
import pytest

from kapps.layers import add_where_equal, inverted_residual, make_divisible, squeeze_excite


def block(inputs=8, strides=1, filters=8, **options):
    """Returns the model of one block on 6x6 maps."""
    image = keras.Input((6, 6, inputs))
    options = {"expanded": 24, "activation": "relu6", "name": "block"} | options
    return keras.Model(image, inverted_residual(image, filters, strides=strides, **options))


def names(model):
    return [layer.name for layer in model.layers[1:]]


def test_channels_are_multiples_of_8():
    assert [make_divisible(n) for n in (1, 8, 11, 12, 20, 36, 960)] == [8, 8, 16, 16, 24, 40, 960]
    # 18.2 and 27.9 are nearest to 16 and 24, which are more than a tenth lower.
    assert [make_divisible(n) for n in (18.2, 27.9)] == [24, 32]
    assert [make_divisible(n, least=0) for n in (11, 18.2, 27.9)] == [8, 16, 24]


def test_layers_in_their_order():
    squeeze = partial(squeeze_excite, inner=2)
    se = [f"block_se_{part}" for part in ("squeeze", "reduce", "expand", "scale")]
    assert names(block(squeeze=squeeze)) == [
        "block_expand", "block_expand_bn", "block_expand_bn_relu6",
        "block_depthwise", "block_depthwise_bn", "block_depthwise_bn_relu6",
        *se, "block_project", "block_project_bn", "block_add",
    ]  # fmt: skip


def test_no_expansion_where_the_channels_are_equal():
    assert names(block(expanded=8))[0] == "block_depthwise"


@pytest.mark.parametrize("options", [{"strides": 2}, {"filters": 16}])
def test_not_added_where_shapes_differ(options):
    model = block(**options)
    assert names(model)[-1] == "block_project_bn"
    side, filters = 6 // options.get("strides", 1), options.get("filters", 8)
    assert model.output_shape == (None, side, side, filters)


def test_addition_and_stochastic_depth():
    x, y = keras.Input((2, 2, 3)), keras.Input((2, 2, 3))
    model = keras.Model([x, y], add_where_equal(x, y, strides=1, drop_rate=0.5, name="block"))
    ones = np.ones((64, 2, 2, 3), "float32")
    np.testing.assert_array_equal(model([ones, 2 * ones], training=False), 3 * ones)
    trained = keras.ops.convert_to_numpy(model([ones, 2 * ones], training=True))
    assert set(np.unique(trained)) == {1.0, 5.0}  # without the branch, and with twice of it
    assert (trained.std(axis=(1, 2, 3)) == 0).all()
    assert add_where_equal(x, y, strides=2, name="block") is y


@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
def test_gate_of_the_se_block(gate):
    x = keras.Input((3, 3, 4))
    model = keras.Model(x, squeeze_excite(x, 2, gate=gate, name="se"))
    images = np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype("float32")
    reduce, expand = (model.get_layer(f"se_{part}") for part in ("reduce", "expand"))
    expand.bias.assign([-9.0, -1.0, 1.0, 9.0])
    kernels = [keras.ops.convert_to_numpy(layer.kernel)[0, 0] for layer in (reduce, expand)]
    hidden = np.maximum(images.mean(axis=(1, 2)) @ kernels[0], 0) @ kernels[1] + [-9, -1, 1, 9]
    values = 1 / (1 + np.exp(-hidden)) if gate == "sigmoid" else np.clip(hidden / 6 + 0.5, 0, 1)
    np.testing.assert_allclose(model(images), images * values[:, None, None], rtol=1e-5, atol=1e-5)
