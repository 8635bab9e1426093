"""Pretrained weights that are published with a hash, from `weights/manifest.csv`, without Keras."""

import csv
import dataclasses
import fractions
import functools
from importlib import resources

from kapps.preprocessing import Preprocessing


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
        padding: padding of the network that the weights were trained with, as on the card.
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
    padding: str

    @property
    def file(self) -> str:
        """Name of the file: the last part of its address."""
        return self.url.rpartition("/")[2]

    def __str__(self) -> str:
        size = f", {self.megabytes:.1f} MB" if self.megabytes else ""
        top1 = f", top-1 {self.top1:.2f} %" if self.top1 else ""
        return f"{self.source}'s {self.file}{size}{top1}, {self.licence}"


@functools.cache
def checkpoints() -> dict[str, Checkpoint]:
    """Returns the pretrained weights that `weights="imagenet"` downloads, by the builder's name."""
    text = resources.files("kapps").joinpath("weights/manifest.csv").read_text(encoding="utf-8")
    return {row["name"]: _checkpoint(row) for row in csv.DictReader(text.splitlines())}


def _checkpoint(row: dict[str, str]) -> Checkpoint:
    texts = ("name", "source", "checkpoint", "url", "digest", "licence", "stated", "padding")
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
