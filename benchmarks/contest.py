"""What the benchmarks share: contenders in processes of their own, asked in turn, and a training step of each library.

What the machine does besides falls on all contenders alike where they take turns; who waits costs nothing.
"""

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
"""Seconds before each turn: the threads of OpenMP, PyTorch's, spin for a fifth of one after their work is done."""
LEAST = 0.2
"""Seconds that a turn takes, if need be by doing the work several times: a hundredth is soon off by a tenth."""


class Left(Exception):  # noqa: N818  # it is what happened, and no fault
    """A contender that cannot take part, or stopped: the last line that it said."""


class Contender:
    """One process or several that work at the same time; what they do is timed by themselves.

    Args:
        commands: of the processes, each a list.
        environments: what each has besides this process's environment.
    """

    def __init__(self, *commands, environments=({},)):
        self.processes, self.errors = [], []
        for command, more in zip(commands, environments, strict=True):
            # A file, for nobody reads a pipe while the process works, and a full one would stop it.
            self.errors.append(tempfile.TemporaryFile("w+"))  # noqa: SIM115  # `close` does
            self.processes.append(
                subprocess.Popen(
                    command,
                    env={**os.environ, **more},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self.errors[-1],
                    text=True,
                )
            )

    def ask(self, what="step"):
        """Returns the seconds that the slowest process took; `Left` where one gives no answer."""
        time.sleep(PAUSE)
        for process in self.processes:
            if process.poll() is None:
                print(what, file=process.stdin, flush=True)
        # All are read before one is missed, or the others would be left in the middle of their work.
        lines = [process.stdout.readline() for process in self.processes]
        for line, error in zip(lines, self.errors, strict=True):
            if not line:
                error.seek(0)
                raise Left((error.read().strip().splitlines() or ["it stopped"])[-1])
        return max(map(float, lines))

    def close(self):
        """Ends the processes, which hold nothing that is worth an orderly end; workers of one cluster take a minute."""
        for process, error in zip(self.processes, self.errors, strict=True):
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
            error.close()


def answering():
    """Returns the file to answer to; what libraries print goes to standard error from here on."""
    answers, sys.stdout = sys.stdout, sys.stderr
    return answers


def serve(prepare, *arguments, steps=1, named=False):
    """Answers every line on standard input, the name of a piece of work, with the seconds of one run of it.

    Args:
        prepare: function that returns the work, a function; called once a name. What is asked for the first time
            runs once untimed, which traces and compiles it.
        *arguments: of `prepare`.
        steps: runs, at least, that the answer is the mean of.
        named: whether `prepare` takes the name before its arguments.
    """
    answers, ready = answering(), {}
    for line in sys.stdin:
        name = line.strip()
        if name not in ready:
            ready[name] = prepare(*[name] * named, *arguments)
            ready[name]()
        start, taken, runs = time.perf_counter(), 0.0, 0
        while runs < steps or taken < LEAST:
            ready[name]()
            taken, runs = time.perf_counter() - start, runs + 1
        print(taken / runs, file=answers, flush=True)


def enter(contenders):
    """Starts contenders and returns those that run here by name; says why the others do not.

    Args:
        contenders: by name, functions without arguments that return a `Contender`.
    """
    entered = {}
    for name, start in contenders.items():
        entered[name] = start()
        try:
            entered[name].ask()
        except Left as left:
            print(f"{name} does not run here and is left out: {left}")
            entered.pop(name).close()
    return entered


def in_turn(contenders, number):
    """Returns the names in a round's order: forwards and backwards by turns, so that none always follows another."""
    return list(contenders) if number % 2 == 0 else list(contenders)[::-1]


def works(contenders, names, count, about, slow=MappingProxyType({})):
    """Returns the median seconds of each work, {work: {contender: seconds}}, all in turn, and ends the contenders.

    Args:
        contenders: by name; who cannot do a work is left out of all, and a line says why.
        names: of the works.
        count: of the rounds.
        about: what the lines of progress begin with.
        slow: rounds in which a contender takes part, of those that do not in all, by name.
    """
    contenders, seconds = dict(contenders), {work: {} for work in names}
    began = time.perf_counter()
    try:
        for number in range(count):
            for work, found in seconds.items():
                for name in in_turn(contenders, number):
                    if number >= slow.get(name, count):
                        continue
                    try:
                        found.setdefault(name, []).append(contenders[name].ask(work))
                    except Left as left:
                        print(f"{name} does not run {about} here and is left out: {left}")
                        contenders.pop(name).close()
            spent = time.perf_counter() - began
            print(
                f"{about}, round {number + 1} of {count}: {spent:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    finally:
        for contender in contenders.values():
            contender.close()
    return {
        work: {name: statistics.median(found[name]) for name in contenders}
        for work, found in seconds.items()
    }


def rounds(contenders, count, about, slow=MappingProxyType({})):
    """Returns the median seconds of each contender that does one thing alone; see `works`."""
    return works(contenders, ["step"], count, about, slow)["step"]


def keras_step(model, batch_size, size, jit_compile=False):
    """Returns a function that trains a Keras model for one step of SGD with momentum.

    Args:
        model: with a softmax over 1000 classes.
        batch_size: images a step.
        size: height and width of the images.
        jit_compile: whether the step goes through XLA.
    """
    import functools

    import keras
    import numpy as np

    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=jit_compile)
    generator = np.random.default_rng(0)
    images = generator.random((batch_size, size, size, 3), "float32")
    labels = generator.integers(0, 1000, batch_size)
    return functools.partial(model.train_on_batch, images, labels)


def torch_builder(name):
    """Returns a function that builds a network in PyTorch, without weights from elsewhere.

    Args:
        name: in `torchvision.models`, or timm's with "timm/" before it.
    """
    import functools

    import torch

    # torchvision's own wheel beside a CPU-only PyTorch lacks these two, and declares nothing without them.
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operation in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operation):
            library.define(
                f"{operation}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
    _libraries.append(library)  # what it declares goes with it
    if name.startswith("timm/"):
        import timm

        return functools.partial(timm.create_model, name.removeprefix("timm/"))
    import torchvision

    return functools.partial(torchvision.models.get_model, name, weights=None)


_libraries = []


class TorchStep:
    """Trains one of torchvision's models for a step of SGD with momentum, whenever it is called.

    Args:
        name: of the model in `torchvision.models`.
        batch_size: images a step.
        size: height and width of the images.
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
