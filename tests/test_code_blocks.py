"""The Python blocks of README.md and of all documents run, in the order of each document.

A document is one program: its blocks have one namespace. What a reader has and a test does not, such as a folder of
flowers, is made by blocks in HTML comments, which readers do not see (`<!--- invisible-code-block: python`);
`samples` is the module `document_samples`. A download of weights is replaced by weights at random. A block below the
comment `<!-- long -->` takes long, and runs in the test with that marker only. Bash blocks are in test_commands.py.
"""

import pathlib
import re

import document_samples as samples
import keras
import pytest
import sybil
from sybil.parsers.markdown import PythonCodeBlockParser

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = [
    path
    for path in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]
    if "```python" in path.read_text(encoding="utf-8")
]
LONG = "<!-- long -->"
FENCE = re.compile(r"^ *```python$", re.MULTILINE)


def read(path):
    """Returns the document and its examples, [(example, whether it is long, whether it is visible)]."""
    document = sybil.Sybil(parsers=[PythonCodeBlockParser()]).parse(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [
        (example, lines[example.line - 2] == LONG, "```python" in lines[example.line - 1])
        for example in document.examples()
    ]
    return document, rows


def name(path):
    return path.relative_to(ROOT).as_posix()


LONG_DOCUMENTS = [path for path in DOCUMENTS if LONG in path.read_text(encoding="utf-8")]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`run(path, with_long)` runs the blocks of a document, and returns how many ran and the lines of the others."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kapps.weights.download.download", samples.make_weights)

    def run(path, with_long):
        document, rows = read(path)
        document.namespace["samples"] = samples
        ran, left_out = 0, []
        for example, is_long, is_visible in rows:
            if is_long and not with_long:
                left_out.append(example.line)
                continue
            example.evaluate()
            ran += is_visible
        keras.backend.clear_session()
        blocks = len(FENCE.findall(path.read_text(encoding="utf-8")))
        print(f"{name(path)}: {ran} of {blocks} blocks ran; long ones are at {left_out}")
        assert ran + len(left_out) == blocks
        return ran, left_out

    return run


@pytest.mark.tensorflow
@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_blocks_run(path, run):
    run(path, with_long=False)


@pytest.mark.long
@pytest.mark.tensorflow
@pytest.mark.parametrize("path", LONG_DOCUMENTS, ids=name)
def test_long_blocks_run(path, run):
    assert run(path, with_long=True)[1] == []


def test_every_document_has_blocks_and_some_of_them_run_by_default():
    rows = [row for path in DOCUMENTS for row in read(path)[1] if row[2]]
    assert len(rows) > 45
    assert sum(not is_long for _, is_long, _ in rows) > 15
