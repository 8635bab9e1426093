"""The facts of each builder that come from elsewhere: `tests/reference/models.csv`, one line a builder.

Columns: `name`; `params` (trainable), `total` and `macs`, and the `source` of these numbers; the name of the same
network in torchvision, timm, keras.applications and pytorchcv, where one has it (a timm name with a tag names
pretrained weights); `sizes`, the heights and widths in pixels at which the logits are compared with those libraries, if
they are.
"""

import csv
import functools
import pathlib

from kapps import cards

REFERENCE = pathlib.Path(__file__).parent / "reference"
LIBRARIES = ("torchvision", "timm", "keras", "pytorchcv")


@functools.cache
def rows():
    """Returns the lines of models.csv: {builder's name: {column: text}}."""
    with open(REFERENCE / "models.csv", newline="", encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def counts():
    """Returns {name: {"trainable": parameters, "total": parameters, "macs": multiply-accumulates or None}}."""
    return {
        name: {
            "trainable": int(row["params"]),
            "total": int(row["total"]),
            "macs": int(row["macs"]) if row["macs"] else None,
        }
        for name, row in rows().items()
    }


def peers(libraries=LIBRARIES):
    """Returns the networks to compare with other libraries: [(library, name there, builder's name, sizes), ...]."""
    return [
        (library, row[library], name, row["sizes"])
        for name, row in rows().items()
        for library in libraries
        if row["sizes"] and row[library]
    ]


def smallest(candidates):
    """Returns the values of the smallest builder of each family and library.

    Args:
        candidates: [(builder's name, library, value), ...].
    """
    values = {}
    for name, library, value in sorted(candidates, key=lambda row: cards.card(row[0]).params):
        values.setdefault((cards.card(name).family, library), value)
    return list(values.values())
