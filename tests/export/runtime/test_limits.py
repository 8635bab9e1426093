"""Exported files that run without end, allocate without end, or end the process that runs them."""

import pathlib
import random
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

import kapps
from kapps.export import runtime
from kapps.export._worker import CrashError, Worker

sys.path.append(str(pathlib.Path(__file__).parents[3] / "tools" / "faults"))
from _tflite_file import write_tflite


def save(path, function):
    """Writes a SavedModel of a function of x [n, 2]."""
    module = tf.Module()
    module.serve = tf.function(function, input_signature=[tf.TensorSpec([None, 2], name="x")])
    tf.saved_model.save(module, str(path), signatures=module.serve)
    return path


def run(path, inputs):
    """Returns the error of a file, or None if it runs."""
    try:
        runtime.run(path, inputs, limits=runtime.default_limits(path))
    except ValueError as error:
        return str(error)


def error_of(path, inputs, limits):
    with pytest.raises(ValueError, match="does not run") as error:
        runtime.run(path, inputs, limits=limits)
    assert "\n" not in str(error.value)
    return str(error.value)


PROGRAM = """
import time

def run(job):
    if "sleep" in job:
        time.sleep(job["sleep"])
    return {"sum": len(bytes(job["bytes"])) * 0}
"""

CRASH = """
import os, pathlib, signal

def run(job):
    crashes = pathlib.Path(job["crashes"])
    count = int(crashes.read_text())
    crashes.write_text(str(count - 1))
    if count:
        crash(signal.Signals[job["signal"]])
    return {"pid": os.getpid()}

def crash(signal):
    os.kill(os.getpid(), signal)
"""


READ = """
import pathlib

def run(job):
    return {"text": pathlib.Path(job["path"]).read_text()}
"""


def test_relative_paths_start_from_the_current_directory_of_each_job(tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text(READ, encoding="utf-8")
    worker = Worker(program)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name, encoding="utf-8")
        monkeypatch.chdir(tmp_path / name)
        assert worker.run({"path": "file"}) == {"text": name}
    worker.close()


def test_limits_of_a_worker(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    worker = Worker(program)
    try:
        assert worker.run({"bytes": 3}, seconds=10, memory=2**20) == {"sum": 0}
        with pytest.raises(CrashError, match="more than 1 s"):
            worker.run({"bytes": 3, "sleep": 60}, seconds=1)
        assert "memory" in worker.run({"bytes": 2**30}, memory=2**28)["error"]
        assert worker.run({"bytes": 2**28}) == {"sum": 0}
    finally:
        worker.close()


def test_a_job_that_crashes_runs_once_more(tmp_path):
    program, crashes = tmp_path / "program.py", tmp_path / "crashes"
    program.write_text(CRASH, encoding="utf-8")
    worker = Worker(program)

    def run(count, signal="SIGSEGV"):
        crashes.write_text(str(count), encoding="utf-8")
        return worker.run({"crashes": str(crashes), "signal": signal})["pid"]

    try:
        first = run(0)
        with pytest.warns(
            UserWarning, match=r"crashed \(signal SIGSEGV in crash \(program.py, line 13"
        ):
            assert run(1) != first
        with pytest.raises(CrashError, match="SIGABRT in crash"):
            run(2, "SIGABRT")
        assert crashes.read_text(encoding="utf-8") == "0"
        with pytest.raises(CrashError, match="SIGKILL"):  # as when memory runs out: not repeated
            run(2, "SIGKILL")
        assert crashes.read_text(encoding="utf-8") == "1"
        assert run(0) not in (0, first)
    finally:
        worker.close()


@pytest.mark.long
def test_limits_of_time_and_memory(tmp_path):
    inputs = np.ones((1, 2), "float32")
    endless = save(
        tmp_path / "endless",
        lambda x: {"y": tf.while_loop(lambda i: i > 0, lambda i: i * 1.0, [tf.reduce_sum(x)])[0]},
    )
    limited = runtime.Limits(seconds=2)
    runtime.run(save(tmp_path / "good", lambda x: {"y": x}), inputs)  # the process has started
    start = time.monotonic()
    assert "more than 2 s" in error_of(endless, inputs, limited)
    assert time.monotonic() - start < 4
    large = save(
        tmp_path / "large",
        lambda x: {"y": x[:, :1] + tf.reduce_sum(tf.fill([1 << 16] * 2, x[0, 0]))},
    )
    assert error_of(large, inputs, runtime.Limits(memory=2**30))
    np.testing.assert_array_equal(runtime.run(tmp_path / "good", inputs)["y"], inputs)


def test_corrupt_tflite_files_do_not_end_the_process(tmp_path):
    """Bits of a file are changed: it is an error of one line, or it runs."""
    content = write_tflite(tmp_path / "good.tflite").read_bytes()
    inputs = np.zeros((1, 8, 8, 3), "float32")
    assert runtime.run(tmp_path / "good.tflite", inputs)["probabilities"].min() == 0.5
    generator, path, results = random.Random(0), tmp_path / "corrupt.tflite", set()
    for _ in range(60):
        changed = bytearray(content)
        for _ in range(generator.choice([1, 1, 8])):
            changed[generator.randrange(8, len(changed))] ^= 1 << generator.randrange(8)
        path.write_bytes(
            changed[: generator.choice([len(changed), generator.randrange(8, len(changed))])]
        )
        message = run(path, inputs)
        results.add(message is None)
        assert message is None or (message.isprintable() and str(path) in message)
    assert results == {True, False}
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="does not run"):
        kapps.export.TFLiteStepModel(path)
