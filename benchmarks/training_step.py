"""A training step of four networks: kapps, Keras Applications, torchvision in PyTorch.

    python benchmarks/training_step.py --peer_python=/path/to/python/with/torch
    python benchmarks/training_step.py --profile --networks mobilenet_v2 densenet121

Forward, backward and SGD with momentum in float32 on all cores. --profile changes one kind of piece of Keras
Applications' networks at a time, and `benchmarks/layer_costs.py` times the layers one by one. ResNet50 of Keras
Applications has biases before its batch norms, which cost it a little. Each contender lives in a process of its own.
"""

import argparse
import functools
import sys

import contest

#                   kapps           Keras Applications   torchvision
NETWORKS = {
    "resnet50": ("resnet50", "ResNet50", "resnet50"),
    "resnext50": ("resnext50", None, "resnext50_32x4d"),
    "mobilenet_v2": ("mobilenet_v2", "MobileNetV2", "mobilenet_v2"),
    "densenet121": ("densenet121", "DenseNet121", "densenet121"),
}
PROFILED = (
    "batch norm in one operation",
    "batch norm, own gradient",
    "no padding layers",
    "ReLU for ReLU6",
    "depthwise as grouped",
)
KAPPS, APPLICATIONS = "kapps", "Keras Applications"
XLA, TORCH = "Keras Applications, XLA", "torchvision, PyTorch"


def prepare(contender, options):
    """Returns the step of a contender."""
    ours, applications, torch = NETWORKS[options.networks[0]]
    batch_size, size = options.batch_size, options.image_size
    if contender == TORCH:
        return contest.TorchStep(torch, batch_size, size)
    if contender == KAPPS:
        import kapps

        model = getattr(kapps, ours)(input_shape=(size, size, 3))
    else:
        import keras

        builder = getattr(keras.applications, applications)
        model = builder(weights=None, input_shape=(size, size, 3))
        if contender not in (APPLICATIONS, XLA):
            from pieces import changed

            model = changed(model, [contender])
    return contest.keras_step(model, batch_size, size, jit_compile=contender == XLA)


def contenders(network, options):
    """Returns the names of those that compete in a network, the one that is compared with the others first."""
    _, applications, _ = NETWORKS[network]
    if options.profile:
        names = [APPLICATIONS, *PROFILED] if applications else []
    else:
        names = [KAPPS] + [APPLICATIONS] * bool(applications)
    if applications and options.xla:
        names.append(XLA)
    return names + [TORCH] * bool(options.peer_python)


def start(contender, network, options):
    command = [options.peer_python if contender == TORCH else sys.executable, __file__]
    command += [f"--contender={contender}", f"--steps={options.steps}", f"--networks={network}"]
    command += [f"--batch_size={options.batch_size}", f"--image_size={options.image_size}"]
    return contest.Contender(command)


def compare(network, options):
    """Runs the contenders of a network in turn and returns its rows of the table."""
    starts = {
        name: functools.partial(start, name, network, options)
        for name in contenders(network, options)
    }
    entered = contest.enter(starts)
    medians = contest.rounds(entered, options.rounds, network) if entered else {}
    first = next(iter(medians.values()), None)
    return [
        f"{network:14}{name:30}{seconds * 1000:12.0f}{options.batch_size / seconds:12.2f}{seconds / first:9.2f}"
        for name, seconds in medians.items()
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer_python", help="an interpreter with torch and torchvision")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1, help="steps of each in a round")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--xla", action="store_true", help="Keras Applications through XLA too")
    parser.add_argument("--profile", action="store_true", help="change one kind of piece at a time")
    parser.add_argument("--quick", action="store_true", help="see that it runs: small, one round")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        contest.serve(prepare, options.contender, options, steps=options.steps)
        return
    if options.quick:
        options.rounds, options.steps, options.batch_size, options.image_size = 1, 1, 2, 64
    if not options.peer_python:
        print("PyTorch is left out: --peer_python=PYTHON names one with torch and torchvision")
    rows = [row for network in options.networks for row in compare(network, options)]
    print(
        f"training step, batch {options.batch_size}, {options.image_size} px, float32, {contest.CORES} cores, "
        f"median of {options.rounds}"
    )
    print(f"{'':44}{'ms':>12}{'images/s':>12}{'time':>9}")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
