"""`python -m kapps.new_family NAME` writes a family that builds and lacks only its figures."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import kapps
from kapps import new_family

ROOT = pathlib.Path(kapps.__file__).parents[1]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the package and of what the tests of a family need."""
    folder = tmp_path_factory.mktemp("checkout")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "kapps", folder / "kapps", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "tests").mkdir()
    for path in (ROOT / "tests").glob("*.py"):
        shutil.copy(path, folder / "tests")
    for name in ("cnn", "reference"):
        shutil.copytree(ROOT / "tests" / name, folder / "tests" / name, ignore=ignore)
    return folder


def run(checkout, *arguments):
    """Runs a module in the checkout; returns the finished process."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


@pytest.mark.long
def test_the_skeleton_lacks_only_its_figures(checkout):
    done = run(checkout, "kapps.new_family", "testnet")
    assert done.returncode == 0, done.stderr
    for name in ("kapps/cnn/testnet.py", "kapps/weights/names/testnet.py", "tests/cnn/test_testnet.py"):  # fmt: skip
        assert f"wrote {name}" in done.stdout and (checkout / name).is_file()
    assert "def testnet(" in (checkout / "kapps/__init__.pyi").read_text(encoding="utf-8")
    tests = ("tests/test_graph.py", "tests/cnn/test_testnet.py")
    done = run(checkout, "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", "testnet")
    failed = set(re.findall(r"^FAILED \S+::(\w+)", done.stdout, re.MULTILINE))
    assert failed == {
        "test_parameters_and_multiply_accumulates_are_the_references",
        "test_parameters_and_multiply_accumulates_have_a_source",
    }, done.stdout
    assert "fill in params and macs" in done.stdout and " passed" in done.stdout
    for tool in (["check"], ["format", "--check"]):
        done = run(checkout, "ruff", *tool, "kapps/cnn/testnet.py", "tests/cnn/test_testnet.py")
        assert done.returncode == 0, done.stdout
    done = run(checkout, "kapps.new_family", "testnet")
    assert done.returncode == 2 and "testnet" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["ConvNeXt", "3net", "class", "resnet", "vgg16", "a-b"])
def test_names_that_are_not_allowed(name, tmp_path):
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        new_family.write_family(name, tmp_path)


def test_outside_of_a_checkout(tmp_path):
    with pytest.raises(ValueError, match=r"models\.csv"):
        new_family.write_family("testnet", tmp_path)


def test_a_file_is_not_overwritten(tmp_path):
    (tmp_path / "tests/reference").mkdir(parents=True)
    (tmp_path / "tests/reference/models.csv").write_text("name,params\n", encoding="utf-8")
    path = tmp_path / "kapps/cnn/testnet.py"
    path.parent.mkdir(parents=True)
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="exists already"):
        new_family.write_family("testnet", tmp_path)
    assert path.read_text(encoding="utf-8") == "mine"
    assert (tmp_path / "tests/reference/models.csv").read_text(encoding="utf-8") == "name,params\n"
