"""Cards: the facts of each model that are available without building it and without Keras.

The cards are read from `index.json`, which `python -m kapps._index` writes from the families' tables.
"""

import dataclasses
import fnmatch
import functools
import json
import os
import pathlib
import re
from importlib import resources

from kapps._checked import check_argument
from kapps._names import attribute_finder, nearest
from kapps._values import short
from kapps.model_record import find_record, padding_of
from kapps.preprocessing import IMAGENET, Preprocessing
from kapps.pretrained import Checkpoint, checkpoints

KINDS = ("image", "sequence", "tokens", "frames")
"""The kinds of input of a network."""


@dataclasses.dataclass(frozen=True)
class Card:
    """One row of a family's table.

    Args:
        name: the builder's name, as in `from kapps import resnet50`.
        family: the family's name, for example "resnet".
        module: the builder's module.
        paper: arXiv number or citation of the paper.
        params: trainable parameters with `classes` classes, from the paper or from a second implementation.
        input_shape: default input shape without the batch: (height, width, channels) of images, (steps, features) of
            sequences, (steps,) or (sentences, words) of tokens, (steps, height, width, channels) of frames. `macs`
            refers to it.
        classes: default width of the prediction layer; None for a network without one.
        minimum: smallest height and width that the builder allows, in pixels.
        preprocessing: preprocessing of images; None for sequences.
        any_size: whether height and width, or the number of steps, may be None with the classifier.
        macs: multiply-accumulates of convolutions and dense layers on one image, from the paper or from a second
            implementation; None if there is no source.
        kind: kind of input, one of `KINDS`.
        vocabulary: default number of tokens; None for other kinds of input.
        padding: padding of convolutions and poolings with strides in the authors' code: "symmetric" (on every side),
            "same" (TensorFlow's SAME) or "valid" (none); None for a network on sequences. The builder's argument
            `padding` chooses between the first two.
    """

    name: str
    family: str
    module: str
    paper: str
    params: int
    input_shape: tuple[int | None, ...] = (224, 224, 3)
    classes: int | None = 1000
    minimum: int = 32
    preprocessing: Preprocessing | None = IMAGENET
    any_size: bool = True
    macs: int | None = None
    kind: str = "image"
    vocabulary: int | None = None
    padding: str | None = None

    @property
    def year(self) -> int | None:
        """Year of the paper: from the first two digits of an arXiv number, or from the citation."""
        arxiv = re.search(r"(?:arXiv:)?\b(\d\d)\d\d\.\d{4,5}\b", self.paper)
        if arxiv:
            return 2000 + int(arxiv[1])
        years = re.findall(r"\b(?:19|20)\d\d\b", self.paper)
        return int(years[-1]) if years else None


@functools.cache
def _file() -> dict:
    return json.loads(resources.files("kapps").joinpath("index.json").read_text(encoding="utf-8"))


@functools.cache
def _index() -> dict[str, Card]:
    return {row["name"]: _card(row) for row in _file()["cards"]}


def _card(row: dict) -> Card:
    fields = _tuples(row)
    if fields.get("preprocessing"):
        fields["preprocessing"] = Preprocessing(**_tuples(fields["preprocessing"]))
    return Card(**fields)


def _tuples(row: dict) -> dict:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def builder_modules() -> dict[str, list[str]]:
    """Returns {module relative to kapps: names of its builders}, for example {"cnn.lenet": ["lenet5"]}."""
    modules = {}
    for row in _file()["cards"]:
        modules.setdefault(row["module"].removeprefix("kapps."), []).append(row["name"])
    return modules


def family_modules() -> dict[str, str]:
    """Returns the module of each family function, for example {"resnet": "kapps.cnn.resnet"}."""
    return _file()["families"]


def get_checkpoint(name: str) -> Checkpoint:
    """Returns the pretrained weights of a builder.

    Raises:
        ValueError: if there are none; the message names the builders of the family that have some.
    """
    if name in checkpoints():
        return checkpoints()[name]
    family = _index()[name].family if name in _index() else name
    others = [
        other for other in checkpoints() if other in _index() and _index()[other].family == family
    ]
    raise ValueError(
        f"{name}: no weights are published with a hash to verify them"
        + (f"; of its family, {', '.join(others)} have some" if others else ", nor for its family")
        + "; weights= takes a file too"
    )


