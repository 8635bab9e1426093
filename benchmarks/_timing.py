"""Timing of libraries in processes of their own, in turn; and a training step of each library.

The processes take turns, so that other work on the machine affects all of them alike. A process that waits for its turn
does nothing.
"""

import contextlib
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from types import MappingProxyType

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

CORES = os.cpu_count() or 1
PAUSE = 0.3
"""Seconds before each turn: the OpenMP threads of PyTorch spin for 0.2 s after their work."""
MIN_SECONDS = 0.2
"""Least duration of a turn. A shorter work is repeated, since times of a hundredth of a second vary by a tenth."""


class ProcessError(Exception):
    """A process cannot run its library, or has stopped. The message is its last line on standard error."""


class TimedProcess:
    """One process that times its own work, or several processes that work at the same time.

    Args:
        *commands: command line of each process, as a list.
        environments: additional environment variables of each process.
    """

    def __init__(self, *commands, environments=(None,)):
        self.processes, self.errors = [], []
        for command, variables in zip(commands, environments, strict=True):
            # A file, since a full pipe that is not read would block the process.
            self.errors.append(tempfile.TemporaryFile("w+", encoding="utf-8"))  # noqa: SIM115  # closed in `close`
            self.processes.append(
                subprocess.Popen(
                    command,
                    env={**os.environ, **(variables or {})},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self.errors[-1],
                    text=True,
                    encoding="utf-8",
                )
            )

    def run(self, work="step") -> float:
        """Runs a work in all processes and returns the seconds of the slowest.

        Raises:
            ProcessError: if a process has stopped.
        """
        time.sleep(PAUSE)
        for process in self.processes:
            if process.poll() is None:
                print(work, file=process.stdin, flush=True)
        # All lines are read before an error is raised, so that no process is left in the middle of its work.
        lines = [process.stdout.readline() for process in self.processes]
        for line, error in zip(lines, self.errors, strict=True):
            if not line:
                error.seek(0)
                raise ProcessError((error.read().strip().splitlines() or ["it stopped"])[-1])
        return max(map(float, lines))

    def close(self):
        """Kills the processes. They have no results to save, and an orderly end of a cluster takes a minute."""
        for process, error in zip(self.processes, self.errors, strict=True):
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
            error.close()


def take_stdout():
    """Returns the file for results, and redirects everything else on standard output to standard error."""
    results, sys.stdout = sys.stdout, sys.stderr
    return results


def serve(prepare, *arguments, steps=1, with_work=False):
    """Reads names of works from standard input, one in a line, and writes the seconds of each work.

    Args:
        prepare: function that returns a work, which is a function; called once for each name. The first run of a work
            is not timed, since it traces and compiles.
        *arguments: arguments of `prepare`.
        steps: least number of runs, over which the mean is taken.
        with_work: whether the name of the work is the first argument of `prepare`.
    """
    results, works = take_stdout(), {}
    for line in sys.stdin:
        name = line.strip()
        if name not in works:
            works[name] = prepare(*[name] * with_work, *arguments)
            works[name]()
        start, seconds, runs = time.perf_counter(), 0.0, 0
        while runs < steps or seconds < MIN_SECONDS:
            works[name]()
            seconds, runs = time.perf_counter() - start, runs + 1
        print(seconds / runs, file=results, flush=True)


def start_processes(starts) -> dict:
    """Starts processes and returns those that work, by name; prints why the others do not.

    Args:
        starts: functions without arguments that return a `TimedProcess`, by name.
    """
    processes = {}
    for name, start in starts.items():
        processes[name] = start()
        try:
            processes[name].run()
        except ProcessError as error:
            print(f"{name} does not run here and is left out: {error}")
            processes.pop(name).close()
    return processes


def alternate(names, round_number) -> list:
    """Returns the names in forward order in even rounds and in backward order in odd rounds."""
    return list(names) if round_number % 2 == 0 else list(names)[::-1]


