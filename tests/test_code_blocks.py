"""The Python blocks of README.md and of all documents run, in the order of each document, except those of `NOT_RUN`.

A document is one program: its blocks have one namespace. What a reader has and a test does not, such as a folder of
flowers, is made by blocks in HTML comments, which readers do not see (`<!--- invisible-code-block: python`);
`samples` is the module `document_samples`. A download of weights is replaced by weights at random. A block below the
comment `<!-- long -->` takes long, and runs in the test with that marker only. Bash blocks are in test_commands.py.
"""

import ast
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
NOT_RUN = {
    "docs/anytime.md": {
        "small = kapps.msdnet_budget5_cifar(stop_at=2": "reads a trained file; tests/cnn/test_msdnet.py",
        "kapps.export.tflite_exits(model": "docs/guides/models.md has the same export",
    },
    "docs/gan.md": {"import keras": "half a minute of tracing; tests/training/test_adversarial.py"},
    "docs/search.md": {
        "from kapps.search import build, methods, spaces": "builds and trains 100 networks; tests/search/",
        "from kapps.search import WeightSharing": "trains 50 epochs; tests/search/test_weight_sharing.py",
    },
}
"""Blocks that do not run: {document: {the beginning: the reason, and the tests of the same}}."""
LONG = "<!-- long -->"
FENCE = re.compile(r"^ *```python$", re.MULTILINE)


def read(path):
    """Returns (document, [(example, whether it is long, whether it is visible)], examples that do not run)."""
    document = sybil.Sybil(parsers=[PythonCodeBlockParser()]).parse(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    rows, not_run = [], []
    for example in document.examples():
        is_visible = "```python" in lines[example.line - 1]
        if is_visible and lines[example.line].startswith(tuple(NOT_RUN.get(name(path), ()))):
            not_run.append(example)
        else:
            rows.append((example, lines[example.line - 2] == LONG, is_visible))
    return document, rows, not_run


def name(path):
    return path.relative_to(ROOT).as_posix()


LONG_DOCUMENTS = [path for path in DOCUMENTS if LONG in path.read_text(encoding="utf-8")]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`run(path, with_long)` runs the blocks of a document, and returns how many ran and the lines of the others."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kapps.weights.download.download", samples.make_weights)

    def run(path, with_long):
        document, rows, not_run = read(path)
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
        assert ran + len(left_out) + len(not_run) == blocks
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


@pytest.mark.tensorflow
def test_blocks_that_do_not_run_exist_and_import_what_exists():
    counts = {}
    for path in DOCUMENTS:
        for example in read(path)[2]:
            counts[name(path)] = counts.get(name(path), 0) + 1
            body = ast.parse(str(example.parsed)).body
            imports = [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]
            exec(compile(ast.Module(imports, []), name(path), "exec"), {})
    assert counts == {document: len(blocks) for document, blocks in NOT_RUN.items()}