def list_models(pattern: str = "*", kind: str | None = None) -> list[str]:
    """Returns the names of the builders, in the order of the families' tables.

    Args:
        pattern: shell pattern, such as "resn*".
        kind: kind of input, one of `KINDS`; None for all.
    """
    if kind not in (None, *KINDS):
        raise ValueError(f"kind={short(kind)} is not one of {', '.join(KINDS)}, or None for all")
    check_argument("list_models", "pattern", pattern, str)
    names = fnmatch.filter(_index(), pattern)
    return [name for name in names if kind in (None, _index()[name].kind)]


def smallest(by: str = "family", kind: str = "image") -> list[str]:
    """Returns the builder with the fewest parameters of each family, in the order of the families' tables.

    Args:
        by: "family", or "module" for one builder of each file.
        kind: as for `list_models`.
    """
    groups = {}
    for name in list_models(kind=kind):
        groups.setdefault(getattr(card(name), by), []).append(name)
    return [min(names, key=lambda name: card(name).params) for names in groups.values()]


def card(model, weights: str | None = None) -> Card:
    """Returns the card of a builder.

    Args:
        model: a builder, its name such as "resnext50", or a `keras.Model` of a builder. A model on images records its
            builder and its preprocessing, which the card then has; other models are found by their name.
        weights: as for the builder. With "imagenet", or the path of a file of pretrained weights, the card has the
            preprocessing and padding of these weights; with None or another file it has the family's.

    Raises:
        ValueError: if there is no builder of that name, for "imagenet" if there are no pretrained weights, and for
            weights that are not the path of a file.
    """
    if not isinstance(model, str) and hasattr(model, "layers"):
        return _card_of_model(model)
    name = model if isinstance(model, str) else getattr(model, "__name__", None) or short(model)
    if name not in _index():
        raise ValueError(
            f"no model is named {name!r}.{nearest(name, _index())} `kapps.list_models()` returns all names"
        )
    result = _index()[name]
    if weights == "imagenet":
        return _with_weights(result, get_checkpoint(name))
    check_argument("card", "weights", weights, str | os.PathLike | None)
    if weights is not None and not pathlib.PurePath(weights).suffix:
        raise ValueError(
            f"{name}: weights={weights!r} is not the path of a weights file.{nearest(str(weights), ['imagenet'])}"
        )
    row = checkpoints().get(name)
    if weights is None or row is None or pathlib.PurePath(weights).name != row.file:
        return result
    return _with_weights(result, row)


def _with_weights(card, checkpoint):
    return dataclasses.replace(
        card, preprocessing=checkpoint.preprocessing, padding=checkpoint.padding
    )


def _card_of_model(model) -> Card:
    """Returns the card of a `keras.Model`: that of the builder that it records, with the preprocessing it records."""
    record = find_record(model)
    if record is not None and record.builder in _index():
        result = _index()[record.builder]
        padding = padding_of(model) or result.padding
        return dataclasses.replace(result, preprocessing=record.preprocessing, padding=padding)
    if record is None and model.name in _index() and _index()[model.name].kind != "image":
        return _index()[model.name]
    made = "" if record is None else f" It was made by kapps.families.{record.builder}"
    if record is not None and record.builder not in family_modules():
        made = ""
    raise ValueError(
        f"{model.name!r} does not record that a builder of kapps.list_models() made it.{made} Pass a builder's name"
    )


def image_card(model, weights: str | None = None) -> Card:
    """Returns a card as `card` does, of a network on images.

    Raises:
        ValueError: as for `card`, and for a network on another kind of input.
    """
    result = card(model, weights)
    if result.kind != "image":
        raise ValueError(
            f"{result.name} is a network on {result.kind}, not on images; `kapps list --kind=image` lists those"
        )
    return result


__getattr__ = attribute_finder(__name__)
