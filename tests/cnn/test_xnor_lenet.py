"""XNOR-Net on LeNet-5: parameters of each layer, and the outputs of PyTorch's layers."""

import graphs
import keras
import numpy as np
import pytest
from members import assert_close

import kapps

# MNIST/models/LeNet_5.py of github.com/jiecaoyu/XNOR-Net-PyTorch: kernels and biases.
PARAMETERS = {
    "stem_conv": 20 * 26,
    "level1_conv": 50 * (20 * 25 + 1),
    "head_dense1": 500 * 801,
    "head_logits": 5_010,
}


def test_maps_and_parameters():
    model = graphs.graph("xnor_lenet5").model
    assert {name: model.get_layer(name).count_params() for name in PARAMETERS} == PARAMETERS
    maps = [model.get_layer(name).output.shape[1:] for name in ("level1_pool", "level2_pool")]
    assert maps == [(12, 12, 20), (4, 4, 50)]


@pytest.mark.peers
def test_outputs_of_pytorchs_layers(randomise):
    """In float64, since a sign changes where rounding moves a value across zero."""
    import torch
    from torch.nn import functional

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = randomise(kapps.xnor_lenet5(classifier_activation=None))
    finally:
        keras.config.set_dtype_policy(policy)

    def values(name):
        arrays = [keras.ops.convert_to_numpy(w) for w in model.get_layer(name).weights]
        return [torch.tensor(x.astype("float64")) for x in arrays]

    def conv(x, name, binary=True):
        kernel, bias = values(name)
        kernel = kernel.permute(3, 2, 0, 1)
        if binary:
            gamma, beta, mean, variance = values(f"{name}_bn")
            x = functional.batch_norm(x, mean, variance, gamma, beta, eps=1e-4).sign()
            kernel = kernel.sign() * kernel.abs().mean(dim=(1, 2, 3), keepdim=True)
        return functional.conv2d(x, kernel, bias)

    images = np.random.default_rng(0).normal(size=(2, 28, 28, 1))
    x = conv(torch.tensor(images).permute(0, 3, 1, 2), "stem_conv", binary=False)
    x = functional.batch_norm(x, *values("stem_conv_bn"), eps=1e-4).relu()
    x = functional.max_pool2d(x, 2)
    x = functional.max_pool2d(conv(x, "level1_conv").relu(), 2)
    x = x.permute(0, 2, 3, 1).reshape(2, 800, 1, 1)
    x = conv(x, "head_dense1").relu().flatten(1)
    kernel, bias = values("head_logits")
    outputs = keras.ops.convert_to_numpy(model(images)).astype("float64")
    assert_close(outputs, (x @ kernel + bias).numpy(), within=1e-5)
