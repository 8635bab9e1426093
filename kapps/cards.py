"""Cards: the facts of each model that are available without building it and without Keras.

The cards are read from `index.json`, which `python -m kapps._index` writes from the families' tables.
"""

import csv
import dataclasses
import difflib
import fnmatch
import fractions
import functools
import json
import pathlib
import re
from importlib import resources


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of images: resize, centre crop, then `(pixels * scale - mean) / std`.

    It belongs to the weights and is not part of the model: the input pipeline applies it, and an exported file
    contains its arithmetic.

    Args:
        size: (height, width) of the network's input, in pixels.
        crop: fraction of the image's shorter side that the evaluation crop keeps, in (0, 1].
        interpolation: "bilinear", "bicubic" or "nearest"; antialiased if the image shrinks.
        scale: factor on pixels in [0, 255], applied before mean and std.
        mean: one value for each channel (red, green, blue), after `scale`.
        std: one value for each channel, after `scale`.
    """

    size: tuple[int, int] = (224, 224)
    crop: float = 0.875
    interpolation: str = "bilinear"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def at(self, size: tuple[int, int]) -> "Preprocessing":
        """Returns the same preprocessing for another (height, width). Images up to 64 pixels are not cropped."""
        return dataclasses.replace(self, size=size, crop=1.0 if max(size) <= 64 else self.crop)

    def channels(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns mean and std of each of `channels` channels: averages, repeated, unless there are 3."""
        if len(self.mean) == channels:
            return self.mean, self.std
        return tuple((sum(values) / len(values),) * channels for values in (self.mean, self.std))


IMAGENET = Preprocessing()
"""Preprocessing of torchvision's and timm's ImageNet weights: resize to 256, crop to 224, channel mean and std."""

INCEPTION = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""Pixels from -1 to 1: preprocessing of the Inception networks and of their authors' later networks."""

CIFAR10 = Preprocessing(
    size=(32, 32), crop=1.0, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)
)
"""Preprocessing of CIFAR-10: no crop, its channel mean and std."""


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
            sequences, (steps,) of tokens, (steps, height, width, channels) of frames. `macs` refers to it.
        classes: default width of the prediction layer; None for a network without one.
        minimum: smallest height and width that the builder allows, in pixels.
        preprocessing: preprocessing of images; None for sequences.
        any_size: whether height and width, or the number of steps, may be None with the classifier.
        macs: multiply-accumulates of convolutions and dense layers on one image, from the paper or from a second
            implementation; None if there is no source.
        kind: kind of input, one of `KINDS`.
        vocabulary: default number of tokens; None for other kinds of input.
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

    @property
    def year(self) -> int | None:
        """Year of the paper: from the first two digits of an arXiv number, or from the citation."""
        arxiv = re.search(r"(?:arXiv:)?\b(\d\d)\d\d\.\d{4,5}\b", self.paper)
        if arxiv:
            return 2000 + int(arxiv[1])
        years = re.findall(r"\b(?:19|20)\d\d\b", self.paper)
        return int(years[-1]) if years else None


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Pretrained weights of a builder: a row of `weights/manifest.csv`, which `tools/weights.py` writes.

    Args:
        name: the builder's name.
        source: the library that publishes the weights: "torchvision", "timm" or "keras".
        checkpoint: name of the weights in that library.
        url: address of the file.
        digest: the publisher's hash: "sha256:" and its first digits, or "md5:" and all digits.
        megabytes: size of the file in units of 2**20 bytes, to three decimals; None if not published.
        top1: published accuracy on ImageNet's validation images, in percent; None if not published.
        licence: SPDX identifier.
        stated: whether the licence is stated for the "weights" or only for the "package".
        preprocessing: preprocessing that the weights need.
    """

    name: str
    source: str
    checkpoint: str
    url: str
    digest: str
    megabytes: float | None
    top1: float | None
    licence: str
    stated: str
    preprocessing: Preprocessing

    @property
    def file(self) -> str:
        """Name of the file: the last part of its address."""
        return self.url.rpartition("/")[2]

    def __str__(self) -> str:
        size = f", {self.megabytes:.1f} MB" if self.megabytes else ""
        top1 = f", top-1 {self.top1:.2f} %" if self.top1 else ""
        return f"{self.source}'s {self.file}{size}{top1}, {self.licence}"


def nearest(word: str, words) -> str:
    """Returns " Did you mean a or b?" for the nearest of `words`, or "" if none is near."""
    close = difflib.get_close_matches(word, words, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(close)}?" if close else ""


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


@functools.cache
def checkpoints() -> dict[str, Checkpoint]:
    """Returns the pretrained weights that `weights="imagenet"` downloads, by the builder's name."""
    text = resources.files("kapps").joinpath("weights/manifest.csv").read_text(encoding="utf-8")
    return {row["name"]: _checkpoint(row) for row in csv.DictReader(text.splitlines())}


def _checkpoint(row: dict[str, str]) -> Checkpoint:
    texts = ("name", "source", "checkpoint", "url", "digest", "licence", "stated")
    fields = {key: row[key] for key in texts}
    fields |= {key: float(row[key]) if row[key] else None for key in ("megabytes", "top1")}
    preprocessing = Preprocessing(
        size=(int(row["size"]),) * 2,
        crop=float(fractions.Fraction(row["crop"])),
        interpolation=row["interpolation"],
        scale=float(fractions.Fraction(row["scale"])),
        mean=tuple(map(float, row["mean"].split())),
        std=tuple(map(float, row["std"].split())),
    )
    return Checkpoint(**fields, preprocessing=preprocessing)


def describe_checkpoint(name: str) -> str:
    """Returns one line on the pretrained weights of a builder, for `kapps show`."""
    return str(checkpoints().get(name) or "none are published with a hash; weights= takes a file")


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
        model: a builder, its name such as "resnext50", or a `keras.Model` whose `name` is a builder's.
        weights: as for the builder. With "imagenet", or the path of a file of pretrained weights, the card has the
            preprocessing of these weights; with None or another file it has the family's.

    Raises:
        ValueError: if there is no builder of that name, for "imagenet" if there are no pretrained weights, and for
            weights that are not the path of a file.
    """
    name = model if isinstance(model, str) else getattr(model, "__name__", None) or model.name
    if name not in _index():
        raise ValueError(
            f"no model is named {name!r}.{nearest(name, _index())} `kapps.list_models()` returns all names"
        )
    result = _index()[name]
    if weights == "imagenet":
        return dataclasses.replace(result, preprocessing=get_checkpoint(name).preprocessing)
    if weights and not pathlib.PurePath(weights).suffix:
        raise ValueError(
            f"{name}: weights={weights!r} is not the path of a weights file.{nearest(str(weights), ['imagenet'])}"
        )
    row = checkpoints().get(name)
    if weights is None or row is None or pathlib.PurePath(weights).name != row.file:
        return result
    return dataclasses.replace(result, preprocessing=row.preprocessing)


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
