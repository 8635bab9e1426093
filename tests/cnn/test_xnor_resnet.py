"""Binary ResNets and AlexNets: which kernels are binary, the order of layers, and PyTorch's outputs."""

import graphs
import keras
import numpy as np
import pytest
from members import assert_close

import kapps
from kapps.cnn import xnor_alexnet, xnor_resnet
from kapps.layers import BinaryConv2D


def kinds(name, first, last):
    """Returns the kinds of the layers from one to another."""
    layers = graphs.graph(name).model.layers
    names = [layer.name for layer in layers]
    return [
        type(layer).__name__
        for layer in layers[names.index(first) : names.index(last) + 1]
        if not isinstance(layer, keras.layers.ZeroPadding2D)
    ]


def test_order_of_the_layers():
    norm, binary, relu = "BatchNormalization", "BinaryConv2D", "Activation"
    first, last = "level3_conv1_bn", "level4_pool"
    assert kinds("xnor_alexnet", first, last) == [norm, binary, "MaxPooling2D"]
    assert kinds("bwn_alexnet", "level3_conv1", last) == [binary, norm, relu, "MaxPooling2D"]
    block = [norm, binary, norm, binary]
    assert kinds("xnor_resnet18", "level2_block1_conv1_bn", "level2_block1_conv2") == block
    block = [binary, norm, relu, binary, norm]
    assert kinds("bwn_resnet18", "level2_block1_conv1", "level2_block1_conv2_bn") == block


@pytest.mark.parametrize(
    "name, weights", [("xnor_resnet18", 10_985_472), ("bwn_resnet18", 10_985_472), ("bwn_alexnet", 58_236_928)]
)  # fmt: skip
def test_all_kernels_but_the_first_the_last_and_projections_are_binary(name, weights):
    model = graphs.graph(name).model
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    real = {x.name for x in convolutions if not isinstance(x, BinaryConv2D)}
    shortcuts = {f"level{n}_block1_shortcut" for n in (3, 4, 5)}
    assert real == {"stem_conv"} | (shortcuts if "resnet" in name else set())
    binary = [x for x in convolutions if x.name not in real]
    assert sum(int(np.prod(x.weights[0].shape)) for x in binary) == weights
    assert {x.binary_input for x in binary} == {name.startswith("xnor")}


def test_input_scale_needs_binary_inputs():
    for module, options in ((xnor_resnet, {"depths": (1,)}), (xnor_alexnet, {})):
        family = module.__name__.rpartition(".")[2]
        with pytest.raises(ValueError, match="binary inputs"):
            getattr(kapps.families, family)(block=module.bwn, input_scale=True, **options)
    model = graphs.build(kapps.families.xnor_resnet, depths=(1,), input_scale=True)
    assert model.get_layer("level2_block1_conv1").input_scale


def torch_block(x, norms, kernels, block, scaled):
    """The block of a port of XNOR-Net, github.com/jiecaoyu/XNOR-Net-PyTorch's binary operations in a ResNet."""
    import torch
    from torch.nn import functional

    def binarise(kernel):
        alpha = kernel.abs().mean(dim=(1, 2, 3), keepdim=True)
        return kernel.sign() * alpha

    y = x
    for part in ("conv1", "conv2"):
        strides = 2 if part == "conv1" and block != "level0_block1" else 1
        y = norms(y, f"{block}_{part}_bn", 1e-4)
        out = functional.conv2d(
            y.sign(), binarise(kernels(f"{block}_{part}")), stride=strides, padding=1
        )
        if scaled:
            window = torch.full((1, 1, 3, 3), 1 / 9, dtype=y.dtype)
            out = out * functional.conv2d(
                y.abs().mean(1, keepdim=True), window, stride=strides, padding=1
            )
        y = out
    if x.shape != y.shape:
        x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, x.shape[1] // 2, x.shape[1] // 2))
    return x + y


@pytest.mark.peers
@pytest.mark.parametrize("scaled", [False, True])
def test_outputs_of_pytorchs_operations(scaled, randomise):
    """In float64, since a sign changes where rounding moves a value across zero."""
    import torch
    from torch.nn import functional

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = kapps.families.xnor_resnet_cifar(
            n=1, input_scale=scaled, input_shape=(16, 16, 3), classifier_activation=None
        )
    finally:
        keras.config.set_dtype_policy(policy)
    randomise(model)

    def values(name):
        arrays = [keras.ops.convert_to_numpy(w) for w in model.get_layer(name).weights]
        return [torch.tensor(x.astype("float64")) for x in arrays]

    def norms(x, name, epsilon=1e-5):
        gamma, beta, mean, variance = values(name)
        return functional.batch_norm(x, mean, variance, gamma, beta, eps=epsilon)

    def kernels(name):
        return values(name)[0].permute(3, 2, 0, 1)

    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3))
    x = torch.tensor(images).permute(0, 3, 1, 2)
    x = norms(functional.conv2d(x, kernels("stem_conv"), padding=1), "stem_conv_bn").relu()
    for level in (0, 1, 2):
        x = torch_block(x, norms, kernels, f"level{level}_block1", scaled)
    x = norms(x, "level2_norm").relu().mean(dim=(2, 3))
    kernel, bias = values("head_logits")
    expected = (x @ kernel + bias).numpy()
    outputs = keras.ops.convert_to_numpy(model(images))
    assert_close(outputs.astype("float64"), expected, within=1e-5)  # the logits are float32
