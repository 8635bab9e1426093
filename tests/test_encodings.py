"""Every call of ours that reads or writes text names its encoding, so that the locale changes nothing.

Ruff's rule PLW1514 finds `open` and `pathlib.Path(...).read_text`. It does not know the type of a variable, so that it
misses `path.read_text()`, and it does not know subprocesses. The rule here goes by the names of the functions.
"""

import ast
import pathlib
import subprocess

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
    if name == "TextIOWrapper" or (name in TEXT and owner):
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
