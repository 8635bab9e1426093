"""VGG. torchvision and timm number convolutions, activations and poolings in one sequence."""

import re

TORCHVISION = {
    "head_dense1": "classifier.0",
    "head_dense2": "classifier.3",
    "head_logits": "classifier.6",
}
TIMM = {"head_dense1": "pre_logits.fc1", "head_dense2": "pre_logits.fc2", "head_logits": "head.fc"}
APPLICATIONS = {"head_dense1": "fc1", "head_dense2": "fc2", "head_logits": "predictions"}
KERAS = {"vgg16": "VGG16", "vgg19": "VGG19"}
BLUE_FIRST = True


def torchvision(layer: str, layers: list[str]) -> str:
    """Names as in `torchvision.models.vgg`; `layers` are the names of all layers, in order."""
    if layer in TORCHVISION:
        return TORCHVISION[layer]
    number = 0
    for before in layers[: layers.index(layer)]:
        activated = re.fullmatch(r"level\d_conv\d", before) and f"{before}_bn" not in layers
        number += 2 if activated else before.startswith("level")  # ReLU is a layer there
    return f"features.{number}"


def timm(layer: str, layers: list[str]) -> str:
    """Names as in `timm.models.vgg`."""
    return TIMM.get(layer) or torchvision(layer, layers)


def keras(layer: str) -> str:
    """Names as in `keras.applications.vgg16`."""
    if layer in APPLICATIONS:
        return APPLICATIONS[layer]
    level, number = re.fullmatch(r"level(\d)_conv(\d)", layer).groups()
    return f"block{int(level) + 1}_conv{number}"
