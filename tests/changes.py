"""The families and recipes that changed since a commit, for the tests marked `changed` and `unchanged`.

`KAPPS_SINCE` names the commit, by default `HEAD~20`; the comparison is with its merge base with `HEAD`, and counts
changes that are not committed. A family changed if its file, its weight map, its test, or the file of a family that it
imports did. A change of a layer, a head or a builder needs no list of families: the default tests run the covering set,
which has every kind of layer.
"""

import ast
import functools
import os
import pathlib
import subprocess

import kapps
from kapps import cards

ROOT = pathlib.Path(kapps.__file__).parents[1]

ALWAYS = ("imagenet", "finetune", "language_model", "translation", "segmentation")
"""Recipes whose tests run also where they did not change."""


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


def imported_families(module):
    """Returns the modules of families whose files a family's module imports, with itself, at any distance."""
    modules, queue = set(), [module]
    while queue:
        module = queue.pop()
        if module in modules:
            continue
        modules.add(module)
        path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                queue += [name for name in names if name in family_modules()]
    return modules


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
        if imported_families(module) & modules or {family, f"test_{family}"} & stems
    ]


def changed_recipes():
    """Returns the recipes whose files, or the modules of `recipes/common` that they import, changed; sorted."""
    files = {str(path) for path in changed_files() or []}
    recipes = sorted((ROOT / "recipes").glob("*.py"))
    return [path.stem for path in recipes if {f"recipes/{path.name}", *_common_files(path)} & files]


def is_unchanged(stem):
    """Returns whether a file of tests, such as "test_vgg", is that of a family or recipe that did not change.

    The tests of `ALWAYS` run on every change, because they stand for what all recipes use.
    """
    if changed_files() is None:
        return False
    name = stem.removeprefix("test_").removesuffix("_code").removesuffix("_recipe")
    if name in family_modules().values():
        return name not in changed_families()
    is_recipe = (ROOT / "recipes" / f"{name}.py").exists()
    return is_recipe and name not in (*ALWAYS, *changed_recipes())


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
