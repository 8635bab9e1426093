"""Trainings in processes of their own: alone, and several workers of one cluster."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest

WORKER = pathlib.Path(__file__).parent / "worker.py"


class Process:
    """A training that runs, its output in a file."""

    def __init__(self, folder, name, strategy, *flags, number=0, cluster=None):
        self.folder, self.name, self.number = folder, name, number
        self.log = folder / f"{name}_{number}.{time.monotonic_ns()}.log"
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        # As the recipes have it of several workers: oneDNN's convolution fails on an empty batch.
        environment["TF_ENABLE_ONEDNN_OPTS"] = "0"
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(WORKER.parents[2]), os.environ.get("PYTHONPATH", "")]
        )
        if cluster is not None:
            environment["TF_CONFIG"] = cluster if isinstance(cluster, str) else json.dumps(cluster)
        with self.log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER), str(folder), name, strategy, *flags],
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def said(self):
        return self.log.read_text()

    def until(self, text, seconds=200):
        """Waits until the process has printed `text`."""
        ends = time.monotonic() + seconds
        while text not in self.said():
            assert self.process.poll() is None and time.monotonic() < ends, self.said()
            time.sleep(0.02)

    def wait(self, code=0, seconds=200):
        """Waits for the end, and returns the last line."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        assert self.process.poll() == code, self.said()
        return self.said().strip().splitlines()[-1]


@pytest.fixture(scope="session")
def trainings(tmp_path_factory):
    """`trainings(name, strategy, *flags)` starts one; `of=3` starts three workers. All end with the tests."""
    folder, started = tmp_path_factory.mktemp("trainings"), []

    def start(name, strategy, *flags, of=0, cluster=None):
        if of:
            addresses = free_addresses(of)
            tasks = [{"type": "worker", "index": number} for number in range(of)]
            clusters = [{"cluster": {"worker": addresses}, "task": task} for task in tasks]
            found = [
                Process(folder, name, strategy, *flags, number=number, cluster=cluster)
                for number, cluster in enumerate(clusters)
            ]
        else:
            found = [Process(folder, name, strategy, *flags, cluster=cluster)]
        started.extend(found)
        return found

    yield start
    for each in started:
        each.process.kill()


@pytest.fixture
def free():
    """`free(2)` gives two addresses of this machine that nothing listens at."""
    return free_addresses


def free_addresses(count):
    """Returns addresses of this machine that nothing listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [f"localhost:{each.getsockname()[1]}" for each in sockets]
