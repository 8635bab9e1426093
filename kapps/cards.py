"""What is known of a model before it is built: its card.

A card is plain data read from `index.json`, which `python -m kapps._index` writes from the families' tables;
nothing here imports Keras, so listing and showing models is immediate.
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
    """How images become what a network is fed: resize, centre crop, then `(pixels * scale - mean) / std`.

    It belongs to the weights, not to the model: the input pipeline applies it in training and in evaluation,
    and an exported file holds the arithmetic part.

    Args:
        size: (height, width) in pixels of what the network is fed.
        crop: share of the image's shorter side that the evaluation crop keeps, in (0, 1].
        interpolation: "bilinear", "bicubic" or "nearest"; antialiased when an image shrinks.
        scale: factor on pixels in [0, 255], applied before mean and std.
        mean: one value a channel (red, green, blue), after `scale`.
        std: one value a channel, after `scale`.
    """

    size: tuple[int, int] = (224, 224)
    crop: float = 0.875
    interpolation: str = "bilinear"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def at(self, size: tuple[int, int]) -> "Preprocessing":
        """Returns the same for another size, (height, width) in pixels; up to 64 images are evaluated whole."""
        return dataclasses.replace(self, size=size, crop=1.0 if max(size) <= 64 else self.crop)

    def channels(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns mean and std for `channels` channels: as given where that fits, else their averages repeated."""
        if len(self.mean) == channels:
            return self.mean, self.std
        return tuple((sum(values) / len(values),) * channels for values in (self.mean, self.std))


IMAGENET = Preprocessing()
"""The preprocessing of torchvision's and timm's ImageNet weights: 256 px, centre 224, channel mean and std."""

INCEPTION = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""From -1 to 1, as the weights of the Inceptions and of their authors' later networks want images."""

CIFAR10 = Preprocessing(
    size=(32, 32), crop=1.0, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)
)
"""CIFAR-10's images as they are, with its channel mean and std."""


KINDS = ("image", "sequence", "tokens", "frames")
"""What goes into a network."""


@dataclasses.dataclass(frozen=True)
class Card:
    """One row of a family's table.

    Args:
        name: the builder's name, as in `from kapps import resnet50`.
        family: the body that the row is a member of, for example "resnet".
        module: where the builder lives.
        paper: the paper's arXiv number or citation.
        params: trainable parameters with `classes` classes, from the paper or from a second implementation.
        input_shape: (height, width, channels) that the figures speak of; of sequences (steps, features), of tokens
            (steps,), of frames (steps, height, width, channels).
        classes: width of the prediction layer by default; None where there is none.
        minimum: smallest height and width that builds, in pixels.
        preprocessing: what its images go through; None of sequences.
        any_size: whether height and width, or the number of steps, may be None with the classifier too.
        macs: multiply-accumulates of convolutions and dense layers on one image of `input_shape`, from the paper or
            from a second implementation; None where nobody gives them.
        kind: what goes in, of `KINDS`.
        vocabulary: how many tokens there are.
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
        """Of the paper: in an arXiv number the first two digits, in a citation the year that it has."""
        arxiv = re.search(r"(?:arXiv:)?\b(\d\d)\d\d\.\d{4,5}\b", self.paper)
        if arxiv:
            return 2000 + int(arxiv[1])
        years = re.findall(r"\b(?:19|20)\d\d\b", self.paper)
        return int(years[-1]) if years else None


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Published weights of a builder: a row of `weights/manifest.csv`, which `tools/weights.py` writes.

    Args:
        name: the builder's.
        source: the library that publishes them, "torchvision", "timm" or "keras".
        checkpoint: what they are called there.
        url: of the file.
        digest: the publisher's: "sha256:" and its first digits, or "md5:" and all of it.
        megabytes: of the file, 2**20 bytes each, to three decimals; None where the publisher does not say.
        top1: published accuracy on ImageNet's validation images, in percent; None where the publisher does not say.
        licence: as SPDX abbreviates it.
        stated: what the publisher says the licence of: "weights", or the "package" and nothing of its weights.
        preprocessing: what images go through for these weights.
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
        """The file's name, the last part of its address."""
        return self.url.rpartition("/")[2]

    def __str__(self) -> str:
        size = f", {self.megabytes:.1f} MB" if self.megabytes else ""
        top1 = f", top-1 {self.top1:.2f} %" if self.top1 else ""
        return f"{self.source}'s {self.file}{size}{top1}, {self.licence}"


def nearest(word: str, words) -> str:
    """Returns " Did you mean a or b?" for the nearest of `words`, or "" where none is near."""
    close = difflib.get_close_matches(word, words, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(close)}?" if close else ""


