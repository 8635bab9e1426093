"""Attributions equal those of captum on the same network with the same weights."""

import keras
import numpy as np
import pytest
from keras import layers

from kapps.visualize import activation_maps, attributions

IMAGES = np.random.default_rng(0).normal(size=(3, 12, 12, 3)).astype("float32")
CLASSES = np.array([0, 4, 2])


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(6, 3, activation="relu", bias_initializer="random_normal", name="first"),
            layers.MaxPooling2D(),
            layers.Conv2D(8, 3, activation="relu", bias_initializer="random_normal", name="second"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, activation="softmax", name="top"),
        ]
    )


def torch_network(model):
    import torch

    first, second = (torch.nn.Conv2d(*sizes, 3) for sizes in ((3, 6), (6, 8)))
    top = torch.nn.Linear(8, 5)
    for layer, name in ((first, "first"), (second, "second"), (top, "top")):
        kernel, bias = (torch.tensor(w) for w in model.get_layer(name).get_weights())
        layer.weight.data = kernel.T if kernel.ndim == 2 else kernel.permute(3, 2, 0, 1)
        layer.bias.data = bias
    parts = (
        first, torch.nn.ReLU(), torch.nn.MaxPool2d(2), second, torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(), top,
    )  # fmt: skip
    return torch.nn.Sequential(*parts)


@pytest.mark.peers
def test_attributions_are_captums():
    import torch
    from captum import attr

    model = network()
    other = torch_network(model)
    x = torch.tensor(IMAGES).permute(0, 3, 1, 2).requires_grad_()
    target = torch.tensor(CLASSES)

    def compare(result, expected, size=1e-6):
        expected = expected.detach().permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(result, expected, atol=size * np.abs(expected).max())

    compare(
        attributions.saliency(model, IMAGES, CLASSES),
        attr.Saliency(other).attribute(x, target, abs=False),
    )
    compare(
        attributions.gradient_times_input(model, IMAGES, CLASSES), attr.InputXGradient(other).attribute(x, target)
    )  # fmt: skip
    compare(
        attributions.guided_backpropagation(model, IMAGES, CLASSES), attr.GuidedBackprop(other).attribute(x, target)
    )  # fmt: skip
    compare(
        attributions.deconvnet(model, IMAGES, CLASSES),
        attr.Deconvolution(other).attribute(x, target),
    )
    for nodes in (16, 50):
        expected = attr.IntegratedGradients(other).attribute(
            x, torch.zeros_like(x), target, n_steps=nodes, method="gausslegendre"
        )
        result = attributions.integrated_gradients(model, IMAGES, CLASSES, nodes=nodes)
        compare(result.attributions, expected)
    heat = attr.LayerGradCam(other, other[4]).attribute(x, target, relu_attributions=True)
    compare(activation_maps.grad_cam(model, IMAGES, CLASSES)[..., None], heat)
    expected = attr.Occlusion(other).attribute(x, (3, 4, 4), target=target, strides=(3, 4, 4))
    squares = activation_maps.occlusion(model, IMAGES, CLASSES, square=4, stride=4)
    compare(np.repeat(squares, 4, axis=1).repeat(4, axis=2)[..., None], expected[:, :1], 1e-5)
