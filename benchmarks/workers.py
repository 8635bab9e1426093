"""Cost of distribution: two workers on one machine, compared with one process that does the same work.

    python benchmarks/workers.py

resnet20_cifar on the digits at 32 pixels. All use the same number of images in a step and the same cores, so that one
process is the limit: the ratio is the cost of communication between the workers. kapps synchronises batch norms; the
third row shows the cost without synchronisation.
"""

import argparse
import contextlib
import functools
import json
import socket
import sys
import time

import _timing  # first: sets TensorFlow's environment variables
import keras

from kapps import data, resnet20_cifar, training
from kapps.cards import Preprocessing

ONE, TWO, LOCAL_NORMS = "one process", "two workers", "two workers, local batch norms"


def free_addresses(count):
    """Returns addresses with free ports of this machine."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free_socket in sockets:
            free_socket.bind(("localhost", 0))
        return [f"localhost:{free_socket.getsockname()[1]}" for free_socket in sockets]


class TimedEpochs(keras.callbacks.Callback):
    """Reads a line from standard input before each epoch and writes the seconds of a step after it.

    Training ends at the end of the input.
    """

    def __init__(self, results):
        super().__init__()
        self.results, self.start = results, 0.0

    def on_train_begin(self, logs=None):
        sys.stdin.readline()

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = (time.perf_counter() - self.start) / self.params["steps"]
        print(seconds, file=self.results, flush=True)
        self.model.stop_training = not sys.stdin.readline()


def train(configuration, options):
    """Trains for one epoch for each line of standard input, and writes the seconds of a step."""
    results = _timing.take_stdout()
    # The strategy comes first: TensorFlow cannot connect workers after its first computation.
    strategy = training.make_strategy("default" if configuration == ONE else "multi_worker")
    training.set_seed(0)
    with strategy.scope():
        model = resnet20_cifar(input_shape=(32, 32, 3), classes=10)
        compiled = training.compile_classifier(model, keras.optimizers.SGD(0.1, momentum=0.9))
    dataset = functools.partial(
        data.train_dataset, data.open_source("digits", split="train"), Preprocessing(size=(32, 32), crop=1.0),
        options.batch_size, classes=10, augmentation="none", flip=False,
    )  # fmt: skip

    with training.replica_workarounds(compiled, strategy):
        if configuration == LOCAL_NORMS:
            for layer in compiled.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.synchronized = False
        compiled.fit(
            training.distribute_dataset(functools.partial(shard_dataset, dataset), strategy),
            epochs=1_000_000, steps_per_epoch=options.steps, shuffle=False, verbose=0, callbacks=[TimedEpochs(results)],
        )  # fmt: skip


def shard_dataset(dataset, shard):
    return dataset(shard=shard)


def start(configuration, options):
    command = [sys.executable, __file__, f"--configuration={configuration}"]
    command += [f"--steps={options.steps}", f"--batch_size={options.batch_size}"]
    if configuration == ONE:
        return _timing.TimedProcess(command)
    cluster = {"worker": free_addresses(2)}
    environments = [
        {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})}
        for index in range(2)
    ]
    return _timing.TimedProcess(command, command, environments=environments)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20, help="steps of each process in a round")
    parser.add_argument(
        "--batch_size", type=int, default=64, help="images of all workers in a step"
    )
    parser.add_argument("--quick", action="store_true", help="two steps of 8 images, one round")
    parser.add_argument("--configuration", choices=(ONE, TWO, LOCAL_NORMS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.configuration:
        train(options.configuration, options)
        return
    if options.quick:
        options.rounds, options.steps, options.batch_size = 1, 2, 8
    starts = {name: functools.partial(start, name, options) for name in (ONE, TWO, LOCAL_NORMS)}
    processes = _timing.start_processes(starts)
    medians = _timing.median_step_seconds(processes, options.rounds, "resnet20_cifar")
    first = next(iter(medians.values()), None)
    print(
        f"resnet20_cifar, {options.batch_size} images in a step of all workers, 32 px, {_timing.CORES} cores, "
        f"median of {options.rounds} rounds of {options.steps} steps"
    )
    print(f"{'':34}{'steps/s':>9}{'images/s':>12}{'ratio':>8}")
    for name, seconds in medians.items():
        rate = 1 / seconds
        print(f"{name:34}{rate:9.2f}{rate * options.batch_size:12.1f}{seconds / first:8.2f}")


if __name__ == "__main__":
    main()
