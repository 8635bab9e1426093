"""Modules of the recipes, tools and benchmarks, which are not packages of the tests."""

import importlib.util
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]


def load(path):
    """Returns the module of a file, given by its path in the checkout, such as "recipes/common/stories.py"."""
    path = ROOT / path
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
