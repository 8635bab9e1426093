"""Time of a training step of four networks: kapps, Keras Applications, torchvision.

    python benchmarks/training_step.py --peer_python=/path/to/python/with/torch
    python benchmarks/training_step.py --variants --networks mobilenet_v2 densenet121

Forward pass, backward pass and SGD with momentum in float32 on all cores. kapps's step is that of `kapps.training.Run`,
with `fused_batch_norms`. --variants replaces one kind of layer of Keras Applications' networks at a time
(`_layer_variants.py`); `layer_costs.py` times single layers. ResNet50 of Keras Applications has biases before its batch
norms, which take a little time. Each library has a process of its own.
"""

import argparse
import functools
import sys

import _timing

#                   kapps           Keras Applications   torchvision
NETWORKS = {
    "resnet50": ("resnet50", "ResNet50", "resnet50"),
    "resnext50": ("resnext50", None, "resnext50_32x4d"),
    "mobilenet_v2": ("mobilenet_v2", "MobileNetV2", "mobilenet_v2"),
    "densenet121": ("densenet121", "DenseNet121", "densenet121"),
}
FUSED = "fused batch norm"
VARIANTS = (
    FUSED,
    "batch norm, own gradient",
    "no padding layers",
    "ReLU for ReLU6",
    "depthwise as grouped",
)
KAPPS, APPLICATIONS = "kapps", "Keras Applications"
XLA, TORCH = "Keras Applications, XLA", "torchvision, PyTorch"


def prepare(library, options):
    """Returns the training step of a library."""
    kapps_name, applications_name, torch_name = NETWORKS[options.networks[0]]
    batch_size, size = options.batch_size, options.image_size
    if library == TORCH:
        return _timing.TorchStep(torch_name, batch_size, size)
    if library == KAPPS:
        import kapps

        model = getattr(kapps, kapps_name)(input_shape=(size, size, 3))
    else:
        import keras

        builder = getattr(keras.applications, applications_name)
        model = builder(weights=None, input_shape=(size, size, 3))
        if library not in (APPLICATIONS, XLA, FUSED):
            from _layer_variants import replace_layers

            model = replace_layers(model, [library])
    fused = library in (KAPPS, FUSED)
    return _timing.keras_step(model, batch_size, size, jit_compile=library == XLA, fused=fused)


def libraries(network, options):
    """Returns the names of the rows of a network. All others are compared with the first."""
    _, applications, _ = NETWORKS[network]
    if options.variants:
        names = [APPLICATIONS, *VARIANTS] if applications else []
    else:
        names = [KAPPS] + [APPLICATIONS] * bool(applications)
    if applications and options.xla:
        names.append(XLA)
    return names + [TORCH] * bool(options.peer_python)


def start(library, network, options):
    command = [options.peer_python if library == TORCH else sys.executable, __file__]
    command += [f"--library={library}", f"--steps={options.steps}", f"--networks={network}"]
    command += [f"--batch_size={options.batch_size}", f"--image_size={options.image_size}"]
    return _timing.TimedProcess(command)


def compare(network, options):
    """Runs the processes of a network in turn and returns the rows of the table."""
    starts = {
        name: functools.partial(start, name, network, options)
        for name in libraries(network, options)
    }
    processes = _timing.start_processes(starts)
    medians = _timing.median_step_seconds(processes, options.rounds, network) if processes else {}
    first = next(iter(medians.values()), None)
    return [
        f"{network:14}{name:30}{seconds * 1000:12.0f}{options.batch_size / seconds:12.2f}{seconds / first:9.2f}"
        for name, seconds in medians.items()
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer_python", help="interpreter with torch and torchvision")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1, help="steps of each process in a round")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--xla", action="store_true", help="add Keras Applications with XLA")
    parser.add_argument(
        "--variants", action="store_true", help="replace one kind of layer at a time"
    )
    parser.add_argument("--quick", action="store_true", help="small images and one round")
    parser.add_argument("--library", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        _timing.serve(prepare, options.library, options, steps=options.steps)
        return
    if options.quick:
        options.rounds, options.steps, options.batch_size, options.image_size = 1, 1, 2, 64
    if not options.peer_python:
        print("PyTorch is left out: --peer_python needs a Python with torch and torchvision")
    rows = [row for network in options.networks for row in compare(network, options)]
    print(
        f"training step, batch {options.batch_size}, {options.image_size} px, float32, {_timing.CORES} cores, "
        f"median of {options.rounds} rounds"
    )
    print(f"{'':44}{'ms':>12}{'images/s':>12}{'ratio':>9}")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
