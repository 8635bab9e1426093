"""MSDNet for CIFAR."""

from kapps.weights.names.msdnet import find_exit, find_first, find_place, kalviny

__all__ = ["kalviny", "pytorchcv"]


def pytorchcv(layer: str, layers: list[str]) -> str:
    """Names as in `pytorchcv.models.msdnet_cifar10`, which has `msdnet_anytime10_cifar`."""
    norm = "bn" if layer.endswith("_bn") else "conv"
    if exit_part := find_exit(layer, layers):
        number, conv = exit_part
        name = f"classifiers.classifier{number + 1}"
        return f"{name}.features.conv{conv + 1}.{norm}" if conv is not None else f"{name}.output"
    first = find_first(layer, layers)
    if first is not None:
        return f"init_layer.scale_blocks.scale_block{first + 1}.{norm}"
    place = find_place(layer, layers)
    is_transition = place.part.startswith("transition")
    module = f"{'trans' if is_transition else 'layer'}{place.module + 1}"
    name = f"feature_blocks.block{place.block + 1}.blocks.{module}.scale_blocks.scale_block{place.scale + 1}"
    if is_transition:
        return f"{name}.{norm}"
    path, _, part = place.part.partition("_")
    path = "block" if place.is_finest else {"down": "down_block", "normal": "curr_block"}[path]
    return f"{name}.{path}.{'bn_conv' if part.startswith('conv1') else 'conv'}.{norm}"
