"""Seconds and peak memory of attributions on resnet50, next to those of captum on torchvision's resnet50.

    python benchmarks/visualize.py --peer_python=/path/to/python/with/captum
    python benchmarks/visualize.py --quick --rounds=1               # small images, without captum

Random weights, float32, all cores, TensorFlow without XLA; images, classes and numbers of samples are equal, and each
library has all images of a forward pass in one batch. captum runs in PyTorch, with channels last (--layout=first for
its default) and without gradients for the weights. Each time is the median of rounds in which both libraries take
turns, each in a process of its own, after a first call, which compiles. The time of that first call is in a column of
its own.

The memory is the peak of a process that calls one method once; a line has that of a process which builds the network
and runs it on one image. captum has no activation maximisation.
"""

import argparse
import functools
import json
import resource
import subprocess
import sys
import time

import _timing

KAPPS, CAPTUM = "kapps", "captum"
BASE = "network"
METHODS = (
    "saliency", "SmoothGrad", "integrated gradients", "guided backpropagation", "deconvnet", "Grad-CAM", "occlusion",
)  # fmt: skip


def kapps_methods(batch, size, samples):
    """Returns the methods of kapps as functions without arguments, by name."""
    import numpy as np

    import kapps
    from kapps import visualize

    model = kapps.resnet50(input_shape=(size, size, 3))
    images = np.random.default_rng(0).random((batch, size, size, 3), "float32")
    classes = np.arange(batch)
    options = {
        "saliency": (visualize.saliency, {}),
        "SmoothGrad": (visualize.smooth_grad, {"samples": samples}),
        "integrated gradients": (visualize.integrated_gradients, {"nodes": samples}),
        "guided backpropagation": (visualize.guided_backpropagation, {}),
        "deconvnet": (visualize.deconvnet, {}),
        "Grad-CAM": (visualize.grad_cam, {"layer": "level5_block3_out"}),
        "occlusion": (visualize.occlusion, {"square": size // 2, "stride": size // 2}),
    }
    methods = {
        name: functools.partial(method, model, images, classes, batch_size=batch, **more)
        for name, (method, more) in options.items()
    }
    return {BASE: functools.partial(model, images[:1]), **methods}


def captum_methods(batch, size, samples, layout):
    """Returns the methods of captum as functions without arguments, by name."""
    import torch
    from captum import attr

    torch.set_num_threads(_timing.CORES)
    model = _timing.torch_builder("resnet50")().eval()
    for module in model.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False  # captum's hooks need it
    images, classes = torch.rand(batch, 3, size, size), torch.arange(batch)
    for weight in model.parameters():
        weight.requires_grad_(False)
    if layout == "last":
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)

    # torchvision's blocks call one ReLU several times, which the hooks of captum do not allow.
    separate_relus(model, torch)
    square = (3, size // 2, size // 2)
    saliency = attr.Saliency(model)
    options = {
        "saliency": (saliency, {"abs": False}),
        "SmoothGrad": (
            attr.NoiseTunnel(saliency),
            {"abs": False, "nt_samples": samples, "nt_samples_batch_size": 1, "stdevs": 0.15},
        ),
        "integrated gradients": (
            attr.IntegratedGradients(model),
            {
                "n_steps": samples, "method": "gausslegendre", "internal_batch_size": batch,
                "return_convergence_delta": True,
            },
        ),
        "guided backpropagation": (attr.GuidedBackprop(model), {}),
        "deconvnet": (attr.Deconvolution(model), {}),
        "Grad-CAM": (attr.LayerGradCam(model, model.layer4), {"relu_attributions": True}),
        "occlusion": (
            attr.Occlusion(model), {"sliding_window_shapes": square, "strides": (3, *square[1:])},
        ),
    }  # fmt: skip

    def run(method, more):
        return method.attribute(images.detach().requires_grad_(), target=classes, **more)

    methods = {name: functools.partial(run, *option) for name, option in options.items()}
    return {BASE: lambda: model(images[:1]), **methods}


def separate_relus(model, torch):
    """Gives each call of ReLU in torchvision's bottleneck blocks a module of its own."""

    def forward(block, x):
        y = block.relu(block.bn1(block.conv1(x)))
        y = block.relu2(block.bn2(block.conv2(y)))
        y = block.bn3(block.conv3(y))
        return block.relu3(y + (x if block.downsample is None else block.downsample(x)))

    for block in model.modules():
        if hasattr(block, "conv3"):
            block.relu2, block.relu3 = torch.nn.ReLU(), torch.nn.ReLU()
            block.forward = functools.partial(forward, block)


def library_methods(options):
    """Returns the methods of the library of this process, by name."""
    if options.library == CAPTUM:
        return captum_methods(options.batch, options.size, options.samples, options.layout)
    return kapps_methods(options.batch, options.size, options.samples)


def print_peak_memory(options):
    """Prints the peak memory of this process in MB, and the seconds of the first call of a method."""
    methods = library_methods(options)
    methods[BASE]()
    start = time.perf_counter()
    methods[options.peak]()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([peak, seconds]))


def command(library, options, *more):
    """Returns the command line of a process of a library."""
    python = options.peer_python if library == CAPTUM else sys.executable
    names = ("batch", "size", "samples", "layout")
    flags = [f"--{name}={getattr(options, name)}" for name in names]
    return [python, __file__, f"--library={library}", *flags, *more]


def compare_memory(libraries, options):
    """Returns the MB of each method and the seconds of its first call: {method: {library: (MB, seconds)}}."""
    result = {method: {} for method in (BASE, *options.methods)}
    for method, values in result.items():
        for library in libraries:
            line = subprocess.run(
                command(library, options, f"--peak={method}"), stdout=subprocess.PIPE, check=True, text=True,
                encoding="utf-8",
            ).stdout.splitlines()[-1]  # fmt: skip
            values[library] = json.loads(line)
        print(f"memory of {method}: {values}", file=sys.stderr, flush=True)
    return result


def table_row(method, seconds, memory):
    """Returns the cells of a method: seconds, those of the first call and MB, of each library and as a ratio."""
    columns = []
    if seconds:
        columns.append((seconds[method], ".2f"))
    if memory:
        first = {name: pair[1] for name, pair in memory[method].items()}
        columns += [
            (first, ".2f"),
            ({name: pair[0] for name, pair in memory[method].items()}, ".0f"),
        ]
    cells = [method]
    for values, form in columns:
        cells += [format(value, form) for value in values.values()]
        if len(values) > 1:
            cells.append(f"{values[KAPPS] / values[CAPTUM]:.2f}")
    return cells


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer_python", help="interpreter with torch, torchvision and captum")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument(
        "--measure", nargs="+", choices=["seconds", "memory"], default=["seconds", "memory"]
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument(
        "--samples", type=int, default=4, help="of SmoothGrad and integrated gradients"
    )
    parser.add_argument(
        "--layout", choices=["first", "last"], default="last", help="channels of captum's images"
    )
    parser.add_argument("--quick", action="store_true", help="two images of 64 pixels")
    parser.add_argument("--library", help=argparse.SUPPRESS)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if min(options.rounds, options.batch, options.samples) < 1 or options.size < 32:
        parser.error("--rounds, --batch and --samples must be at least 1, --size at least 32")
    if options.quick:
        options.batch, options.size = 2, 64
    if options.peak:
        print_peak_memory(options)
        return
    if options.library:
        _timing.serve(library_methods(options).get, with_work=True)
        return
    libraries = (KAPPS, *[CAPTUM] * bool(options.peer_python))
    print(
        f"resnet50, {options.batch} images of {options.size} pixels, {_timing.CORES} cores, median of {options.rounds} "
        f"rounds; {options.samples} samples of SmoothGrad and nodes of integrated gradients, 4 squares of occlusion\n"
    )
    seconds = memory = None
    if "seconds" in options.measure:
        processes = {name: _timing.TimedProcess(command(name, options)) for name in libraries}
        seconds = _timing.median_seconds(processes, options.methods, options.rounds, "resnet50")
    if "memory" in options.measure:
        memory = compare_memory(libraries, options)
        base = (f"{name} {peak:.0f} MB" for name, (peak, _) in memory[BASE].items())
        print(f"the network on one image: {', '.join(base)}\n")
    ratio = ["ratio"] if len(libraries) > 1 else []
    titles = ["s"] * bool(seconds) + ["first call, s", "MB"] * bool(memory)
    header = [""]
    for title in titles:
        header += [*(f"{name}, {title}" for name in libraries), *ratio]
    print(f"| {' | '.join(header)} |\n|{' --- |' * len(header)}")
    for method in options.methods:
        print(f"| {' | '.join(table_row(method, seconds, memory))} |", flush=True)


if __name__ == "__main__":
    main()
