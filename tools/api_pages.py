"""Pages of the API: for each package its public names, whose docstrings mkdocstrings reads when the site is built."""

import ast
import functools
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = (
    "analysis", "cards", "data", "data.captions", "data.image", "data.segmentation", "data.sequence", "data.text",
    "data.translation", "early_exit", "export", "export.runtime", "generation", "generative", "heads", "layers",
    "preprocessing", "search", "search.design_space", "segmentation", "training", "visualize", "weights",
)  # fmt: skip
"""Packages and modules with a page, relative to kapps."""


INTRODUCTION = (
    "The builders of networks are on the pages of the [families](../families/index.md). They have the signature of "
    "Keras Applications. The command line is `kapps --help`."
)


@functools.cache
def parse(path: pathlib.Path) -> ast.Module:
    """Returns the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def absolute(node: ast.ImportFrom, package: str) -> str:
    """Returns the module of a `from ... import` statement of a package's `__init__`."""
    parts = package.split(".")
    parts = parts[: len(parts) - node.level + 1] if node.level else []
    return ".".join([*parts, node.module] if node.module else parts)


def is_module(name: str) -> bool:
    """Returns whether a dotted name is a module or a package of the project."""
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


@functools.cache
def definition(module: str, name: str) -> str:
    """Returns the dotted name of the module that defines a name which a module has, and the name."""
    package = ROOT / module.replace(".", "/")
    for file in (package / "__init__.py", package / "__init__.pyi"):
        for node in parse(file).body if file.exists() else ():
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    source = absolute(node, module)
                    if (alias.asname or alias.name) == name and source != module:
                        return definition(source, alias.name)
    return f"{module}.{name}"


def public_names(module: str) -> list[str]:
    """Returns the public names of a package or module: what its `__init__` imports, or the module defines."""
    path = ROOT / module.replace(".", "/")
    if path.is_dir():
        files = [path / "__init__.py", path / "__init__.pyi"]
        nodes = [node for file in files if file.exists() for node in parse(file).body]
        names = [
            alias.asname or alias.name
            for node in nodes
            if isinstance(node, ast.ImportFrom) and absolute(node, module).startswith("kapps")
            for alias in node.names
            if not is_module(f"{absolute(node, module)}.{alias.name}")
        ]
        names += [node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    else:
        nodes = parse(path.with_suffix(".py")).body
        names = [node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    names = {name for name in names if not name.startswith("_")} - {"attribute_finder"}
    return sorted(names, key=str.lower)


def is_constant(module: str, name: str) -> bool:
    """Returns whether a name is a constant, which has no page."""
    return name.isupper() or not summary(definition(module, name))


def summary(name: str) -> str:
    """Returns the first line of the docstring of a function or class, or "" if it has none."""
    module, _, name = name.rpartition(".")
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in parse(file).body:
        if getattr(node, "name", "") == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def first_line(module: str) -> str:
    """Returns the first line of a module's docstring."""
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return (ast.get_docstring(parse(file)) or "").splitlines()[0]


def path_of(package: str) -> str:
    """Returns the path of the page of a package."""
    return f"api/{package.replace('.', '_')}.md"


@functools.cache
def documented() -> dict[str, str]:
    """Returns {definition: package} of all public names: the innermost package that has the name."""
    names = {}
    for package in sorted(PACKAGES, key=lambda package: -package.count(".")):
        module = f"kapps.{package}"
        for name in public_names(module):
            if not is_constant(module, name):
                names.setdefault(definition(module, name), package)
    return names


def name_list(
    module: str, names: list[str], places: dict[str, str], page: str | None = None
) -> str:
    """Returns the docstrings of the definitions on a page, and links to those on other pages."""
    here, links = [], []
    for name in names:
        target = definition(module, name)
        package = places.get(target)
        if package is None or f"kapps.{package}" == (page or module):
            here.append(f"::: {target}")
        else:
            links.append(f"[`{name}`]({path_of(package).removeprefix('api/')}#{target})")
    if links:
        here.insert(0, "On other pages: " + ", ".join(links) + ".")
    return "\n\n".join(here)


@functools.cache
def top_level_names() -> dict[str, str]:
    """Returns {name: module} of the functions and classes of kapps that are not builders."""
    assigned = next(
        node.value
        for node in parse(ROOT / "kapps/__init__.py").body
        if isinstance(node, ast.Assign) and node.targets[0].id == "FUNCTIONS"
    )
    return {name: module for module, names in ast.literal_eval(assigned).items() for name in names}


def pages() -> dict[str, str]:
    """Returns {path: text} of the pages of the API."""
    places, texts, lines = documented(), {}, ["| package | what it has |", "|---|---|"]
    for package in PACKAGES:
        module = f"kapps.{package}"
        names = [name for name in public_names(module) if not is_constant(module, name)]
        texts[path_of(package)] = "\n\n".join(
            [f"# {module}", first_line(module), name_list(module, names, places)]
        )
        lines.append(
            f"| [`{module}`]({path_of(package).removeprefix('api/')}) | {first_line(module)} |"
        )
    functions = []
    for name, module in top_level_names().items():
        functions.append(
            name_list(f"kapps.{module}", [name], places, "kapps").removeprefix("On other pages: ")
        )
    links = [text.rstrip(".") for text in functions if not text.startswith(":::")]
    index = [
        "# Reference",
        INTRODUCTION,
        "\n".join(lines),
        "Functions and classes of `kapps` itself: " + ", ".join(links) + ", and those below.",
        *(text for text in functions if text.startswith(":::")),
    ]
    return {"api/index.md": "\n\n".join(index)} | texts
