"""Writes what must be known without Keras: `index.json` (the cards) and `__init__.pyi` (the public names).

    python -m kapps._index

Run it after a family's table changed; a test compares the two files with the tables.
"""

import dataclasses
import importlib
import json
import pathlib
import pkgutil

import kapps
from kapps._files import write_atomically

FOLDERS = ("cnn", "recurrent", "attention")
PUBLIC = {
    "analysis": ("profile",),
    "generation": ("generate", "translate", "translator"),
    "visualize.attention_weights": ("alignment", "attention_weights"),
    "cards": ("Card", "Preprocessing", "card", "list_models"),
    "layers": ("to_keras_layers",),
    "layers.recurrent_cells": (
        "CoupledLSTMCell",
        "GRUCell",
        "LearnedState",
        "MultiplicativeLSTMCell",
        "PeepholeLSTMCell",
    ),
    "generation.ctc_decoding": ("ctc_labels", "label_error_rate"),
    "layers.cudnn": ("why_not_cudnn",),
    "builders": ("pyramid_outputs",),
}
SUBMODULES = (
    "analysis",
    "attention",
    "cards",
    "data",
    "export",
    "generation",
    "heads",
    "layers",
    "recurrent",
    "training",
    "visualize",
    "weights",
)
HEADER = "# Written by `python -m kapps._index`. Do not edit.\n"


def builders():
    """Returns {module: [builder, ...]}: families and their rows, in the order of the files and tables."""
    found = {}
    for folder in FOLDERS:
        package = importlib.import_module(f"kapps.{folder}")
        for info in pkgutil.iter_modules(package.__path__):
            name = f"{folder}.{info.name}"
            values = vars(importlib.import_module(f"kapps.{name}")).items()
            # A body is named as its file, and in it `body`: it is no name of the package.
            found[name] = [
                value
                for key, value in values
                if hasattr(value, "builder") and key == value.__name__
            ]
    return found


def files():
    """Returns {file name: text} of the two written files."""
    cards, lines = [], [HEADER]
    for module, members in builders().items():
        cards += [dataclasses.asdict(builder.card) for builder in members if builder.card]
        lines += [_import(module, [builder.__name__ for builder in members])]
    lines += [_import(module, names) for module, names in PUBLIC.items()]
    lines += [f"from . import {name} as {name}\n" for name in SUBMODULES]
    index = json.dumps({"cards": cards}, indent=1) + "\n"
    return {"index.json": index, "__init__.pyi": "".join(lines)}


def _import(module, names):
    return "".join(f"from .{module} import {name} as {name}\n" for name in names)


def main():
    """Writes both files, each aside first."""
    folder = pathlib.Path(kapps.__file__).parent
    for name, text in files().items():
        with write_atomically(folder / name) as path:
            path.write_text(text)
        print(f"wrote {folder / name}")


if __name__ == "__main__":
    main()
