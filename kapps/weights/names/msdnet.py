"""MSDNet."""

import functools
import re
from typing import NamedTuple

PARTS = {"conv1": "0", "conv1_bn": "1", "conv2": "3", "conv2_bn": "4"}


class Place(NamedTuple):
    """The place of a layer of a block: numbers from 0, and the layer's part."""

    block: int
    module: int
    """Among the layers and transitions of the block."""
    scale: int
    """From the finest scale of the layer."""
    part: str
    is_finest: bool
    """Whether the scale reads no finer one."""


def kalviny(layer: str, layers: list[str]) -> str:
    """Names as in github.com/kalviny/MSDNet-PyTorch, the authors' code."""
    norm = int(layer.endswith("_bn"))
    if exit_part := find_exit(layer, layers):
        number, conv = exit_part
        name = f"classifier.{number}"
        return f"{name}.m.{conv}.net.{norm}" if conv is not None else f"{name}.linear"
    first = find_first(layer, layers)
    if first is not None:
        is_imagenet_stem = first == 0 and "stem_pool" in layers
        return f"blocks.0.0.layers.{first}.{'' if is_imagenet_stem else 'net.'}{norm}"
    place = find_place(layer, layers)
    # The stem is the first module of the first block.
    block = f"blocks.{place.block}.{place.module + (place.block == 0)}"
    if place.part.startswith("transition"):
        return f"{block}.m.{place.scale}.net.{norm}"
    path, _, part = place.part.partition("_")
    return f"{block}.layers.{place.scale}.conv_{path}.net.{PARTS[part]}"


def find_exit(layer: str, layers: list[str]) -> tuple[int, int | None] | None:
    """Returns the number of a layer's exit and of its convolution, None for logits; None for a layer of no exit."""
    match = re.fullmatch(r"(?:exit(\d+)|head)_(?:conv(\d)\w*|logits)", layer)
    if match is None:
        return None
    number, conv = match.groups()
    return int(number or _structure(tuple(layers))[0]) - 1, int(conv) - 1 if conv else None


def find_first(layer: str, layers: list[str]) -> int | None:
    """Returns the scale of a convolution before the first block, or None for other layers."""
    match = re.fullmatch(r"(?:stem|level(\d))_conv(?:_bn)?", layer)
    finest = _structure(tuple(layers))[2]
    return None if match is None else int(match[1] or finest) - finest


def find_place(layer: str, layers: list[str]) -> Place:
    """Returns the place of a layer of a block."""
    _, transitions, finest = _structure(tuple(layers))
    level, block, number, part = re.fullmatch(
        r"level(\d)_block(\d+)_layer(\d+)_(\w+)", layer
    ).groups()
    block, number = int(block), int(number)
    # Every transition follows a layer without the finest scale of the layers before.
    scale = int(level) - finest - sum(place <= (block, number) for place in transitions)
    module = number - 1 + sum((block, i) in transitions for i in range(1, number))
    is_finest = scale == 0 and (block, number) not in transitions
    module += part.startswith("transition")
    return Place(block - 1, module, scale, part, is_finest)


@functools.lru_cache(maxsize=8)
def _structure(layers):
    """Returns the number of exits, {(block, layer)} of the transitions, and the level of the finest scale."""
    exits = [re.match(r"exit(\d+)_conv", name) for name in layers]
    transitions = [re.match(r"level\d_block(\d+)_layer(\d+)_transition", name) for name in layers]
    return (
        max((int(match[1]) for match in exits if match), default=0),
        {(int(match[1]), int(match[2])) for match in transitions if match},
        2 if "stem_pool" in layers else 0,
    )
