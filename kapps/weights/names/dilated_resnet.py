"""Dilated ResNet: the names of ResNets, whose stages the levels of these networks do not show."""

from kapps.weights.names import resnet
from kapps.weights.names._stages import place


def torchvision(layer: str, layers: list[str]) -> str:
    """Names as in `torchvision.models.resnet`; `layers` are the names of all layers, in order."""
    if not layer.startswith("level"):
        return resnet.torchvision(layer)
    suffix = "_shortcut"
    first = [name.removesuffix(suffix) for name in layers if name.endswith(suffix)]
    stage, block, part = place(layer, layers, first)
    return resnet.torchvision(f"level{stage + 2}_block{block + 1}_{part}")


timm = torchvision
