"""The import of TensorFlow prints no log lines, and no other line is lost."""

import ast
import contextlib
import os
import pathlib
import subprocess
import sys

import pytest

RECIPES = pathlib.Path(__file__).parents[2] / "recipes"
LINES = (
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    b"I0000 00:00:1795673450.766501   32252 cudart_stub.cc:31] Could not find cuda drivers\n"
    b"E0000 00:00:1795673450.766501   32252 driver.cc:31] a real error\n"
    b"ImportError: another line\n"
)


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.syspath_prepend(RECIPES)
    from common import environment

    yield environment
    for name in ("common", "common.environment"):
        sys.modules.pop(name, None)


def test_only_log_lines_are_removed(environment, capfd):
    with environment.without_log_lines():
        os.write(2, LINES)
        print("of Python", file=sys.stderr)
    lines = capfd.readouterr().err.splitlines()
    assert {line[:10] for line in lines} == {"E0000 00:0", "ImportErro", "of Python"}


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.py")), ids=lambda path: path.stem)
def test_help_prints_the_docstring_unchanged(path):
    """absl replaces `%` and a letter in the docstring of the main module by the name of the program."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    specifiers = docstring.count("%") - 2 * docstring.count("%%")
    with contextlib.suppress(OverflowError, TypeError, ValueError):
        assert docstring % (("recipe.py",) * specifiers) == docstring


WITHOUT_KAPPS = """
import runpy, sys
sys.modules["kapps"] = None  # importing it fails, as where it is not installed
sys.argv = [sys.argv[1]]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_recipe_without_kapps_names_the_missing_package():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_KAPPS, RECIPES / "imagenet.py"],
        capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "kapps is not installed" in done.stderr and "pip install" in done.stderr


def test_lines_before_an_exception_are_printed(environment, capfd):
    with pytest.raises(ImportError), environment.without_log_lines():
        os.write(2, LINES)
        raise ImportError
    assert "a real error" in capfd.readouterr().err
    os.write(2, b"restored")
    assert capfd.readouterr().err == "restored"
