"""The families and recipes that changed since a commit, for the tests marked `changed` and `unchanged`.

`KAPPS_SINCE` names the commit, by default `HEAD~20`; the comparison is with its merge base with `HEAD`, and counts
changes that are not committed. A family changed if its file, its weight map, its test, or the file of a family that it
imports did. A change of a layer, a head, a builder or the export needs no list of families: the default tests run the
covering set, which has every kind of layer. The long tests of a builder also run where a layer that its family imports
changed, and those of a package where they name what changed. `-m long` runs all of them.
"""

import ast
import functools
import os
import pathlib
import re
import subprocess

import kapps
from kapps import cards

ROOT = pathlib.Path(kapps.__file__).parents[1]

ALWAYS = ("finetune", "language_model")
"""Recipes whose tests run also where they did not change: for images, next to README's first command, and for text."""

PACKAGES = {
    "imagenet": ("kapps/training/", "kapps/data/image/", "kapps/export/"),
    "segmentation": ("kapps/segmentation/", "kapps/data/segmentation/"),
    "translation": ("kapps/generation/", "kapps/data/translation/"),
}
"""Recipes whose tests also run after a change of packages that they test from end to end."""

LAYERS = "kapps.layers"


def _git(*arguments):
    """Returns the lines that a git command prints, or None where it fails or there is no git."""
    try:
        result = subprocess.run(
            ["git", "-C", ROOT, *arguments], capture_output=True, text=True, encoding="utf-8"
        )
    except FileNotFoundError:
        return None
    return result.stdout.splitlines() if result.returncode == 0 else None


@functools.cache
def changed_files():
    """Returns the paths, relative to the checkout, that changed; None where git cannot tell."""
    since = os.environ.get("KAPPS_SINCE", "HEAD~20")
    base = _git("merge-base", since, "HEAD")
    if not base:
        return None
    tracked, untracked = (
        _git("diff", "--name-only", base[0]),
        _git("ls-files", "--others", "--exclude-standard"),
    )
    return [pathlib.PurePosixPath(path) for path in [*tracked, *untracked]]


@functools.cache
def imported_modules(module):
    """Returns the modules of families and layers that a family's module imports, with itself, at any distance."""
    modules, queue = set(), [module]
    while queue:
        module = queue.pop()
        path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
        if module in modules or not path.exists():  # or the name of an object in a module
            continue
        modules.add(module)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            if node.module == LAYERS:  # which imports all of them
                names = [
                    _exported_layers().get(alias.name, f"{LAYERS}.{alias.name}")
                    for alias in node.names
                ]
            queue += [
                name for name in names if name in family_modules() or name.startswith(f"{LAYERS}.")
            ]
    return modules


@functools.cache
def _exported_layers():
    """Returns the modules of the names that `kapps.layers` exports: {"Shift": "kapps.layers.shift"}."""
    text = (ROOT / "kapps/layers/__init__.py").read_text(encoding="utf-8")
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module for node in nodes for alias in node.names}


@functools.cache
def family_modules():
    """Returns the modules that hold families: {"kapps.cnn.resnet": family}."""
    return {card.module: card.family for card in map(cards.card, cards.list_models())}


@functools.cache
def changed_families():
    """Returns the families that changed, in the tables' order; none where git cannot tell."""
    files = changed_files() or []
    parts = {path.with_suffix("").parts for path in files if path.suffix == ".py"}
    modules = {".".join(path) for path in parts}
    stems = {
        path[-1]
        for path in parts
        if path[0] == "tests" or path[:3] == ("kapps", "weights", "names")
    }
    return [
        family
        for module, family in family_modules().items()
        if any(name in modules and name in family_modules() for name in imported_modules(module))
        or {family, f"test_{family}"} & stems
    ]


@functools.cache
def changed_recipes():
    """Returns the recipes whose files, or the modules of `recipes/common` that they import, changed; sorted."""
    files = {str(path) for path in changed_files() or []}
    recipes = sorted((ROOT / "recipes").glob("*.py"))
    return [path.stem for path in recipes if {f"recipes/{path.name}", *_common_files(path)} & files]


