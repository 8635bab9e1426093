"""Runs a recipe in a process of its own, as a user does, or several times in one process."""

import json
import os
import pathlib
import subprocess
import sys

RECIPES = pathlib.Path(__file__).parents[1] / "recipes"
FOLDERS = {"model_dir": "run", "export_dir": "exported"}

SMALL_RUNS = """
import importlib, json, sys
import tensorflow as tf
name, runs, folder = sys.argv[1:]
sys.path.insert(0, folder)
recipe = importlib.import_module(name)
tf.config.run_functions_eagerly(True)  # two steps take less time than a trace
for arguments in json.loads(runs):
    for flag in recipe.FLAGS.get_key_flags_for_module(recipe):
        flag.unparse()
    try:
        recipe.FLAGS([f"{name}.py", *arguments.split()])
        recipe.main(None)
    except ValueError as error:
        print("ERROR", error)
"""
"""A program that calls the main of a recipe once for each line of flags."""


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


def run_small(name, folder, runs):
    """Runs a recipe in a folder once for each line of flags, without traces, all in one process.

    Args:
        name: of the recipe, without ".py".
        folder: working directory.
        runs: lines of flags.

    Returns:
        The output, and from it the lines of the runs that end in an error.
    """
    process = subprocess.run(
        [sys.executable, "-c", SMALL_RUNS, name, json.dumps(runs), str(RECIPES)], cwd=folder, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(RECIPES.parent)}, text=True, timeout=300, encoding="utf-8"
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-3000:]
    lines = process.stdout.splitlines()
    return process.stdout, [line for line in lines if line.startswith("ERROR")]
