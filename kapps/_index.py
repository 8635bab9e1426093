"""Writes the files that describe the models without Keras: `index.json`, `__init__.pyi` and `families.pyi`.

    python -m kapps._index

Run it after a family's table changed. A test compares the files with the tables.
"""

import importlib
import json
import pathlib
import pkgutil

import kapps
from kapps import cards
from kapps._files import write_atomically

FOLDERS = ("cnn", "recurrent", "attention")
HEADER = "# Written by `python -m kapps._index`. Do not edit.\n"


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
    rows = ",\n".join(json.dumps(cards.as_row(builder.card)) for builder in builders)
    return f'{{"families": {json.dumps(families, indent=1)},\n"cards": [\n{rows}\n]}}\n'


def package_stub(builders) -> str:
    lines = [
        _import(module.removeprefix("kapps."), names)
        for module, names in by_module(builders).items()
    ]
    lines += [_import(module, names) for module, names in kapps.FUNCTIONS.items()]
    lines += [f"from . import {name} as {name}\n" for name in kapps.SUBMODULES]
    return HEADER + "".join(lines)


def by_module(builders):
    modules = {}
    for builder in builders:
        modules.setdefault(builder.__module__, []).append(builder.__name__)
    return modules


def families_stub(functions) -> str:
    names = [(function.__module__, function.__name__) for function in functions]
    return HEADER + "".join(f"from {module} import body as {name}\n" for module, name in names)


def _import(module, names):
    return "".join(f"from .{module} import {name} as {name}\n" for name in names)


def main() -> None:
    """Writes the files."""
    folder = pathlib.Path(kapps.__file__).parent
    for name, text in files().items():
        with write_atomically(folder / name) as path:
            path.write_text(text)
        print(f"wrote {folder / name}")


if __name__ == "__main__":
    main()
