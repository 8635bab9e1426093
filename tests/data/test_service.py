"""The processes of a tf.data service: `python -m kapps.data.service`, with killed workers and dispatchers."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

import kapps.data
from kapps.data import service
from kapps.data.errors import DataError
from kapps.preprocessing import Preprocessing


def free_port():
    with socket.socket() as free_socket:
        free_socket.bind(("localhost", 0))
        return free_socket.getsockname()[1]


@pytest.mark.parametrize(
    "address", ["localhost", "localhost:", "localhost:0", "localhost:99999", ":50", "a:b"]
)
def test_an_address_of_another_form_is_refused(address):
    with pytest.raises(DataError, match="HOST:PORT"):
        service.check_dispatcher(address)


def test_an_address_without_a_service_is_refused():
    port = free_port()
    with pytest.raises(DataError, match=f"localhost:{port}"):
        service.check_dispatcher(f"localhost:{port}", seconds=0.1)


def children(pid, role):
    """Returns the process ids of the servers that a process has started."""
    pids = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
            command = (path / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == pid and f"--server={role}".encode() in command:
            pids.append(int(path.name))
    return pids


@pytest.mark.long
@pytest.mark.skipif(not pathlib.Path("/proc/self/stat").exists(), reason="reads /proc")
def test_killed_servers_lose_and_repeat_no_image(tmp_path):
    """A worker, then the dispatcher, is killed in the first epochs: every image is in every epoch once."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "kapps.data.service",
        f"--port={port}",
        "--workers=2",
        "--host=localhost",
    ]
    command.append(f"--work_dir={tmp_path}")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    try:
        assert f"localhost:{port}" in process.stdout.readline()
        source = kapps.data.open_source("digits", split="train")
        arguments = {"classes": 10, "channels": 1, "augmentation": "none", "flip": False}
        preprocessing = Preprocessing(size=(32, 32), crop=1.0)
        size, steps = 60, source.examples // 60
        datasets = [
            kapps.data.train_dataset(source, preprocessing, size, data_service=address, **arguments)
            for address in (None, f"localhost:{port}")
        ]
        for number, ((images, labels), (expected, expected_labels)) in enumerate(
            zip(datasets[1].take(2 * steps), datasets[0], strict=False)
        ):
            np.testing.assert_array_equal(images, expected)
            np.testing.assert_array_equal(labels, expected_labels)
            if number == 5:
                os.kill(children(process.pid, "worker")[0], signal.SIGKILL)
            if number == steps:
                os.kill(children(process.pid, "dispatcher")[0], signal.SIGKILL)
        servers = children(process.pid, "worker") + children(process.pid, "dispatcher")
        assert len(servers) == 3  # those that were killed run again
        process.terminate()
        assert process.wait(30) == 0
        time.sleep(0.5)
        assert not any(pathlib.Path(f"/proc/{pid}").exists() for pid in servers)
    finally:
        process.kill()
        process.wait()
