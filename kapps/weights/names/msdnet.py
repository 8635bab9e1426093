"""MSDNet."""

import functools
import re

PARTS = {"conv1": "0", "conv1_bn": "1", "conv2": "3", "conv2_bn": "4"}


def kalviny(layer: str, layers: list[str]) -> str:
    """Names as in github.com/kalviny/MSDNet-PyTorch, the authors' code."""
    exits, transitions, finest = _structure(tuple(layers))
    norm = int(layer.endswith("_bn"))
    classifier = re.fullmatch(r"(?:exit(\d+)|head)_(?:conv(\d)\w*|logits)", layer)
    if classifier:
        number, conv = classifier.groups()
        name = f"classifier.{int(number or exits) - 1}"
        return f"{name}.m.{int(conv) - 1}.net.{norm}" if conv else f"{name}.linear"
    first = re.fullmatch(r"(?:stem|level(\d))_conv(?:_bn)?", layer)
    if first:
        if first[1] is None:
            return f"blocks.0.0.layers.0.{'net.' if finest == 0 else ''}{norm}"
        return f"blocks.0.0.layers.{int(first[1]) - finest}.net.{norm}"
    level, block, number, part = re.fullmatch(
        r"level(\d)_block(\d+)_layer(\d+)_(\w+)", layer
    ).groups()
    block, number = int(block), int(number)
    # Every transition follows a layer without the finest scale of the layers before.
    scale = int(level) - finest - sum(place <= (block, number) for place in transitions)
    # The stem is the first module of the first block, and a transition is a module of its own.
    module = number - (block > 1) + sum((block, i) in transitions for i in range(1, number))
    if part.startswith("transition"):
        return f"blocks.{block - 1}.{module + 1}.m.{scale}.net.{norm}"
    path, _, part = part.partition("_")
    return f"blocks.{block - 1}.{module}.layers.{scale}.conv_{path}.net.{PARTS[part]}"


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
