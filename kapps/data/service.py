"""Starts a tf.data service: a dispatcher, and workers that read and decode images for a training.

    python -m kapps.data.service --work_dir=/scratch/service --port=5050              # a dispatcher and one worker
    python -m kapps.data.service --dispatcher=10.0.0.1:5050 --host=10.0.0.2           # a worker on another machine
    python recipes/imagenet.py --data_service=10.0.0.1:5050 --data_dir=/data/imagenet

Workers can be added and can end at any time; one that ends is started again, and so is the dispatcher. With --work_dir
the dispatcher continues where it was. Every machine needs the data at the path that the training has. The service has
no authentication and no encryption: use it inside a private network.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from kapps import _errors
from kapps._arguments import Parser, integer, path
from kapps._values import split_address

SECONDS = 120
"""Time that a client waits for the dispatcher."""
HEARTBEAT_MS = 1000
"""Time between two messages of a worker to the dispatcher."""


def check_dispatcher(address: str, seconds: float = SECONDS) -> None:
    """Waits until something listens at an address; TensorFlow would wait forever.

    Args:
        address: HOST:PORT.
        seconds: longest time to wait.

    Raises:
        DataError: the address is not HOST:PORT, or nothing listens there.
    """
    # Imports TensorFlow, which the parent of the servers does not need.
    from kapps.data.errors import DataError

    try:
        host, port = split_address(address)
    except ValueError as error:
        raise DataError(f"data_service={error}") from None
    end = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((host, port), timeout=max(0.1, min(5, seconds))):
                return
        except OSError as error:
            if time.monotonic() > end:
                raise DataError(
                    f"no data service at {address} ({error.strerror or error}): start one with "
                    "`python -m kapps.data.service`, or run without it"
                ) from None
        time.sleep(0.2)


def run_dispatcher(port: int, work_dir: str | None) -> None:
    """Runs a dispatcher until the process ends.

    Args:
        port: TCP port.
        work_dir: directory that keeps the state over a restart; `None` to keep none.
    """
    import tensorflow as tf

    tf.data.experimental.service.DispatchServer(
        tf.data.experimental.service.DispatcherConfig(
            port=port, work_dir=work_dir, fault_tolerant_mode=work_dir is not None,
            worker_timeout_ms=10 * HEARTBEAT_MS, job_gc_check_interval_ms=10_000, job_gc_timeout_ms=60_000,
        )
    ).join()  # fmt: skip


def run_worker(dispatcher: str, host: str, port: int) -> None:
    """Runs a worker until the process ends.

    Args:
        dispatcher: HOST:PORT of the dispatcher.
        host: name or address under which the clients reach this machine.
        port: TCP port; 0 for a free one.
    """
    import tensorflow as tf

    tf.data.experimental.service.WorkerServer(
        tf.data.experimental.service.WorkerConfig(
            dispatcher_address=dispatcher, worker_address=f"{host}:{port or '%port%'}", port=port,
            heartbeat_interval_ms=HEARTBEAT_MS, dispatcher_timeout_ms=3_600_000,
        )
    ).join()  # fmt: skip


class _Processes:
    """The servers, each a process that is started again if it ends."""

    def __init__(self):
        self._commands, self._processes = [], []

    def add(self, *arguments: str) -> None:
        self._commands.append([sys.executable, "-m", __spec__.name, *arguments])
        self._processes.append(self._start(-1))

    def watch(self, stop: threading.Event) -> None:
        """Starts processes that end again, until `stop` is set; then it ends all."""
        while not stop.wait(0.5):
            for number, process in enumerate(self._processes):
                if process.poll() is not None:
                    command = " ".join(self._commands[number][3:])
                    print(f"{command} ended ({process.returncode}): starting it again", flush=True)
                    time.sleep(0.5)
                    self._processes[number] = self._start(number)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def _start(self, number):
        return subprocess.Popen(self._commands[number], stdin=subprocess.PIPE)


def _end_with_parent():
    """Ends this process when standard input closes: when its parent has ended, for whatever reason."""

    def wait():
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def serve(options: argparse.Namespace) -> int:
    """Starts the servers of the command line, and waits for SIGTERM or Ctrl-C."""
    if options.server:
        _end_with_parent()
        if options.server == "dispatcher":
            run_dispatcher(options.port, options.work_dir)
        else:
            run_worker(options.dispatcher, options.host, options.worker_port)
        return 0
    if options.dispatcher:
        split_address(options.dispatcher)
    processes, stop = _Processes(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        if options.dispatcher is None:
            arguments = [f"--port={options.port}"]
            if options.work_dir:
                os.makedirs(options.work_dir, exist_ok=True)
                arguments.append(f"--work_dir={options.work_dir}")
            processes.add("--server=dispatcher", *arguments)
        dispatcher = options.dispatcher or f"{options.host}:{options.port}"
        for number in range(options.workers):
            port = options.worker_port + number if options.worker_port else 0
            processes.add(
                "--server=worker", f"--dispatcher={dispatcher}", f"--host={options.host}", f"--worker_port={port}"
            )  # fmt: skip
        if options.dispatcher is None:
            check_dispatcher(f"localhost:{options.port}")
        print(f"--data_service={dispatcher}: {options.workers} workers on this machine", flush=True)
        processes.watch(stop)
    finally:
        processes.end()
    return 0


def parser() -> Parser:
    """Returns the parser of the command line."""
    result = Parser(
        prog="python -m kapps.data.service",
        description=__doc__,
    )
    result.add_argument(
        "--port",
        type=integer(1, 2**16 - 1),
        default=5050,
        help="of the dispatcher (default: %(default)s)",
    )
    result.add_argument(
        "--work_dir",
        type=path,
        help="directory of the dispatcher's state, which a restart continues from",
    )
    result.add_argument(
        "--dispatcher",
        metavar="HOST:PORT",
        help="a dispatcher that runs already; only workers are started",
    )
    result.add_argument(
        "--workers",
        type=integer(0, 1000),
        default=1,
        help="number on this machine (default: %(default)s)",
    )
    result.add_argument(
        "--worker_port", type=integer(0, 2**16 - 1), default=0,
        help="of the first worker, the others have the next ones (default: free ones)",
    )  # fmt: skip
    result.add_argument(
        "--host", default=socket.gethostname(),
        help="name or address of this machine for the others (default: %(default)s)",
    )  # fmt: skip
    result.add_argument("--server", choices=("dispatcher", "worker"), help=argparse.SUPPRESS)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line, and returns the exit status."""
    command_line = parser()
    options = command_line.parse_args(arguments)
    return _errors.run(lambda: serve(options), command_line.prog, status=1)


if __name__ == "__main__":
    sys.exit(main())
