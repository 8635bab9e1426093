"""Writes the files that describe the models without Keras: `index.json`, `__init__.pyi` and `families.pyi`.

    python -m kapps._index

Run it after a family's table changed. A test compares the files with the tables.
"""

import ast
import dataclasses
import importlib
import inspect
import json
import pathlib
import pkgutil
import sys

import kapps
from kapps import _errors
from kapps._arguments import Parser
from kapps._files import write_atomically
from kapps._log_lines import without_log_lines
from kapps.cards import Card
from kapps.preprocessing import Preprocessing

FOLDERS = ("cnn", "recurrent", "attention")
HEADER = """# Written by `python -m kapps._index`. Do not edit.
import os
from collections.abc import Callable, Sequence
from typing import Literal

import keras
"""


def family_functions_and_builders() -> tuple[list, list]:
    """Returns the family functions and the builders, in the order of the files and their tables."""
    functions, builders = {}, {}
    for folder in FOLDERS:
        package = importlib.import_module(f"kapps.{folder}")
        for info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"kapps.{folder}.{info.name}")
            for value in vars(module).values():
                if getattr(value, "__module__", None) != module.__name__:
                    continue
                if hasattr(value, "builder"):
                    (builders if value.card else functions)[value.__name__] = value
    return list(functions.values()), list(builders.values())


def files() -> dict[str, str]:
    """Returns {file name: text} of the written files."""
    functions, builders = family_functions_and_builders()
    return {
        "index.json": index(functions, builders),
        "__init__.pyi": package_stub(builders),
        "families.pyi": families_stub(functions),
    }


def index(functions, builders) -> str:
    """Returns a JSON object with the modules of the family functions and the cards, one card a line."""
    families = {function.__name__: function.__module__ for function in functions}
    rows = ",\n".join(json.dumps(card_row(builder.card)) for builder in builders)
    return f'{{"families": {json.dumps(families, indent=1)},\n"cards": [\n{rows}\n]}}\n'


def card_row(card: Card | Preprocessing) -> dict:
    """Returns a card as a dictionary of JSON's types, without the fields that have their default."""
    row = {}
    for field in dataclasses.fields(card):
        value = getattr(card, field.name)
        if value != field.default:
            row[field.name] = card_row(value) if isinstance(value, Preprocessing) else value
    return row


def package_stub(builders) -> str:
    """Returns the stub of `kapps`: imports of the functions and modules, and the signatures of the builders."""
    imports = [
        f"from .{module} import {name} as {name}"
        for module, names in kapps.FUNCTIONS.items()
        for name in names
    ]
    imports += [f"from . import {name} as {name}" for name in kapps.SUBMODULES]
    lines = [HEADER, *imports, "", "__version__: str", "", *map(stub, builders)]
    return "\n".join(lines) + "\n"


def families_stub(functions) -> str:
    """Returns the stub of `kapps.families`: the signatures of the family functions."""
    return "\n".join([HEADER, *map(stub, functions)]) + "\n"


def stub(function) -> str:
    """Returns the definition of a function as a stub has it."""
    parameters, keyword_only = [], False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            parameters.append("*")
            keyword_only = True
        parameters.append(stub_parameter(parameter))
    summary = " ".join(line.strip() for line in function.builder.summary().splitlines() if line)
    return f"def {function.__name__}({', '.join(parameters)}) -> keras.Model:\n    {json.dumps(summary)}"


def stub_parameter(parameter) -> str:
    """Returns a parameter as a stub has it; a default that is not a literal is `...`."""
    text, annotated = parameter.name, parameter.annotation is not parameter.empty
    if annotated:
        text += f": {parameter.annotation}"
    if parameter.default is parameter.empty:
        return text
    default = repr(parameter.default)
    try:
        ast.literal_eval(default)
    except (ValueError, SyntaxError):
        default = "..."
    return f"{text} = {default}" if annotated else f"{text}={default}"


def write() -> None:
    """Writes the files."""
    folder = pathlib.Path(kapps.__file__).parent
    with without_log_lines():
        texts = files()
    for name, text in texts.items():
        with write_atomically(folder / name) as path:
            path.write_text(text, encoding="utf-8")
        print(f"wrote {folder / name}")


def main() -> int:
    """Runs the command line, and returns the exit status."""
    parser = Parser(prog="python -m kapps._index", description=__doc__)
    parser.parse_args()
    return _errors.run(write, parser.prog)


if __name__ == "__main__":
    sys.exit(main())