@functools.cache
def _file() -> dict:
    return json.loads(resources.files("kapps").joinpath("index.json").read_text())


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


def as_row(card: Card) -> dict:
    """Returns a card as a dictionary of JSON's types, without the fields that have their default."""
    row = {}
    for field in dataclasses.fields(card):
        value = getattr(card, field.name)
        if value == field.default:
            continue
        row[field.name] = as_row(value) if isinstance(value, Preprocessing) else value
    return row


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
    """Returns the published weights that `weights="imagenet"` fetches, by the builder's name."""
    text = resources.files("kapps").joinpath("weights/manifest.csv").read_text()
    return {row["name"]: _checkpoint(row) for row in csv.DictReader(text.splitlines())}


def _checkpoint(row: dict[str, str]) -> Checkpoint:
    taken = {key: row[key] for key in ("name", "source", "checkpoint", "url", "digest")}
    figures = {key: float(row[key]) if row[key] else None for key in ("megabytes", "top1")}
    preprocessing = Preprocessing(
        size=(int(row["size"]),) * 2,
        crop=float(fractions.Fraction(row["crop"])),
        interpolation=row["interpolation"],
        scale=float(fractions.Fraction(row["scale"])),
        mean=tuple(map(float, row["mean"].split())),
        std=tuple(map(float, row["std"].split())),
    )
    licence = {key: row[key] for key in ("licence", "stated")}
    return Checkpoint(**taken, **figures, **licence, preprocessing=preprocessing)


def described(name: str) -> str:
    """Returns one line on the published weights of a builder, for example for `python -m kapps show`."""
    return str(checkpoints().get(name) or "none are published with a hash; weights= takes a file")


def list_models(pattern: str = "*", kind: str | None = None) -> list[str]:
    """Returns the names of the builders that match a shell pattern such as "resn*", in the tables' order.

    Args:
        pattern: as a shell has it.
        kind: of what goes in, of `KINDS`; None for all.
    """
    found = fnmatch.filter(_index(), pattern)
    return [name for name in found if kind in (None, _index()[name].kind)]


def smallest(by: str = "family", kind: str = "image") -> list[str]:
    """Returns the builder with the fewest parameters of each family, in the tables' order.

    Args:
        by: "family", or "module" for one of each file of builders.
        kind: as for `list_models`.
    """
    found = {}
    for name in list_models(kind=kind):
        each = card(name)
        found[getattr(each, by)] = min(found.get(getattr(each, by), each), each, key=_parameters)
    return [each.name for each in found.values()]


def _parameters(known):
    return known.params


def card(model, weights: str | None = None) -> Card:
    """Returns the card of a builder, of a model that one built, or of a name.

    Args:
        model: a name such as "resnext50", a builder, or a `keras.Model` whose `name` is a builder's.
        weights: as the builder's: with "imagenet", or the path of a file of that name, the card has the preprocessing
            of the published weights; with None or another file that of the family.

    Raises:
        ValueError: for a name that no builder has, with the nearest ones, and for "imagenet" where there is nothing
            published.
    """
    name = model if isinstance(model, str) else getattr(model, "__name__", None) or model.name
    if name not in _index():
        raise ValueError(
            f"no model is named {name!r}.{nearest(name, _index())} `kapps.list_models()` names all of them"
        )
    known = _index()[name]
    if weights == "imagenet":
        return dataclasses.replace(known, preprocessing=published(name).preprocessing)
    row = checkpoints().get(name)
    if weights is None or row is None or pathlib.PurePath(weights).name != row.file:
        return known
    return dataclasses.replace(known, preprocessing=row.preprocessing)


def of_images(model, weights: str | None = None) -> Card:
    """Returns a card as `card` does, for what trains or checks networks on images.

    Raises:
        ValueError: for a network on anything else too.
    """
    known = card(model, weights)
    if known.kind != "image":
        raise ValueError(
            f"{known.name} reads {known.kind}, and this is for networks on images: `python -m kapps list "
            "--kind=image` names them"
        )
    return known


def published(name: str) -> Checkpoint:
    """Returns the published weights of a builder.

    Raises:
        ValueError: where there are none, with those of the family that have some.
    """
    if name in checkpoints():
        return checkpoints()[name]
    family = _index()[name].family if name in _index() else name
    others = [
        each for each in checkpoints() if each in _index() and _index()[each].family == family
    ]
    raise ValueError(
        f"{name}: no weights are published with a hash to check them by"
        + (f"; of its family, {', '.join(others)} have some" if others else ", nor for its family")
        + "; weights= takes a file too"
    )
