"""Every call of ours that reads or writes text names its encoding, so that the locale changes nothing.

Ruff's rule PLW1514 finds `open` and `pathlib.Path(...).read_text`. It does not know the type of a variable, so that it
misses `path.read_text()`, and it does not know subprocesses. The rule here goes by the names of the functions.
"""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
TEXT = ("read_text", "write_text")  # methods of pathlib.Path and of importlib.resources
MODES = {  # the position of the mode and its default
    "open": (1, "r"),
    ".open": (0, "r"),
    "fdopen": (1, "r"),
    "NamedTemporaryFile": (0, "w+b"),
    "SpooledTemporaryFile": (1, "w+b"),
    "TemporaryFile": (0, "w+b"),
}
PROCESSES = ("Popen", "check_call", "check_output", "call", "run")
OTHER_OPEN = {"Image", "archive", "os", "tarfile", "webbrowser", "zipfile"}
"""Modules and objects whose method `open` returns no text file."""
OWN_READERS = {"read_user_text", "text.read_text"}
"""Functions of kapps that find out the encoding by themselves."""


def names_no_encoding(call):
    """Returns whether a call reads or writes text in the encoding of the locale."""
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in keywords:
        return False
    function = ast.unparse(call.func)
    owner, _, name = function.rpartition(".")
    if function in OWN_READERS or (name == "open" and owner in OTHER_OPEN):
        return False
    if name in PROCESSES:
        return "text" in keywords or "universal_newlines" in keywords
    if name == "TextIOWrapper":
        return len(call.args) < 2
    if name in TEXT and owner:
        return True
    if name not in MODES:
        return False
    is_method = name == "open" and owner not in (
        "",
        "builtins",
        "bz2",
        "codecs",
        "gzip",
        "io",
        "lzma",
    )
    position, mode = MODES[".open" if is_method else name]
    if owner in ("bz2", "gzip", "lzma"):
        mode = "rb"
    node = keywords.get("mode", call.args[position] if len(call.args) > position else None)
    mode = ast.literal_eval(node) if isinstance(node, ast.Constant) else mode
    return "t" in mode if owner in ("bz2", "gzip", "lzma") else "b" not in mode


def find(source):
    """Returns the (line, call) of every call of a program that names no encoding."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [(call.lineno, ast.unparse(call)) for call in calls if names_no_encoding(call)]


def python_files():
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    paths = [ROOT / name for name in result.stdout.splitlines()]
    return [path for path in paths if path.exists()] or sorted(ROOT.glob("*/**/*.py"))


def test_every_call_names_its_encoding():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {call}"
        for path in python_files()
        for line, call in find(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "call",
    [
        "open(path)",
        "open(path, 'w')",
        "open(path, mode='a', newline='')",
        "io.open(path)",
        "path.open()",
        "path.open('w')",
        "pathlib.Path(path).read_text()",
        "path.write_text(text)",
        "os.fdopen(1, 'w')",
        "gzip.open(path, 'rt')",
        "tempfile.NamedTemporaryFile('w')",
        "tempfile.TemporaryFile(mode='w+')",
        "io.TextIOWrapper(file)",
        "subprocess.run(command, text=True)",
        "subprocess.check_output(command, universal_newlines=True)",
    ],
)
def test_the_rule_finds_what_the_locale_changes(call):
    assert find(call) == [(1, ast.unparse(ast.parse(call)))]
    start = call.removesuffix(")")
    assert not find(f"{start}{'' if start.endswith('(') else ', '}encoding='utf-8')")


@pytest.mark.parametrize(
    "call",
    [
        "open(path, 'rb')",
        "path.open('wb')",
        "Image.open(path)",
        "gzip.open(path)",
        "tempfile.TemporaryFile()",
        "subprocess.run(command)",
        "text.read_text(path)",
    ],
)
def test_the_rule_accepts_bytes(call):
    assert not find(call)


LOCALES = {
    "UTF-8": {"PYTHONUTF8": "1"},
    "ASCII": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "PYTHONIOENCODING": {"PYTHONIOENCODING": "ascii"},
    "Latin-1": {"PYTHONIOENCODING": "latin-1", "LC_ALL": "C", "PYTHONUTF8": "0"},
}
PRINT = "import sys; from kapps import _errors; sys.exit(_errors.run(lambda: print(*{!a}), 'x'))"
CLASSES = """
import sys
import tensorflow as tf
from kapps import data
from kapps.data import text
source = data.open_source(None, sys.argv[1])
names = [name.numpy() for name, encoded, _ in source.images() if encoded.numpy() == b"x"]
print(tf.constant(source.class_names).numpy().tolist(), names, ascii(text.read_text(sys.argv[2])))
"""


@pytest.mark.parametrize("settings", LOCALES.values(), ids=LOCALES.keys())
def test_every_character_is_printed_in_every_locale(settings):
    text = ["Löwe", "二つ", "\udcf6"]
    result = subprocess.run(
        [sys.executable, "-c", PRINT.format(text)],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
    )
    assert result.returncode == 0 and not result.stderr, result.stderr
    printed = {"UTF-8": "Löwe 二つ \\udcf6".encode(), "Latin-1": b"L\xf6we \\u4e8c\\u3064 \\udcf6"}
    name = next(name for name in LOCALES if LOCALES[name] is settings)
    assert result.stdout.strip() == printed.get(name, rb"L\xf6we \u4e8c\u3064 \udcf6")


@pytest.mark.tensorflow
@pytest.mark.long
@pytest.mark.parametrize("name", ["ASCII", "UTF-8"])
def test_names_of_folders_and_texts_do_not_depend_on_the_locale(tmp_path, name):
    for folder, image in (("Löwe", "größe.jpg"), ("二つ", "b.jpg")):
        (tmp_path / "set/train" / folder).mkdir(parents=True)
        (tmp_path / "set/train" / folder / image).write_bytes(b"x")
    (tmp_path / "poem.txt").write_bytes("Löwe 二つ".encode())
    result = subprocess.run(
        [sys.executable, "-c", CLASSES, tmp_path / "set", tmp_path / "poem.txt"],
        cwd=ROOT,
        env=os.environ | LOCALES[name],
        capture_output=True,
    )
    names = ["train/Löwe/größe.jpg".encode(), "train/二つ/b.jpg".encode()]
    expected = f"{['Löwe'.encode(), '二つ'.encode()]} {names} {'Löwe 二つ'!a}"
    assert result.stdout.decode().strip() == expected, result.stderr[-500:]
