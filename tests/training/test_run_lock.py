"""Two processes never write to the directory of one run, and what killed processes left is removed."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from kapps import _files
from kapps.training import run_lock

ROOT = pathlib.Path(run_lock.__file__).parents[2]
HOLD = """
import sys, time
from kapps import _files
from kapps.training import run_lock
run_lock.lock_directory(sys.argv[1])
with _files.write_atomically(sys.argv[1] + "/checkpoints/step.npz") as path:
    path.write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that has locked a directory and writes in it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, encoding="utf-8"
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()


def leftovers(folder):
    return [path.name for path in folder.rglob(".writing-*")]


def test_a_second_process_is_refused_until_the_first_one_is_killed(holder, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(run_lock.DirectoryInUseError) as error:
        run_lock.lock_directory(run)
    text = str(error.value)
    assert str(holder.pid) in text and str(run) in text and "--model_dir" in text
    assert "\n" not in text
    assert leftovers(run), "the holder writes"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    run_lock.lock_directory(run)
    run_lock.lock_directory(run / ".." / "run")  # the same process, again
    assert not leftovers(run)
    run_lock.unlock_directory(run)


def test_a_directory_that_a_process_writes_is_not_removed(holder, tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    (mine,) = leftovers(folder)
    _files.remove_leftovers(folder)
    with _files.write_atomically(folder / "other.txt") as path:
        path.write_text("a", encoding="utf-8")
        assert mine in leftovers(folder)
    holder.kill()
    holder.wait()
    with _files.write_atomically(folder / "other.txt") as path:
        path.write_text("a", encoding="utf-8")
    assert not leftovers(folder)


def test_other_files_are_not_removed(tmp_path):
    for name in (".writing-mine", ".writing-too_long_", "writing-abcdefgh"):
        (tmp_path / name).mkdir()
    (tmp_path / ".writing-abcdefgh").write_text("a file", encoding="utf-8")
    _files.remove_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) >= 3


def test_without_locks_one_line_says_so(tmp_path, monkeypatch, capsys):
    def raise_no_locks(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(run_lock.fcntl, "flock", raise_no_locks)
    run_lock.lock_directory(tmp_path / "run")
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be locked" in line and str(tmp_path / "run") in line
    run_lock.unlock_directory(tmp_path / "run")
