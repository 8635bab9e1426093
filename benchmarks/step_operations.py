"""Where a training step spends its time: kinds of operations of kapps's networks, and of torchvision's on PyTorch.

    python benchmarks/step_operations.py --peer_python=/path/to/python/with/torch
    python benchmarks/step_operations.py --networks mobilenet_v2 --image_size=128

Forward pass, backward pass and SGD with momentum in float32, on one thread, so that the times of the operations add up
to that of the step. The times are those of the profilers of TensorFlow and PyTorch, without those of the operations
that an operation calls. Each library has a process of its own. `training_step.py` compares whole steps on all cores.
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import _timing
from training_step import NETWORKS

KINDS = (
    ("optimizer", r"(?i)optimizer|/sgd|momentum|assign(add|sub)?variable"),
    ("convolutions, backward", r"Conv2d?(Native|D)?Backprop|(?i:conv\w*_backward|ConvolutionBackward)"),
    ("convolutions, forward", r":\w*Conv2[dD](Native)?$|aten::\w*conv"),
    ("batch norms", r"(?i)_bn(_\d+)?/|_norm(_\d+)?/|batch_?norm|moments"),
    ("activations", r"(?i)relu|clamp|threshold|hardtanh"),
    ("pooling", r"(?i)pool|aten::mean|:Mean$"),
    ("additions", r"(?i)_add(_\d+)?/|:Add(V2|N)$|aten::add_?$"),
    ("concatenations", r":Concat|:Slice$|aten::(cat|narrow|slice)"),
    ("padding and copies", r":(Pad|Transpose|Tile|StridedSlice)\w*$|aten::(copy_|pad|contiguous|clone|zero_|fill_)"),
)  # fmt: skip
"""Kinds, and patterns of "path:type" in TensorFlow and of names in PyTorch. The first that fits counts."""
OTHER = "other"


def kind_of(name):
    """Returns the kind of an operation."""
    return next((kind for kind, pattern in KINDS if re.search(pattern, name)), OTHER)


def self_times(intervals):
    """Yields (name, duration without the intervals inside) of the nested intervals of one thread.

    Args:
        intervals: [(start, duration, name), ...] in any order.
    """
    stack = []
    for start, duration, name in sorted(intervals, key=lambda row: (row[0], -row[1])):
        while stack and start >= stack[-1][0] + stack[-1][1]:
            yield _close(stack)
        stack.append([start, duration, name, 0])
    while stack:
        yield _close(stack)


def _close(stack):
    _, duration, name, inside = stack.pop()
    if stack:
        stack[-1][3] += duration
    return name, duration - inside


def profile_kapps(name, batch_size, size, steps):
    """Returns {operation: milliseconds of a step} of a network of kapps."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    import kapps

    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    model = getattr(kapps, name)(input_shape=(size, size, 3))
    step = _timing.keras_step(model, batch_size, size, fused=True)
    for _ in range(2):
        step()
    milliseconds = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(steps):
            step()
        tf.profiler.experimental.stop()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    for plane in space.planes:
        names = {number: entry.name for number, entry in plane.event_metadata.items()}
        for line in plane.lines:
            events = [(x.offset_ps, x.duration_ps, names[x.metadata_id]) for x in line.events]
            for operation, picoseconds in self_times(events):
                if re.search(r"[^:]:_?[A-Z]\w*$", operation):  # not the spans of the runtime
                    milliseconds[operation] += picoseconds / 1e9 / steps
    return milliseconds


def profile_torch(name, batch_size, size, steps):
    """Returns {operation: milliseconds of a step} of a network of torchvision."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    *_, torch_name = NETWORKS[name]
    step = _timing.TorchStep(torch_name, batch_size, size)
    torch.set_num_threads(1)
    for _ in range(2):
        step()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            step()
    milliseconds = collections.Counter()
    for event in profiler.events():
        parent, names = event, []
        while parent is not None:
            names.append(parent.name)
            parent = parent.cpu_parent
        is_optimizer = any(x.startswith("Optimizer.") for x in names)
        own = "optimizer" if is_optimizer else event.name
        milliseconds[own] += event.self_cpu_time_total / 1e3 / steps
    return milliseconds


def run(library, python, network, options):
    """Returns {kind: milliseconds} of a step, measured in a process of its own."""
    command = [python, __file__, f"--library={library}", "--networks", network]
    command += [f"--batch_size={options.batch_size}", f"--image_size={options.image_size}"]
    command += [f"--steps={options.steps}"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise SystemExit(f"{network}, {library}: {done.stderr.strip().splitlines()[-1]}")
    kinds = collections.Counter()
    for operation, milliseconds in json.loads(done.stdout.splitlines()[-1]).items():
        kinds[kind_of(operation)] += milliseconds
    return kinds


def main():
    """Prints a Markdown table for each network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer_python", help="interpreter with torch and torchvision")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=3, help="steps, over which the mean is taken")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--library", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        function = profile_torch if options.library == "PyTorch" else profile_kapps
        results = _timing.take_stdout()
        row = function(options.networks[0], options.batch_size, options.image_size, options.steps)
        print(json.dumps(row), file=results)
        return
    pythons = {"kapps": sys.executable}
    if options.peer_python:
        pythons["PyTorch"] = options.peer_python
    else:
        print("PyTorch is left out: --peer_python needs a Python with torch and torchvision")
    for network in options.networks:
        times = {name: run(name, python, network, options) for name, python in pythons.items()}
        print(f"\n| {network}, ms of a step | {' | '.join(times)} |\n|---|{'---:|' * len(times)}")
        for kind in [*(kind for kind, _ in KINDS), OTHER]:
            if any(kinds[kind] for kinds in times.values()):
                print(f"| {kind} | {' | '.join(f'{x[kind]:.0f}' for x in times.values())} |")
        print(
            f"| all | {' | '.join(f'{sum(x.values()):.0f}' for x in times.values())} |", flush=True
        )


if __name__ == "__main__":
    main()