def median_seconds(processes, works, rounds, label, slow=MappingProxyType({})) -> dict:
    """Returns the median seconds of each work, {work: {process: seconds}}, and closes the processes.

    Args:
        processes: `TimedProcess` by name. A process that fails is left out, and the reason is printed.
        works: names of the works.
        rounds: number of rounds. In each round all processes take turns.
        label: start of the lines of progress.
        slow: for slow processes, the number of rounds in which they take part.
    """
    processes, seconds = dict(processes), {work: {} for work in works}
    start = time.perf_counter()
    try:
        for number in range(rounds):
            for work, times in seconds.items():
                for name in alternate(processes, number):
                    if number >= slow.get(name, rounds):
                        continue
                    try:
                        times.setdefault(name, []).append(processes[name].run(work))
                    except ProcessError as error:
                        print(f"{name} does not run {label} here and is left out: {error}")
                        processes.pop(name).close()
            elapsed = time.perf_counter() - start
            progress = f"{label}, round {number + 1} of {rounds}: {elapsed:.0f} s"
            print(progress, file=sys.stderr, flush=True)
    finally:
        for process in processes.values():
            process.close()
    return {
        work: {name: statistics.median(times[name]) for name in processes}
        for work, times in seconds.items()
    }


def median_step_seconds(processes, rounds, label, slow=MappingProxyType({})) -> dict:
    """Returns the median seconds of processes with one work, {process: seconds}; see `median_seconds`."""
    return median_seconds(processes, ["step"], rounds, label, slow)["step"]


def keras_step(model, batch_size, size, jit_compile=False, fused=False):
    """Returns a function that trains a Keras model for one step of SGD with momentum.

    Args:
        model: a classifier with a softmax over 1000 classes.
        batch_size: number of images.
        size: height and width of the images in pixels.
        jit_compile: whether the step is compiled by XLA.
        fused: whether batch norms are one operation, as in `kapps.training.Run`.
    """
    import keras
    import numpy as np

    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=jit_compile)
    random = np.random.default_rng(0)
    images = random.random((batch_size, size, size, 3), "float32")
    labels = random.integers(0, 1000, batch_size)
    if fused:
        fuse_batch_norms(model)
    return functools.partial(model.train_on_batch, images, labels)


def fuse_batch_norms(model):
    """Makes the batch norms of a model one operation each until the process ends."""
    from kapps.training import fused_batch_norms

    _open_contexts.enter_context(fused_batch_norms(model))


def torch_builder(name):
    """Returns a function that builds a PyTorch network with random weights.

    Args:
        name: name in `torchvision.models`, or "timm/" or "pytorchcv/" and a name there.
    """
    import torch

    # torchvision's wheel with a CPU-only PyTorch lacks these operations and cannot be imported without them.
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operation in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operation):
            library.define(
                f"{operation}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
    _torch_libraries.append(library)  # its operations are removed when it is deleted
    if name.startswith("timm/"):
        import timm

        return functools.partial(timm.create_model, name.removeprefix("timm/"))
    if name.startswith("pytorchcv/"):
        from pytorchcv.model_provider import get_model

        return functools.partial(get_model, name.removeprefix("pytorchcv/"))
    import torchvision

    return functools.partial(torchvision.models.get_model, name, weights=None)


_torch_libraries = []
_open_contexts = contextlib.ExitStack()


class TorchStep:
    """Trains a network of torchvision for one step of SGD with momentum.

    Args:
        name: name in `torchvision.models`.
        batch_size: number of images.
        size: height and width of the images in pixels.
    """

    def __init__(self, name, batch_size, size):
        import torch

        torch.set_num_threads(CORES)
        model = torch_builder(name)()
        self.model = model.to(memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
        self.images = torch.rand(batch_size, 3, size, size).to(memory_format=torch.channels_last)
        self.labels = torch.randint(0, 1000, (batch_size,))
        self.loss = torch.nn.functional.cross_entropy

    def __call__(self):
        self.optimizer.zero_grad()
        self.loss(self.model(self.images), self.labels).backward()
        self.optimizer.step()
