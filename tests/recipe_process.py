"""Runs a recipe in a process of its own, as a user does."""

import os
import pathlib
import subprocess
import sys

RECIPES = pathlib.Path(__file__).parents[1] / "recipes"
FOLDERS = {"model_dir": "run", "export_dir": "exported"}


def command(recipe, *flags, folders=tuple(FOLDERS)):
    """Returns the command line of a recipe. The output folders that `flags` lacks are "run" and "exported".

    Args:
        recipe: name of the recipe's file.
        *flags: flags of the recipe.
        folders: the recipe's flags for output folders.
    """
    missing = [name for name in folders if not any(x.startswith(f"--{name}=") for x in flags)]
    defaults = [f"--{name}={FOLDERS[name]}" for name in missing]
    return [sys.executable, str(RECIPES / recipe), *defaults, *flags]


def environment():
    """Returns the environment of a recipe, with this checkout and no datasets of TFDS."""
    path = os.pathsep.join([str(RECIPES.parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "TFDS_DATA_DIR": str(RECIPES / "no such folder")}


def run(recipe, folder, *flags, typed=None, folders=tuple(FOLDERS)):
    """Runs a recipe in a folder, and returns the `subprocess.CompletedProcess` with its output.

    Args:
        recipe, flags, folders: as for `command`.
        folder: working directory.
        typed: standard input.
    """
    return subprocess.run(
        command(recipe, *flags, folders=folders), cwd=folder, env=environment(), input=typed, capture_output=True,
        text=True, encoding="utf-8", timeout=600
    )  # fmt: skip
