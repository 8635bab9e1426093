"""What a network on images records of itself: its builder, its first weights, and the preprocessing of its images.

The record is the name of a `keras.layers.Identity` at the start of the network, for example
`stem_preprocessing__resnet18__random__224x224__0p875__bilinear__imagenet`. Keras keeps names of layers in every file
and every copy of a model, also of a part of it, and loads them without kapps. Attributes of a model are not kept.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence

from kapps.preprocessing import Preprocessing, from_text

LAYER = "stem_preprocessing"
RANDOM = "random"
"""The weights of a network that was initialised randomly."""
FILE = "file"
"""The weights of a network that were loaded from a file that is not published."""
UNKNOWN = "other"
"""The builder and the weights of a network that kapps did not build."""
_EXIT = re.compile(r"(?:.*_)?exit\d+_predictions")
"""The name of an output of an exit before the last, with or without a prefix."""
_NAME = re.compile(rf"(.*?){LAYER}__([a-z0-9_]+?)__([a-z0-9_]+?)__(\d+x\d+__.*)")


@dataclasses.dataclass(frozen=True)
class ModelRecord:
    """What a network on images records of itself.

    Args:
        builder: the builder's or family function's name; "other" for a network that kapps did not build.
        weights: the weights that it was built with: the library's name of pretrained weights, such as
            "torchvision_resnet18_weights_imagenet1k_v1"; "random"; "file"; or "other".
        preprocessing: of its images.
        prefix: what the names of the network's layers begin with, such as "left_"; "" by default.
    """

    builder: str
    weights: str
    preprocessing: Preprocessing
    prefix: str = ""

    def layer_name(self) -> str:
        """Returns the name of the layer that holds the record."""
        weights = re.sub(r"[^a-z0-9]+", "_", self.weights.lower()).strip("_")
        text = self.preprocessing.to_text()
        return f"{self.prefix}{LAYER}__{self.builder}__{weights}__{text}"


def parse_layer_name(name: str) -> ModelRecord | None:
    """Returns the record in a layer's name, or None if it holds none."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        return ModelRecord(match[2], match[3], from_text(match[4]), match[1])
    except ValueError:
        return None


def record_layers(model) -> list:
    """Returns the layers that hold a record, from the outermost model that has one.

    Args:
        model: a `keras.Model`.
    """
    models = [model]
    while models:
        layers = [layer for part in models for layer in getattr(part, "layers", ())]
        records = [layer for layer in layers if parse_layer_name(layer.name)]
        if records:
            return records
        models = [layer for layer in layers if hasattr(layer, "layers")]
    return []


def find_record(model) -> ModelRecord | None:
    """Returns the record of a model, or None if it has none or several that differ.

    Args:
        model: a `keras.Model`; it may contain the network.
    """
    records = {parse_layer_name(layer.name) for layer in record_layers(model)}
    if len(records) != 1:
        return None
    return records.pop()


def prefixes(model) -> list[str]:
    """Returns what the names of layers begin with in the networks that a model consists of, the longest first."""
    records = (parse_layer_name(layer.name) for layer in _all_layers(model))
    return sorted({record.prefix for record in records if record} - {""}, key=len, reverse=True)


def without_prefix(name: str, prefixes: list[str]) -> str:
    """Returns a layer's name as the builder gives it by default: "stem_conv" for "left_stem_conv"."""
    for prefix in prefixes:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def layer_at(model, name: str):
    """Returns the layer that a builder calls `name`, with or without a prefix, or None if there is none or several."""
    layers = {layer.name: layer for layer in model.layers}
    if name in layers:
        return layers[name]
    prefixed = [
        layer
        for key, layer in layers.items()
        if key.endswith(f"_{name}") and not _EXIT.fullmatch(key)
    ]
    return prefixed[0] if len(prefixed) == 1 else None


def main_output(names: Sequence[str]) -> int:
    """Returns the index of the output of a model that is its predictions: the one called so, else the first.

    Args:
        names: of the model's outputs, in order.
    """
    exits = [i for i, name in enumerate(names) if _EXIT.fullmatch(name)]
    main = [
        i for i, name in enumerate(names) if f"_{name}".endswith("_predictions") and i not in exits
    ]
    return main[0] if len(main) == 1 else 0


def exit_outputs(names: Sequence[str]) -> list[int]:
    """Returns the indices of the predictions of a network with several exits, the first exit first; [] for another.

    Args:
        names: of the model's outputs, in order.
    """
    exits = [i for i, name in enumerate(names) if _EXIT.fullmatch(name)]
    return [*exits, main_output(names)] if exits else []


def _all_layers(model) -> Iterator:
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from _all_layers(layer)


def record_preprocessing(model, preprocessing: Preprocessing) -> None:
    """Changes in place what a network that kapps built records as the preprocessing of its images.

    Args:
        model: a `keras.Model` of a builder.
        preprocessing: that the network is trained with.
    """
    for layer in record_layers(model):
        record = parse_layer_name(layer.name)
        layer.name = dataclasses.replace(record, preprocessing=preprocessing).layer_name()


def first_padded(model) -> str | None:
    """Returns the name of the model's first layer with strides that is padded, or None.

    Args:
        model: a `keras.Model` of a builder.
    """
    names = {layer.name for layer in model.layers}
    for layer in model.layers:
        if max(getattr(layer, "strides", None) or (1,)) == 1:
            continue
        window = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", (1,))
        if f"{layer.name}_pad" in names or (max(window) > 1 and layer.padding == "same"):
            return layer.name
    return None


def padding_of(model) -> str | None:
    """Returns the padding of a model's layers with strides: "symmetric", "same", or None if none is padded.

    Args:
        model: a `keras.Model` of a builder.
    """
    layer = first_padded(model)
    if layer is None:
        return None
    padded = any(other.name == f"{layer}_pad" for other in model.layers)
    return "symmetric" if padded else "same"
