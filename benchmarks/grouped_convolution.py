"""Throughput of training resnext50: kapps, the same network with Keras's grouped convolution, torchvision.

    python benchmarks/grouped_convolution.py --peer_python=/path/to/python/with/torch

Each library has a process of its own. The processes take turns, step by step, so that other work on the machine affects
all of them alike; the table has medians. A step with Keras's layer takes more than a minute.
"""

import argparse
import functools
import sys

import _timing

KAPPS, KERAS, TORCH = "kapps", "Keras's layer", "torchvision, PyTorch"


def prepare(library, batch_size, size):
    """Returns the training step of a library."""
    if library == TORCH:
        return _timing.TorchStep("resnext50_32x4d", batch_size, size)
    import kapps

    model = kapps.resnext50(input_shape=(size, size, 3), portable=library == KERAS)
    return _timing.keras_step(model, batch_size, size)


def start(library, options):
    python = options.peer_python if library == TORCH else sys.executable
    command = [python, __file__, f"--library={library}"]
    command += [f"--batch_size={options.batch_size}", f"--image_size={options.image_size}"]
    return _timing.TimedProcess(command)


def compare(options):
    """Runs the processes in turn and prints the table."""
    starts = {name: functools.partial(start, name, options) for name in (KAPPS, KERAS, TORCH)}
    processes = _timing.start_processes(starts)
    if KAPPS not in processes:
        sys.exit("kapps is not installed: pip install -e .")
    slow = {KERAS: options.slow_rounds}
    medians = _timing.median_step_seconds(processes, options.rounds, "resnext50", slow)
    print(
        f"resnext50, training step, batch {options.batch_size}, {options.image_size} px, {_timing.CORES} cores"
    )
    print(f"{'':22}{'images/s':>12}{'time / kapps':>14}")
    for name, seconds in medians.items():
        print(f"{name:22}{options.batch_size / seconds:12.2f}{seconds / medians[KAPPS]:14.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--peer_python", default=sys.executable, help="interpreter with torch and torchvision"
    )
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow_rounds", type=int, default=1, help="rounds with Keras's layer")
    parser.add_argument("--library", choices=(KAPPS, KERAS, TORCH), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        _timing.serve(prepare, options.library, options.batch_size, options.image_size)
    else:
        compare(options)


if __name__ == "__main__":
    main()
