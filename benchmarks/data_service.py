"""Throughput of tf.data's service (images/s) for a number of workers, each with one core, next to no service.

    python benchmarks/data_service.py --workers=1,2

JPEG files of 500x375 pixels to training crops of 224 pixels. Every worker has one core of this machine, as a machine of
its own would have, and the client the cores that are left, or all if none is. Configurations alternate in rounds.
"""

import argparse
import functools
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from image_pipeline import BATCH, SIZE, consume, write_images

BUFFERED = 80
"""Batches that the client and the workers hold at most."""


def start_service(workers: int) -> tuple[str, list[subprocess.Popen]]:
    """Starts a dispatcher and workers with one core each; returns the address and the processes."""
    with socket.socket() as free_socket:
        free_socket.bind(("localhost", 0))
        address = f"localhost:{free_socket.getsockname()[1]}"
    port = address.rpartition(":")[2]
    command = [sys.executable, "-m", "kapps.data.service", "--host=localhost"]
    start = functools.partial(
        subprocess.Popen, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    processes = [start([*command, f"--port={port}", "--workers=0"])]
    for number in range(workers):
        cores = {number % (os.cpu_count() or 1)}
        processes.append(
            start(
                [*command, f"--dispatcher={address}"],
                preexec_fn=functools.partial(os.sched_setaffinity, 0, cores),
            )
        )
    return address, processes


def measure(dataset, batches: int) -> float:
    """Returns the seconds that batches take, after those that wait in buffers."""
    iterator = iter(dataset)
    for _ in range(BUFFERED):
        next(iterator)
    start = time.perf_counter()
    for _ in range(batches):
        next(iterator)
    return time.perf_counter() - start


def main() -> None:
    """Measures all configurations and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default="1,2", help="numbers of workers")
    parser.add_argument("--images", type=int, default=768, help="images per measurement")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    from kapps import data
    from kapps.cards import Preprocessing

    with tempfile.TemporaryDirectory() as directory:
        write_images(pathlib.Path(directory), 128, 375, 500)
        source = data.open_source(None, directory, "train")
        train_dataset = functools.partial(
            data.train_dataset, source, Preprocessing(size=(SIZE, SIZE)), BATCH, classes=2
        )
        batches = max(1, options.images // BATCH)
        throughput: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            seconds = consume(train_dataset(), batches)
            throughput.setdefault(f"no service, {os.cpu_count()} cores", []).append(
                batches * BATCH / seconds
            )
            for count in map(int, options.workers.split(",")):
                address, processes = start_service(count)
                try:
                    seconds = measure(train_dataset(data_service=address), batches)
                finally:
                    for process in processes:
                        process.terminate()
                    for process in processes:
                        process.wait()
                rate = batches * BATCH / seconds
                throughput.setdefault(f"{count} workers of one core", []).append(rate)
    print(f"{SIZE}x{SIZE}, median of {options.rounds} rounds of {batches * BATCH} images")
    print(f"{'':34}{'images/s':>10}{'min..max':>16}")
    for name, values in throughput.items():
        print(
            f"{name:34}{statistics.median(values):10.0f}{f'{min(values):.0f}..{max(values):.0f}':>16}"
        )


if __name__ == "__main__":
    main()
