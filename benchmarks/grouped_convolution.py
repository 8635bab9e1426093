"""The training step of resnext50: kapps, the same network of Keras's own layers, torchvision's in PyTorch.

    python benchmarks/grouped_convolution.py --peer_python=/path/to/python/with/torch

Each contender lives in a process of its own and is asked for one step at a time, in turn, so that what else
the machine does falls on all alike; the table shows medians. Keras's own layer takes a minute and more a step.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def keras_step(model, batch_size, size):
    """Returns a function that trains `model` for one step of SGD with momentum."""
    import keras
    import numpy as np

    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        "sparse_categorical_crossentropy",
        jit_compile=False,
    )
    generator = np.random.default_rng(0)
    pictures = generator.random((batch_size, size, size, 3), "float32")
    labels = generator.integers(0, 1000, batch_size)
    return lambda: model.train_on_batch(pictures, labels)


def kapps_step(batch_size, size):
    import kapps

    return keras_step(kapps.resnext50(input_shape=(size, size, 3)), batch_size, size)


def stock_step(batch_size, size):
    import kapps

    return keras_step(kapps.resnext50(input_shape=(size, size, 3), stock=True), batch_size, size)


def torch_step(batch_size, size):
    import torch

    # torchvision's own wheel beside a CPU-only PyTorch lacks these two, and declares nothing without them.
    torch_step.library = torch.library.Library("torchvision", "FRAGMENT")
    for operation in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operation):
            torch_step.library.define(
                f"{operation}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
    import torchvision

    torch.set_num_threads(os.cpu_count())
    model = torchvision.models.resnext50_32x4d().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    pictures = torch.rand(batch_size, 3, size, size).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 1000, (batch_size,))

    def step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(pictures), labels).backward()
        optimizer.step()

    return step


STEPS = {"kapps": kapps_step, "Keras's own layer": stock_step, "torchvision, PyTorch": torch_step}


def work(contender, batch_size, size):
    """Answers every line on standard input with the seconds of one step."""
    answers, sys.stdout = sys.stdout, sys.stderr
    step = STEPS[contender](batch_size, size)
    step()  # traces and compiles
    print("ready", file=answers, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, file=answers, flush=True)


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
    parser.add_argument("--worker", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.batch_size, options.image_size)
    else:
        compare(options)


def compare(options):
    """Runs the contenders in turn and prints the table."""
    seconds = {name: [] for name in STEPS}
    workers = {}
    for name in STEPS:
        python = options.peer_python if "torch" in name else sys.executable
        command = [python, __file__, f"--worker={name}"]
        command += [f"--batch_size={options.batch_size}", f"--image_size={options.image_size}"]
        pipes = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
        }
        workers[name] = subprocess.Popen(command, **pipes)
        if workers[name].stdout.readline() != "ready\n":
            error = (workers[name].stderr.read().strip().splitlines() or ["it stopped"])[-1]
            print(f"{name} does not run here and is left out: {error}")
            del workers[name]
    if "kapps" not in workers:
        sys.exit("there is nothing to compare without kapps: pip install -e .")
    for number in range(options.rounds):
        for name, worker in workers.items():
            if name == "Keras's own layer" and number >= options.slow_rounds:
                continue
            print("step", file=worker.stdin, flush=True)
            seconds[name].append(float(worker.stdout.readline()))
            print(f"round {number + 1}: {name} {seconds[name][-1]:.2f} s", file=sys.stderr)
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()

    ours = statistics.median(seconds["kapps"])
    print(
        f"resnext50, training step, batch {options.batch_size}, {options.image_size} px, {os.cpu_count()} cores"
    )
    print(f"{'':22}{'pictures/s':>12}{'kapps is':>12}")
    for name in workers:
        median = statistics.median(seconds[name])
        print(f"{name:22}{options.batch_size / median:12.2f}{median / ours:11.1f}x")


if __name__ == "__main__":
    main()