@functools.cache
def is_unchanged(path):
    """Returns whether a file of tests is that of a family, a recipe or a package that did not change.

    A file that is named after a family or a recipe belongs to it; another file of recipes belongs to the recipes that
    it names; any other file to those modules of the package that its folder mirrors, and of the packages above it,
    that it names or uses. Files next to this one belong to all of kapps. The tests of `ALWAYS` run on every change,
    because they stand for what all recipes use.
    """
    if not is_unchanged_file(path):
        return False
    files, path = changed_files(), path.relative_to(ROOT)
    if family := family_of(path):
        return is_unchanged_family(family)
    name = _subject(path)
    if (ROOT / "recipes" / f"{name}.py").exists():
        packages = PACKAGES.get(name, ())
        return name not in (*ALWAYS, *changed_recipes()) and not any(
            str(file).startswith(packages) for file in files
        )
    folder = path.parts[1:-1]
    if folder == ("recipes",):
        text = (ROOT / path).read_text(encoding="utf-8")
        return not any(recipe in text for recipe in changed_recipes())
    packages = {("kapps", *folder[:end]) for end in range(1, len(folder) + 1)}
    modules = [file for file in files if file.parent.parts in packages]
    words = set(re.findall(r"\w+", (ROOT / path).read_text(encoding="utf-8")))
    return bool(folder) and not any(words & public_names(module) for module in modules)


@functools.cache
def public_names(path):
    """Returns the stem of a public module and the public names that it defines.

    For a module with an underscore they are those of the modules of its package that import it, at any distance. A
    module that does not exist any more, and a file of data, has its stem only.
    """
    names = set() if path.stem.startswith("_") else {path.stem}
    if path.suffix != ".py" or not (ROOT / path).exists():
        return names
    if names:
        for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_":
                names.add(node.name)
        return names
    for module in sorted((ROOT / path).parent.glob("*.py")):
        imports = re.search(
            rf"^\s*(from|import) .*\b{path.stem}\b",
            module.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
        if imports and module.stem != path.stem:
            names |= public_names(module.relative_to(ROOT))
    return names


def family_of(path):
    """Returns the family that a file of tests is named after, or None."""
    return _subject(path) if _subject(path) in family_modules().values() else None


def _subject(path):
    return path.stem.removeprefix("test_").removesuffix("_code").removesuffix("_recipe")


def is_unchanged_file(path):
    """Returns whether a file did not change; False where git cannot tell."""
    files = changed_files()
    return files is not None and pathlib.PurePosixPath(path.relative_to(ROOT)) not in files


def is_unchanged_family(family):
    """Returns whether a family did not change; False where git cannot tell."""
    return changed_files() is not None and family not in changed_families()


@functools.cache
def is_unchanged_builder(name):
    """Returns whether a builder's family and its layers did not change."""
    modules = {".".join(path.with_suffix("").parts) for path in changed_files() or []}
    return (
        is_unchanged_family(cards.card(name).family)
        and not imported_modules(cards.card(name).module) & modules
    )


def _common_files(path):
    """Returns the files of `recipes/common` that a file imports, at any distance."""
    files, queue = set(), [path]
    while queue:
        for node in ast.walk(ast.parse(queue.pop().read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module == "common":
                names = [f"common.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                file = f"recipes/{name.replace('.', '/')}.py"
                is_module = name.startswith("common.") and (ROOT / file).exists()
                if is_module and file not in files:
                    files.add(file)
                    queue.append(ROOT / file)
    return files


def describe():
    """Returns lines about what the tests marked `changed` run over."""
    since = os.environ.get("KAPPS_SINCE", "HEAD~20")
    if changed_files() is None:
        return f"changed families: unknown, because {since} is not a commit of a git checkout here; none run as changed"
    return [
        f"changed families since {since}: {', '.join(changed_families()) or 'none'}",
        f"changed recipes since {since}: {', '.join(changed_recipes()) or 'none'}",
    ]
