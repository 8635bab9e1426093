"""Logits equal those of torchvision, timm, pytorchcv and Keras Applications with the same weights."""

import importlib

import keras
import numpy as np
import peer_networks
import pytest

import kapps
from kapps.weights import from_keras, from_torch, keras_applications, to_keras, to_torch
from kapps.weights.published_padding import network_padding

TORCHVISION = {"googlenet_bn": "googlenet_bn_3x3", "inception_v3": "inception_v3"}
"""Families with auxiliary classifiers in torchvision, and the builder of the same network."""
VARIANCES = {"tf_efficientnetv2_b0": 1.3, "tf_efficientnetv2_s": 1.3, "efficientnet_v2_s": 1.5}
"""Networks that need larger variances in their batch norms: in 40 blocks with SE and random weights, values grow."""


def peer(source, name, size):
    """Returns the other library's model with random weights, adapted to images of `size` pixels."""
    import torch

    torch.manual_seed(0)
    model = peer_networks.create(source, name)
    return adapt_norms(model, size, variance=VARIANCES.get(name.partition(".")[0], 1.0))


def adapt_norms(model, size, channels=3, variance=1.0):
    """Returns the model in evaluation mode, with statistics of its batch norms from images of `size` pixels.

    Their variances are multiplied by random numbers with the mean `variance`.
    """
    import torch

    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(
                0.5, 1.5
            )  # positive: norm and pooling may then change their order, as in timm
            norm.bias.normal_(0, 0.2)
            norm.momentum = 1.0  # the averages are those of one batch ...
        model.train()(torch.randn(8, channels, size, size))
        for norm in norms:
            norm.running_mean.add_(0.1 * torch.randn_like(norm.running_mean))  # ... plus noise
            factor = torch.empty_like(norm.running_var).uniform_(0.7, 1.4)
            norm.running_var.mul_(variance * factor)
    return model.eval()


def family_function(family):
    """Returns the function that builds any member of a family."""
    return getattr(kapps.families, family)


def names(builder, source):
    """Returns the function from the names of layers to those in the other library."""
    family = kapps.card(builder).family
    return getattr(importlib.import_module(f"kapps.weights.names.{family}"), source)


def arrays(state):
    """Returns a state dict with NumPy arrays."""
    return {name: tensor.numpy() for name, tensor in state.items()}


