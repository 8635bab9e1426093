"""The training step of resnext50: kapps, the same network of Keras's own layers, torchvision's in PyTorch.

    python benchmarks/grouped_convolution.py --peer_python=/path/to/python/with/torch

Each contender lives in a process of its own and is asked for one step at a time, in turn, so that what else
the machine does falls on all alike; the table shows medians. Keras's own layer takes a minute and more a step.
"""

import argparse
import functools
import sys

import contest

KAPPS, STOCK, TORCH = "kapps", "Keras's own layer", "torchvision, PyTorch"


def prepare(contender, batch_size, size):
    """Returns the step of a contender."""
    if contender == TORCH:
        return contest.TorchStep("resnext50_32x4d", batch_size, size)
    import kapps

    model = kapps.resnext50(input_shape=(size, size, 3), portable=contender == STOCK)
    return contest.keras_step(model, batch_size, size)


def start(contender, options):
    python = options.peer_python if contender == TORCH else sys.executable
    command = [python, __file__, f"--worker={contender}"]
    command += [f"--batch_size={options.batch_size}", f"--image_size={options.image_size}"]
    return contest.Contender(command)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--peer_python", default=sys.executable, help="an interpreter with torch and torchvision"
    )
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--slow_rounds", type=int, default=1, help="rounds in which Keras's own layer takes part"
    )
    parser.add_argument("--worker", choices=(KAPPS, STOCK, TORCH), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        contest.serve(prepare, options.worker, options.batch_size, options.image_size)
    else:
        compare(options)


def compare(options):
    """Runs the contenders in turn and prints the table."""
    starts = {name: functools.partial(start, name, options) for name in (KAPPS, STOCK, TORCH)}
    entered = contest.enter(starts)
    if KAPPS not in entered:
        sys.exit("there is nothing to compare without kapps: pip install -e .")
    slow = {STOCK: options.slow_rounds}
    medians = contest.rounds(entered, options.rounds, "resnext50", slow)
    print(
        f"resnext50, training step, batch {options.batch_size}, {options.image_size} px, {contest.CORES} cores"
    )
    print(f"{'':22}{'images/s':>12}{'kapps is':>12}")
    for name, median in medians.items():
        print(f"{name:22}{options.batch_size / median:12.2f}{median / medians[KAPPS]:11.1f}x")


if __name__ == "__main__":
    main()
