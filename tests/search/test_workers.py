"""Evaluations in one process, and by several workers that share a journal or a database."""

import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from kapps.search import methods, spaces
from kapps.search.workers import run

SPACE = spaces.NASBench201()
ROOT = pathlib.Path(__file__).parents[2]
WORKER = """
import json, os, sys, time
from kapps.search import methods, spaces
from kapps.search.workers import run
storage, count, seconds, output = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
def judge(cell):
    with open(output, "a", encoding="utf-8") as file:
        file.write(cell + "\\n")
    time.sleep(3600 if os.path.exists(output + ".hang") else seconds)
    return float(sum(map(int, cell)))
method = methods.RandomSearch(spaces.NASBench201(), seed=0, distinct=True)
done = run(method, judge, count, storage=storage, grace=6.0)
print(json.dumps(done.history))
"""


def judge(cell):
    return float(sum(map(int, cell)))


def start(folder, number, storage, count, seconds=0.05):
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    output = folder / f"cells{number}.txt"
    command = [sys.executable, "-c", WORKER, storage, str(count), str(seconds), str(output)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )  # fmt: skip


def test_in_one_process_without_optuna():
    reports = []
    method = methods.RegularisedEvolution(SPACE, seed=0)
    result = run(method, judge, 25, report=lambda x: reports.append(len(x.history)))
    assert result is method and reports == list(range(1, 26))
    other = methods.RegularisedEvolution(SPACE, seed=0)
    while len(other.history) < 25:
        cell = other.ask()
        other.tell(cell, judge(cell))
    assert other.history == result.history
    with pytest.raises(ValueError, match="evaluations=0"):
        run(method, judge, 0)


def test_without_optuna_a_storage_is_an_error_of_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match="kapps\\[search\\]"):
        run(methods.RandomSearch(SPACE), judge, 3, storage=tmp_path / "trials.journal")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("journal", "random"),
        ("journal", "evolution"),
        ("journal", "progressive"),
        pytest.param("database", "evolution", marks=pytest.mark.long),
    ],
)
def test_methods_resume_from_a_storage(tmp_path, kind, name):
    storage = (
        tmp_path / "trials.journal" if kind == "journal" else f"sqlite:///{tmp_path}/trials.db"
    )
    run(methods.make(name, SPACE, seed=2), judge, 8, storage=storage)
    result = run(methods.make(name, SPACE, seed=2), judge, 14, storage=storage)
    assert len(result.history) == 14 and not result.pending
    with pytest.raises(ValueError, match="another name") as raised:
        run(methods.make(name, SPACE, seed=3), judge, 14, storage=storage)
    assert "\n" not in str(raised.value)


def test_an_incomplete_last_line_does_not_stop_the_next_write(tmp_path):
    path = tmp_path / "trials.journal"
    run(methods.RandomSearch(SPACE, seed=0), judge, 5, storage=path)
    with path.open("ab") as file:
        file.write(b'{"op_code": 4, "worker_id": "abc')
    result = run(methods.RandomSearch(SPACE, seed=0), judge, 9, storage=path)
    assert len(result.history) == 9
    assert all(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())


def test_a_judge_that_fails_leaves_its_cell_to_the_next_worker(tmp_path):
    cells = []

    def fail(cell):
        cells.append(cell)
        raise MemoryError("no memory")

    with pytest.raises(MemoryError):
        run(methods.RandomSearch(SPACE, seed=0), fail, 3, storage=tmp_path / "trials.journal")
    result = run(methods.RandomSearch(SPACE, seed=0), judge, 3, storage=tmp_path / "trials.journal")
    assert result.history[0][0] == cells[0] and len(result.history) == 3


@pytest.mark.long
def test_four_workers_one_is_killed(tmp_path):
    """All 40 cells get a score once; the cell of the killed worker is evaluated again by another one."""
    storage, count = str(tmp_path / "trials.journal"), 40
    (tmp_path / "cells0.txt.hang").touch()  # this worker is killed during an evaluation
    workers = [start(tmp_path, number, storage, count) for number in range(4)]
    for _ in range(600):
        if (tmp_path / "cells0.txt").exists():
            break
        time.sleep(0.1)
    time.sleep(0.3)
    workers[0].send_signal(signal.SIGKILL)
    outputs = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [-signal.SIGKILL, 0, 0, 0], outputs
    histories = [json.loads(out) for out, _ in outputs[1:]]
    assert all(len(history) == count for history in histories)
    assert sorted(histories[0]) == sorted(histories[1]) == sorted(histories[2])
    lost = (tmp_path / "cells0.txt").read_text(encoding="utf-8").split()
    evaluated = [
        cell
        for number in (1, 2, 3)
        for cell in (tmp_path / f"cells{number}.txt").read_text(encoding="utf-8").split()
    ]
    counts = collections.Counter(cell for cell, _ in histories[0])
    assert len(lost) == 1 and counts[lost[0]] == 1 and lost[0] in evaluated
    assert len(evaluated) == count and sorted(evaluated) == sorted(counts.elements())
