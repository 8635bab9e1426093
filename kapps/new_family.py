"""Writes the skeleton of a new family of image classifiers: four places to fill in.

    python -m kapps.new_family convnext

writes, in a checkout of kapps,

    kapps/cnn/convnext.py              the family: blocks, body and table
    kapps/weights/names/convnext.py    its layers' names in other libraries
    tests/cnn/test_convnext.py         its test
    tests/reference/models.csv         one line: parameters and multiply-accumulates, with their source

and the index. The skeleton builds. Its test fails until the parameters have a source.
"""

import csv
import functools
import importlib
import keyword
import pathlib
import re
import sys
from collections.abc import Sequence

import kapps
from kapps import _errors, _index, cards
from kapps._arguments import Parser
from kapps._files import write_atomically

FAMILY = '''"""TITLE: say in one line what is new in it.

[1] Author YEAR, arXiv:0000.00000

Departures from the paper:
- None.
"""

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.layers import conv_bn, max_pool

AUTHOR = "arXiv:0000.00000"


def block(x, filters, *, strides, name):
    """Two 3x3 convolutions and a shortcut, which projects only if the shape changes."""
    y = conv_bn(x, filters, 3, strides=strides, activation="relu", name=f"{name}_conv1")
    y = conv_bn(y, filters, 3, name=f"{name}_conv2")
    if strides > 1 or x.shape[-1] != filters:
        x = conv_bn(x, filters, 1, strides=strides, name=f"{name}_shortcut")
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation("relu", name=f"{name}_out")(x)


@image_family(minimum=32)
def body(x, *, depths, filters=64):
    """TITLE with `depths` blocks at levels 2, 3, 4 ..., `filters` wide at level 2."""
    x = conv_bn(x, filters, 7, strides=2, activation="relu", name="stem_conv")
    x = max_pool(x, name="stem_pool")
    for level, strides, name in levels(depths):
        x = block(x, filters * 2 ** (level - 2), strides=strides, name=name)
    return x


# fmt: off
#                     blocks at levels 2 to 5       trainable parameters and multiply-accumulates
NAME = variant(body, "NAME", depths=(1, 1, 1, 1), paper=AUTHOR, params=0, macs=0)
# fmt: on
'''
WEIGHT_MAP = '''"""TITLE: its layers' names in other libraries."""

import re


def timm(layer: str) -> str:
    """Returns a layer's name in `timm.models.NAME`, such as "stages.0.blocks.1.conv1"."""
    level, number, rest = re.fullmatch(r"level(\\d)_block(\\d+)_(\\w+)", layer).groups()
    return f"stages.{int(level) - 2}.blocks.{int(number) - 1}.{rest}"
'''
TEST = '''"""TITLE: what its paper says of it."""

import graphs
import pytest

from kapps import cards

FIGURES = (
    "fill in params and macs, from the paper or a second implementation, "
    "in kapps/cnn/NAME.py and, with their source, in tests/reference/models.csv; "
    "then run python -m kapps._index"
)
BUILDERS = [name for name in cards.list_models() if cards.card(name).family == "NAME"]


@pytest.mark.parametrize("name", BUILDERS)
def test_parameters_and_multiply_accumulates_have_a_source(name):
    card = cards.card(name)
    assert card.params and card.macs and "0000.00000" not in card.paper, FIGURES


def test_resolution_of_the_last_level():
    model = graphs.graph("NAME", include_top=False, input_shape=(64, 96, 3)).model
    assert model.output.shape[1:3] == (2, 3)
'''


def check_name(name: str) -> None:
    """Raises ValueError for a name that is not a module's name or that is taken."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise ValueError(
            f"{name!r} is not a family's name: lower-case letters, digits and underscores, such as mobilenet_v2"
        )
    if name in cards.family_modules():
        raise ValueError(f"there is a family {name!r} already, in {cards.family_modules()[name]}")
    if name in kapps.__all__:
        raise ValueError(f"{name!r} is a public name of kapps already")


def write_family(name: str, root: pathlib.Path) -> list[pathlib.Path]:
    """Writes the skeleton of a family.

    Args:
        name: the family's name, which is the paper's or the field's: "convnext".
        root: directory of the checkout.

    Returns:
        The paths of the new files, and of models.csv.

    Raises:
        ValueError: for a name that is not allowed or taken, for a file that exists, and outside of a checkout.
    """
    check_name(name)
    title = name.replace("_", " ").capitalize()
    texts = {
        root / "kapps" / "cnn" / f"{name}.py": FAMILY,
        root / "kapps" / "weights" / "names" / f"{name}.py": WEIGHT_MAP,
        root / "tests" / "cnn" / f"test_{name}.py": TEST,
    }
    table = root / "tests" / "reference" / "models.csv"
    if not table.is_file():
        raise ValueError(f"{root} is not a checkout of kapps: it has no {table.relative_to(root)}")
    for path in texts:
        if path.exists():
            raise ValueError(f"{path} exists already")
    for path, text in texts.items():
        path.write_text(text.replace("NAME", name).replace("TITLE", title), encoding="utf-8")
    lines = table.read_text(encoding="utf-8").splitlines()
    columns = next(csv.reader(lines[:1]))
    row = dict(name=name, params=0, total=0, macs=0, source="fill in")
    lines.append(",".join(str(row.get(column, "")) for column in columns))
    with write_atomically(table) as path:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [*texts, table]


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the skeleton of the family that the command line names; returns the exit status."""
    parser = Parser(prog="python -m kapps.new_family", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="the paper's or the field's name: convnext")
    name = parser.parse_args(arguments).name
    return _errors.run(functools.partial(_write, name), parser.prog)


def _write(name):
    root = pathlib.Path(kapps.__file__).parents[1]
    for path in write_family(name, root):
        print(f"wrote {path.relative_to(root)}")
    importlib.invalidate_caches()
    _index.write()


if __name__ == "__main__":
    sys.exit(main())
