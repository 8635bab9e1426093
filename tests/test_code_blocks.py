"""The Python blocks of README.md, of the guides and of the tutorials run, in the order of each document.

A document is one program: its blocks have one namespace. What a reader has and a test does not, such as a folder of
flowers, is made by blocks in HTML comments, which readers do not see (`<!--- invisible-code-block: python`);
`samples` is the module `document_samples`. A download of weights is replaced by weights at random. A block below the
comment `<!-- long -->` takes long, and runs in the test with that marker only. Bash blocks are in test_commands.py.
"""

import ast
import importlib
import pathlib
import re

import document_samples as samples
import keras
import pytest
import sybil
from sybil.parsers.markdown import PythonCodeBlockParser

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs/guides").glob("*.md")),
    *sorted((ROOT / "docs/tutorials").glob("*.md")),
]
PAGES_OF_RESULTS = [
    path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "index.md"
]
"""Their blocks are excerpts around the results of recipes, which tests/recipes/ runs: the names in them are tested."""
LONG = "<!-- long -->"
FENCE = re.compile(r"^ *```python$", re.MULTILINE)


def read(path):
    """Returns (document, [(example, whether it is long, whether it is visible)])."""
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
        print(f"{name(path)}: {ran} of {blocks} blocks ran; long blocks at lines {left_out}")
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
    assert len(rows) > 25
    assert sum(not is_long for _, is_long, _ in rows) > 10


def names_of_kapps(tree):
    """Returns the dotted names of kapps in a block: imports, and attributes of imported modules."""
    modules, names = {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "kapps":
            for alias in node.names:
                modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            modules |= {alias.name: alias.name for alias in node.names if alias.name == "kapps"}
    modules.setdefault("kapps", "kapps")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            dotted = ast.unparse(node)
            first, _, rest = dotted.partition(".")
            if first in modules and re.fullmatch(r"[\w.]+", rest):
                names.add(f"{modules[first]}.{rest}")
    return names | {name for name in modules.values() if "." in name}


def exists(name):
    """Returns whether a dotted name of kapps can be imported."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            if isinstance(value, type(re)) and not hasattr(value, part):
                return False
            value = getattr(value, part, None)
        return True
    return False


@pytest.mark.tensorflow
def test_names_in_blocks_of_the_results_exist():
    count = 0
    for path in PAGES_OF_RESULTS:
        for example, _, _ in read(path)[1]:
            count += 1
            for dotted in names_of_kapps(ast.parse(str(example.parsed))):
                assert exists(dotted), f"{name(path)}:{example.line}: {dotted}"
    print(f"{count} blocks of pages of results were read and not run")
    assert count >= 10