def compare(ours, other, images):
    """Asserts that a model and a PyTorch model have equal outputs."""
    import torch

    with torch.no_grad():
        expected = other(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    near(ours, expected.reshape(len(images), -1), images)


def same_logits(ours, other, images, other_images):
    """Asserts that two Keras models have equal outputs."""
    expected = other(np.ascontiguousarray(other_images), training=False)
    near(ours, keras.ops.convert_to_numpy(expected), images)


def near(ours, expected, images):
    """Asserts that a model has the expected outputs, and that they depend on the image."""
    output = keras.ops.convert_to_numpy(ours(images, training=False))
    largest = np.abs(expected).max()
    assert output.shape == expected.shape
    assert np.abs(expected[0] - expected[1]).max() > 0.01 * largest
    assert np.abs(output - expected).max() < 1e-4 * largest


def noise(shape, times=1):
    """Returns two images or feature maps of Gaussian noise with the standard deviation `times`."""
    generator = np.random.default_rng(shape[0])
    return times * generator.normal(size=(2, *shape)).astype("float32")


@pytest.mark.peers
def test_logits_equal_the_peers(peer_row, operations):
    source, other, name, sizes = peer_row
    sizes = [int(size) for size in sizes.split()]
    model = peer(source, other, sizes[0])
    options = (
        {}
        if kapps.card(name).padding == "valid"
        else {"padding": network_padding(other, names(name, source))}
    )
    any_size = kapps.card(name).any_size
    for size in sizes:
        if size == sizes[0] or not any_size:
            side = None if any_size else size
            ours = getattr(kapps, name)(
                input_shape=(side, side, 3), classifier_activation=None, **options
            )
            from_torch(ours, arrays(model.state_dict()), names(name, source))
        compare(ours, model, noise((size, size, 3)))
    for key, array in to_torch(ours, names(name, source)).items():
        tensor = model.state_dict()[key].numpy()
        np.testing.assert_array_equal(array.reshape(tensor.shape), tensor)


@pytest.mark.peers
def test_logits_equal_keras_applications(applications_row, randomise):
    """Weights convert in both directions, although its batch norms may have no scale and its convolutions biases."""
    _, other, name, sizes = applications_row
    options = {"classifier_activation": None}
    module = importlib.import_module(f"kapps.weights.names.{kapps.card(name).family}")
    assert module.KERAS[name] == other
    state = None
    for size in map(int, sizes.split()):
        shape = (size, size, 3)
        theirs = getattr(keras.applications, other)(weights=None, input_shape=shape, **options)
        ours = getattr(kapps, name)(input_shape=shape, **options)
        state = state or keras_applications.named_arrays(randomise(theirs))
        for layer, values in state.items():
            keras_applications.named_layers(theirs)[layer].set_weights(values)
        images = noise(
            shape, times=100 if module.BLUE_FIRST else 1
        )  # these networks do not scale images
        other_way = images[..., ::-1] if module.BLUE_FIRST else images
        from_keras(ours, state, module.keras, blue_first=module.BLUE_FIRST)
        same_logits(ours, theirs, images, other_way)
        back = to_keras(randomise(ours), module.keras, state, blue_first=module.BLUE_FIRST)
        for layer, values in back.items():
            keras_applications.named_layers(theirs)[layer].set_weights(values)
        same_logits(ours, theirs, images, other_way)


@pytest.mark.peers
@pytest.mark.parametrize(
    "family, size",
    [("senet", 64), ("sknet", 224), ("polynet", 75), ("residual_attention", 64)],
)
def test_logits_of_shallow_networks_equal_the_peers(family, size, operations):
    """Few blocks, so that rounding errors of float32 do not grow with depth."""
    import torch

    torch.manual_seed(0)
    if family == "senet":
        import timm

        options, source = {"depths": (1, 2, 2, 1)}, "timm"
        model = timm.create_model("senet154", layers=options["depths"])
    elif family == "polynet":
        from pytorchcv.models.polynet import PolyNet

        options, source = {"depths": (1, 1, 1)}, "pytorchcv"
        model = PolyNet([[1.0], [0, 0.85], [0, 0.7]], [[0], [0, 0.925], [0, 0.775]])
    elif family == "residual_attention":
        from pytorchcv.models.resattnet import ResAttNet

        options = {"modules": (1, 1, 1), "filters": 32, "form": "pytorch"}
        source, channels = "pytorchcv", [[32] * 2, [64] * 2, [128] * 2, [256] * 3]
        model = ResAttNet(channels, 64, [[0, 1]] * 3 + [[0] * 3], [1, 2, 1])
    else:
        from pytorchcv.models.sknet import SKNet

        options, source = {"depths": (1, 2, 1, 1)}, "pytorchcv"
        model = SKNet([[256 * 2**i] * depth for i, depth in enumerate(options["depths"])], 64)
    if source == "pytorchcv":
        model = peer_networks.with_global_pooling(model)
    model = adapt_norms(model, size)
    shape = (size, size, 3)
    ours = family_function(family)(input_shape=shape, classifier_activation=None, **options)
    module = importlib.import_module(f"kapps.weights.names.{family}")
    from_torch(ours, arrays(model.state_dict()), getattr(module, source))
    compare(ours, model, noise(shape))


@pytest.mark.peers
@pytest.mark.parametrize("size", [64, 97])
def test_logits_of_googlenet_equal_torchvision_with_the_papers_blocks(size, operations):
    """torchvision's network, with the biases, 5x5 kernels, pooling and normalisation of the paper."""
    import torch
    from torch import nn

    googlenet = importlib.import_module("torchvision.models.googlenet")

    class Convolution(nn.Module):
        def __init__(self, inputs, outputs, **options):
            super().__init__()
            self.conv = nn.Conv2d(inputs, outputs, **options)

        def forward(self, x):
            return self.conv(x).relu()

    class Module(googlenet.Inception):
        def __init__(self, inputs, *widths):
            super().__init__(inputs, *widths, conv_block=Convolution)
            self.branch3[1] = Convolution(widths[3], widths[4], kernel_size=5, padding=2)

    torch.manual_seed(0)
    blocks = [Convolution, Module, googlenet.InceptionAux]
    model = googlenet.GoogLeNet(aux_logits=False, init_weights=False, blocks=blocks).eval()
    model.maxpool4 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    for layer in (model.maxpool1, model.conv3):
        norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
        layer.register_forward_hook(lambda layer, inputs, output, norm=norm: norm(output))
    with torch.no_grad():
        for parameter in model.parameters():  # large enough for normalisation and biases to matter
            parameter.mul_(2.5 if parameter.ndim > 1 else 10)
    ours = kapps.googlenet(input_shape=(size, size, 3), classifier_activation=None)
    from_torch(ours, arrays(model.state_dict()), names("googlenet_bn", "torchvision"))
    compare(ours, model, noise((size, size, 3), times=30))


@pytest.mark.peers
@pytest.mark.parametrize(
    "other, family, size, options",
    [
        ("alexnet", "alexnet", 227, {"groups": 1}),
        ("zfnet", "zfnet", 224, {"filters": (96, 256, 384, 384, 256), "norm_first": True}),
    ],
)
def test_logits_with_local_response_normalisation_equal_the_peers(
    other, family, size, options, operations
):
    """pytorchcv's alpha is a fifth of Krizhevsky's, so the networks are built by options of the family."""
    import torch

    torch.manual_seed(0)
    from pytorchcv.model_provider import get_model

    model, shape = get_model(other).eval(), (size, size, 3)
    ours = family_function(family)(
        norm=(2.0, 5, 2e-5), input_shape=shape, classifier_activation=None, **options
    )
    module = importlib.import_module(f"kapps.weights.names.{family}")
    from_torch(ours, arrays(model.state_dict()), module.pytorchcv)
    # Values large enough for normalisation to change the predictions.
    compare(ours, model, noise(shape, times=100))


@pytest.mark.peers
@pytest.mark.parametrize(
    "family, module, prefix, shape",
    [
        ("googlenet", "googlenet_bn", "aux1", (14, 14, 512)),
        ("inception", "inception_v3", "AuxLogits", (18, 18, 768)),
    ],
)
def test_auxiliary_logits_equal_the_peers(family, module, prefix, shape, operations, monkeypatch):
    """Only the auxiliary classifiers: torchvision runs them only in training."""
    import torch

    torch.manual_seed(0)
    other = importlib.import_module(f"torchvision.models.{family}")
    other = adapt_norms(other.InceptionAux(shape[-1], 1000), shape[0], channels=shape[-1])
    image = keras.Input(shape)
    head = family_function(module).builder.heads["auxiliary"]
    ours = keras.Model(image, head(image, 1000, None, "auxiliary1"))
    state = {f"{prefix}.{name}": array for name, array in arrays(other.state_dict()).items()}
    from_torch(ours, state, names(TORCHVISION[module], "torchvision"))
    if family == "googlenet":
        # torchvision has adaptive pooling to 4x4; the paper has 5x5 average pooling with strides of 3.
        functional = torch.nn.functional
        monkeypatch.setattr(
            functional, "adaptive_avg_pool2d", lambda x, size: functional.avg_pool2d(x, 5, 3)
        )
    compare(ours, other, noise(shape))


@pytest.mark.peers
def test_inception_resnet_v1_features_equal_the_peers(operations):
    """pytorchcv's network without its classifier, which is for faces."""
    model = peer("pytorchcv", "inceptionresnetv1", 299).features
    shape = (107, 107, 3)
    ours = kapps.inception_resnet_v1(include_top=False, pooling="avg", input_shape=shape)
    state = {f"features.{name}": array for name, array in arrays(model.state_dict()).items()}
    from_torch(ours, state, names("inception_resnet_v1", "pytorchcv"))
    compare(ours, model, noise(shape))


@pytest.mark.peers
def test_pretrained_cifar_weights_reach_their_accuracy(shared_data):
    """ResNet-20 of akamaster/pytorch_resnet_cifar10, on images of its training set."""
    import torch

    file = shared_data("weights", "cifar_resnet20-12fca82f.th")
    state = torch.load(file, weights_only=True, map_location="cpu")["state_dict"]
    model = kapps.resnet20_cifar(classifier_activation=None)
    state = {name.removeprefix("module."): array for name, array in arrays(state).items()}
    from_torch(model, state, names("resnet20_cifar", "akamaster"))
    with np.load(shared_data("cifar10_lossless_first1000.npz")) as data:
        images, labels = (data[key] for key in data)
    mean, std = kapps.cards.IMAGENET.mean, kapps.cards.IMAGENET.std  # also for CIFAR
    images = (images / np.float32(255) - np.float32(mean)) / np.float32(std)
    logits = keras.ops.convert_to_numpy(model.predict(images, batch_size=250, verbose=0))
    accuracy = (logits.argmax(axis=-1) == labels.reshape(-1)).mean()
    print("accuracy", accuracy)
    assert accuracy > 0.97
