"""The same weights give the same logits as torchvision's and timm's models, at even and odd sizes."""

import os
import pathlib
import re

import keras
import numpy as np
import pytest

import kapps

DATA = os.environ.get("KAPPS_TEST_DATA")  # a folder with CIFAR-10 pictures and published weights

# (where the other model comes from, its name there, the builder): one for each kind of block.
PEERS = [
    ("torchvision", "resnet18", "resnet18"),
    ("torchvision", "resnet50", "resnet50"),
    ("torchvision", "resnext50_32x4d", "resnext50"),
    ("torchvision", "wide_resnet50_2", "wide_resnet50"),
    ("timm", "seresnet50", "se_resnet50"),
    ("timm", "seresnext50_32x4d", "se_resnext50"),
    ("timm", "resnetv2_50", "resnet50_v2"),
]
PARTS = {  # of a block's layers, by family
    "resnet": {"shortcut": "downsample.0", "shortcut_bn": "downsample.1", "se_reduce": "se.fc1", "se_expand": "se.fc2"},
    "resnet_v2": {"preact": "norm1", "conv1_bn": "norm2", "conv2_bn": "norm3", "shortcut": "downsample.conv"},
}  # fmt: skip
ENDS = {
    "resnet": {"tail_conv": "conv1", "tail_conv_bn": "bn1", "head_logits": "fc"},
    "resnet_v2": {
        "tail_conv": "stem.conv",
        "tail_conv_bn": "stages.0.blocks.0.norm1",  # it normalises before the pooling, timm after it
        "level5_norm": "norm",
        "head_logits": "head.fc",
    },
    "resnet_cifar": {"tail_conv": "conv1", "tail_conv_bn": "bn1", "head_logits": "linear"},
}


@pytest.fixture(scope="module")
def operations():
    """Declares the two compiled operations that torchvision's import asks for and no classifier uses."""
    import torch

    try:
        torch.ops.torchvision.nms  # noqa: B018
        yield
    except (AttributeError, RuntimeError):
        library = torch.library.Library("torchvision", "DEF")
        for operation in ("nms", "qnms"):
            library.define(f"{operation}(Tensor dets, Tensor scores, float threshold) -> Tensor")
        yield library  # which declares them as long as it lives


def peer(source, name):
    """Returns the other library's model, its weights random and in evaluation mode."""
    import torch

    torch.manual_seed(0)
    if source == "timm":
        import timm

        model = timm.create_model(name)
    else:
        import torchvision.models

        model = torchvision.models.get_model(name)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(
                0.5, 1.5
            )  # above 0, where timm's order of norm and pooling is ours
            norm.bias.normal_(0, 0.2)
            norm.momentum = 1.0  # the averages become those of one batch ...
        model.train()(torch.randn(8, 3, 64, 64))
        for norm in norms:
            norm.running_mean.add_(
                0.1 * torch.randn_like(norm.running_mean)
            )  # ... but for some noise
            norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.7, 1.4))
    return model.eval()


def theirs(layer, family):
    """Returns the other library's name for one of our layers with weights."""
    match = re.fullmatch(r"level(\d)_block(\d+)_(\w+)", layer)
    if match is None:
        return ENDS[family][layer]
    level, block, part = int(match[1]), int(match[2]) - 1, match[3]
    prefix = {
        "resnet": f"layer{level - 1}.{block}",
        "resnet_v2": f"stages.{level - 2}.blocks.{block}",
        "resnet_cifar": f"layer{level + 1}.{block}",
    }[family]
    part = PARTS.get(family, {}).get(part, re.sub(r"conv(\d)_bn", r"bn\1", part))
    return f"{prefix}.{part}"


def port(state, model, family):
    """Copies every tensor of a state dict, {name: array}, into our model."""
    left = {name for name in state if not name.endswith("num_batches_tracked")}
    for layer in model.layers:
        if not layer.weights:
            continue
        name = theirs(layer.name, family)
        kinds = ["weight", "bias", "running_mean", "running_var"]
        tensors = [state[f"{name}.{kind}"] for kind in kinds if f"{name}.{kind}" in left]
        left -= {f"{name}.{kind}" for kind in kinds}
        if isinstance(layer, keras.layers.Dense):
            tensors[0] = tensors[0].reshape(tensors[0].shape[:2]).T
        elif hasattr(layer, "kernel"):
            tensors[0] = tensors[0].transpose(2, 3, 1, 0)
        layer.set_weights(tensors)
    assert not left


def arrays(state):
    """Returns a state dict as NumPy has it."""
    return {name: tensor.numpy() for name, tensor in state.items()}


@pytest.mark.peers
@pytest.mark.parametrize("source, other, name", PEERS)
def test_logits_are_the_peers(source, other, name, operations):
    import torch

    model = peer(source, other)
    for size in (64, 97):
        ours = getattr(kapps, name)(input_shape=(size, size, 3), classifier_activation=None)
        port(arrays(model.state_dict()), ours, kapps.card(name).family)
        pictures = np.random.default_rng(size).normal(size=(2, size, size, 3)).astype("float32")
        with torch.no_grad():
            expected = model(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())).numpy()
        given = keras.ops.convert_to_numpy(ours(pictures, training=False)).astype("float32")
        largest = np.abs(expected).max()
        assert np.abs(expected[0] - expected[1]).max() > 0.01 * largest  # the picture matters
        assert np.abs(given - expected).max() < 1e-4 * largest


@pytest.mark.peers
@pytest.mark.skipif(DATA is None, reason="KAPPS_TEST_DATA names no folder of pictures and weights")
def test_published_cifar_weights_reach_their_accuracy():
    """akamaster/pytorch_resnet_cifar10's ResNet-20, on pictures that it was trained on."""
    import torch

    file = pathlib.Path(DATA, "weights", "cifar_resnet20-12fca82f.th")
    state = torch.load(file, weights_only=True, map_location="cpu")["state_dict"]
    model = kapps.resnet20_cifar(classifier_activation=None)
    state = {name.removeprefix("module."): array for name, array in arrays(state).items()}
    port(state, model, "resnet_cifar")
    with np.load(pathlib.Path(DATA, "cifar10_lossless_first1000.npz")) as data:
        pictures, labels = (data[key] for key in data)
    mean, std = kapps.cards.IMAGENET.mean, kapps.cards.IMAGENET.std  # its author's, for CIFAR too
    pictures = (pictures / np.float32(255) - np.float32(mean)) / np.float32(std)
    logits = keras.ops.convert_to_numpy(model.predict(pictures, batch_size=250, verbose=0))
    accuracy = (logits.argmax(axis=-1) == labels.reshape(-1)).mean()
    print("accuracy", accuracy)
    assert accuracy > 0.97
