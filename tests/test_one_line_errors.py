"""An error of a known kind is one line; the traceback of every other error is in a file that the line names."""

import errno
import os
import pathlib
import re
import sys

import keras
import numpy as np
import pytest

from kapps import _errors
from kapps._commands import UserError
from kapps._files import write_atomically
from kapps.data.errors import DataError

KERAS = (
    "Exception encountered when calling Dense.call().\n\n\x1b[1mthe reason\x1b[0m\n\n"
    "Arguments received by Dense.call():\n  x"
)
GRAPH = (
    "Graph execution error:\n\nDetected at node a/b defined at (most recent call last):\n"
    '  File "x.py", line 12, in f\n\n'
    "Incompatible shapes: [4,1] vs. [3,1]\n\t [[{{node a/b}}]] [Op:__inference_multi_step_on_iterator_250]"
)


@pytest.mark.parametrize(
    ("error", "words", "complete"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a.npz"), ["a.npz", "no space left"], True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), ["no space left", "Disk quota exceeded"], True),
        (OSError("x\n errno = 28, error message = 'No space left on device', buf = 0x1"), ["no space left"], True),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), ["a/b: Permission denied"], True),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "a"), ["a: Is a directory"], True),
        (OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b"), ["a and b: Invalid"], True),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a\nb"), ["a b: No such file"], True),
        (MemoryError(), ["memory is not enough", "lower --batch_size"], True),
        (MemoryError("Unable to allocate 728. TiB for an array"), ["728. TiB", "lower --batch_size"], True),
        (RuntimeError("std::bad_alloc"), ["memory is not enough"], True),
        (ModuleNotFoundError("No module named 'sacrebleu'", name="sacrebleu"), ["pip install sacrebleu"], True),
        (ImportError("libcuda.so is missing"), ["libcuda.so is missing"], False),
        (DataError("no images"), ["no images"], True),
        (UserError("no model"), ["no model"], True),
        (ValueError(KERAS), ["the reason"], False),
        (ValueError("x=\x1b[31m1\x1b[0m\tis wrong"), ["x=1 is wrong"], True),
        (KeyError("weights"), ["KeyError", "weights"], False),
        (TypeError("'NoneType' object is not iterable"), ["TypeError", "NoneType"], False),
        (RuntimeError(), ["RuntimeError"], False),
        (RecursionError("maximum recursion depth exceeded"), ["RecursionError"], False),
        (RuntimeError(GRAPH), ["Incompatible shapes: [4,1] vs. [3,1]"], False),
        (KeyboardInterrupt(), ["interrupted"], True),
    ],
)  # fmt: skip
def test_an_error_is_one_line(error, words, complete):
    line, is_complete = _errors.describe(error, "lower --batch_size")
    assert all(word in line for word in words), line
    assert is_complete == complete and line.isprintable() and "Graph execution" not in line


@pytest.mark.tensorflow
@pytest.mark.long
def test_errors_of_tensorflow_are_one_line():
    import tensorflow as tf

    def fail_in_a_graph():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(np.ones((4, 3)), np.full((4,), 7), verbose=0)

    cases = {
        "OOM when allocating": lambda: tf.zeros((10**6, 10**6)),
        "Received a label value of 7": fail_in_a_graph,
        "/nowhere: No such file": lambda: tf.io.read_file("/nowhere"),
        "XLA_CPU_JIT": lambda: tf.function(tf.strings.length, jit_compile=True)(tf.constant("a")),
    }
    for word, call in cases.items():
        with pytest.raises(tf.errors.OpError) as caught:
            call()
        line, _ = _errors.describe(caught.value)
        assert word in line and len(line) <= _errors.LONGEST + 100, line
        assert not re.search(r"[\n\x1b]|Graph execution|function_node|\[Op:|File \"", line), line


def test_the_line_names_the_file_of_the_traceback(capsys, tmp_path):
    def fail():
        raise KeyError("some key")

    assert _errors.run(fail, "program") == 2
    line = capsys.readouterr().err
    path = pathlib.Path(re.search(r"traceback is in (.*)\)$", line.strip())[1])
    assert line.count("\n") == 1 and line.startswith("program: KeyError: 'some key' (")
    text = path.read_text(encoding="utf-8")
    assert "in fail" in text and "some key" in text
    path.unlink()
    _errors.print_error("program", KeyError("x"), folder=tmp_path)
    assert f"(the traceback is in {tmp_path / 'traceback.txt'})" in capsys.readouterr().err
    (tmp_path / "file").touch()
    _errors.print_error("program", KeyError("x"), folder=tmp_path / "file")
    line = capsys.readouterr().err
    assert "kapps-traceback-" in line
    pathlib.Path(re.search(r"is in (.*)\)$", line.strip())[1]).unlink()


def test_the_exit_status_of_a_program(capsys):
    def raises(error):
        def fail():
            raise error

        return fail

    assert _errors.run(lambda: None, "p") == 0 and _errors.run(lambda: 3, "p") == 3
    assert _errors.run(raises(ValueError("wrong")), "p", status=1) == 1
    assert _errors.run(raises(KeyboardInterrupt()), "p") == 130
    assert capsys.readouterr().err == "p: wrong\np: interrupted\n"
    with pytest.raises(SystemExit):
        _errors.run(raises(SystemExit(4)), "p")


def test_an_error_outside_a_program_is_one_line_too(capsys, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    _errors.install("recipe.py")
    sys.excepthook(ValueError, ValueError("two\nlines of text"), None)
    err = capsys.readouterr().err
    assert err.startswith("recipe.py: two (the traceback is in ") and err.count("\n") == 1


def test_a_full_disk_names_the_file_that_is_written(tmp_path, monkeypatch):
    path = tmp_path / "model.keras"

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as caught, write_atomically(path) as temporary:
        temporary.write_bytes(b"0")
    line, complete = _errors.describe(caught.value)
    assert f"no space left for {path} (" in line and complete
    assert not list(tmp_path.iterdir())
