"""Trainings in separate processes: one, or several workers of a cluster."""

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
    """A running training; its output is in a file."""

    def __init__(self, folder, name, strategy, *flags, number=0, cluster=None):
        self.folder, self.name, self.number = folder, name, number
        self.log = folder / f"{name}_{number}.{time.monotonic_ns()}.log"
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        # As in the recipes with several workers: the convolution of oneDNN fails for an empty batch.
        environment["TF_ENABLE_ONEDNN_OPTS"] = "0"
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(WORKER.parents[2]), os.environ.get("PYTHONPATH", "")]
        )
        if cluster is not None:
            environment["TF_CONFIG"] = cluster if isinstance(cluster, str) else json.dumps(cluster)
        with self.log.open("w", encoding="utf-8") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER), str(folder), name, strategy, *flags],
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def output(self):
        return self.log.read_text(encoding="utf-8")

    def wait_for(self, text, seconds=200):
        """Waits until the process has printed `text`."""
        ends = time.monotonic() + seconds
        while text not in self.output():
            assert self.process.poll() is None and time.monotonic() < ends, self.output()
            time.sleep(0.02)

    def wait(self, code=0, seconds=200):
        """Waits for the end, and returns the last line of the output."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        assert self.process.poll() == code, self.output()
        return self.output().strip().splitlines()[-1]


@pytest.fixture(scope="session")
def trainings(tmp_path_factory):
    """`trainings(name, strategy, *flags)` starts one training, with `of=3` three workers; returns a list of them."""
    folder, started = tmp_path_factory.mktemp("trainings"), []

    def start(name, strategy, *flags, of=0, cluster=None):
        if of:
            addresses = free_addresses(of)
            tasks = [{"type": "worker", "index": number} for number in range(of)]
            clusters = [{"cluster": {"worker": addresses}, "task": task} for task in tasks]
            processes = [
                Process(folder, name, strategy, *flags, number=number, cluster=cluster)
                for number, cluster in enumerate(clusters)
            ]
        else:
            processes = [Process(folder, name, strategy, *flags, cluster=cluster)]
        started.extend(processes)
        return processes

    yield start
    for process in started:
        process.process.kill()


@pytest.fixture
def free():
    """`free(2)` returns two free addresses of this machine."""
    return free_addresses


def free_addresses(count):
    """Returns addresses of this machine at which no process listens."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free_socket in sockets:
            free_socket.bind(("localhost", 0))
        return [f"localhost:{free_socket.getsockname()[1]}" for free_socket in sockets]
