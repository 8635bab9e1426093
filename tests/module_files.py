"""Modules of the recipes, tools and benchmarks, which are not packages of the tests."""

import importlib.util
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def load(path):
    """Returns the module of a file, given by its path in the checkout, such as "recipes/common/stories.py".

    Modules of the file's own folder, "recipes", are found while it is loaded.
    """
    path = ROOT / path
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / path.relative_to(ROOT).parts[0])
        # Recipes and benchmarks enable oneDNN in the environment, which other tests' processes would inherit.
        patch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
        spec.loader.exec_module(module)
    return module
