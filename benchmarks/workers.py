"""What a strategy costs: two workers of one machine beside one process that does the same work.

    python benchmarks/workers.py

resnet20_cifar on the digits at 32 pixels. All take the same images a step on the same cores, so that one process
is the limit: the ratio is what the exchange between the workers costs. How much of it is the batch norms', which
kapps synchronises, the third row tells, where they are left apart.
"""

import argparse
import contextlib
import functools
import json
import socket
import sys
import time

import contest  # first: it says how TensorFlow begins
import keras

from kapps import data, resnet20_cifar, training
from kapps.cards import Preprocessing

ONE, TWO, APART = "one process", "two workers", "two workers, batch norms apart"


def free_addresses(count):
    """Returns addresses of this machine that nothing listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [f"localhost:{each.getsockname()[1]}" for each in sockets]


class Answers(keras.callbacks.Callback):
    """Waits for a line before every epoch, answers with the seconds of a step, and ends where there is no line."""

    def __init__(self, file):
        super().__init__()
        self.file, self.began = file, 0.0

    def on_train_begin(self, logs=None):
        sys.stdin.readline()

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = (time.perf_counter() - self.began) / self.params["steps"]
        print(seconds, file=self.file, flush=True)
        self.model.stop_training = not sys.stdin.readline()


def train(contender, options):
    """Trains as long as standard input has lines: an epoch a line, answered with the seconds of a step."""
    answers = contest.answering()
    # First of all: TensorFlow refuses to connect workers once it has computed anything.
    strategy = training.make_strategy("default" if contender == ONE else "multi_worker")
    training.set_seed(0)
    with strategy.scope():
        model = resnet20_cifar(input_shape=(32, 32, 3), classes=10)
        trained = training.compile_classifier(model, keras.optimizers.SGD(0.1, momentum=0.9))
    images = functools.partial(
        data.train_dataset, data.open_source("digits", split="train"), Preprocessing(size=(32, 32), crop=1.0),
        options.batch_size, classes=10, augmentation="none", flip=False,
    )  # fmt: skip

    with training.replica_workarounds(trained, strategy):
        if contender == APART:
            for layer in trained.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.synchronized = False
        trained.fit(
            training.distribute_dataset(functools.partial(of_shard, images), strategy),
            epochs=1_000_000, steps_per_epoch=options.steps, shuffle=False, verbose=0, callbacks=[Answers(answers)],
        )  # fmt: skip


def of_shard(images, shard):
    return images(shard=shard)


def start(contender, options):
    command = [sys.executable, __file__, f"--contender={contender}"]
    command += [f"--steps={options.steps}", f"--batch_size={options.batch_size}"]
    if contender == ONE:
        return contest.Contender(command)
    cluster = {"worker": free_addresses(2)}
    environments = [
        {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})}
        for index in range(2)
    ]
    return contest.Contender(command, command, environments=environments)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20, help="steps of each in a round")
    parser.add_argument("--batch_size", type=int, default=64, help="images a step over all")
    parser.add_argument("--quick", action="store_true", help="see that it runs: small, one round")
    parser.add_argument("--contender", choices=(ONE, TWO, APART), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        train(options.contender, options)
        return
    if options.quick:
        options.rounds, options.steps, options.batch_size = 1, 2, 8
    starts = {name: functools.partial(start, name, options) for name in (ONE, TWO, APART)}
    medians = contest.rounds(contest.enter(starts), options.rounds, "resnet20_cifar")
    first = next(iter(medians.values()), None)
    print(
        f"resnet20_cifar, {options.batch_size} images a step in all, 32 px, {contest.CORES} cores, "
        f"median of {options.rounds} rounds of {options.steps} steps"
    )
    print(f"{'':34}{'steps/s':>9}{'images/s':>12}{'time':>8}")
    for name, seconds in medians.items():
        rate = 1 / seconds
        print(f"{name:34}{rate:9.2f}{rate * options.batch_size:12.1f}{seconds / first:8.2f}")


if __name__ == "__main__":
    main()
