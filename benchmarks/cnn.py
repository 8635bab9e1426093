"""Building a network, and asking it: each family's main member, beside Keras Applications and PyTorch.

    python benchmarks/cnn.py --peer_python=/path/to/python/with/torch
    python benchmarks/cnn.py --networks mobilenet_v2 xception --rounds=9

Random weights, float32, all cores, images of the network's own size. Keras's models are traced by `tf.function`,
PyTorch's run in inference mode, channels last. A figure is the median of rounds in which all take turns, each in a
process of its own. PyTorch's networks have the parameters of ours, exactly; Keras Applications' ResNets have biases
before their batch norms, and its ResNet50 strides in another convolution.
"""

import argparse
import csv
import functools
import pathlib
import sys

import contest

NETWORKS = (
    "lenet5", "alexnet_owt", "zfnet", "vgg16", "nin", "squeezenet", "googlenet_bn_3x3", "inception_bn", "inception_v3",
    "inception_v4", "inception_resnet_v2", "resnet50", "resnet50_v2", "resnet20_cifar", "resnext50", "senet154",
    "sknet50", "densenet121", "dpn92", "xception", "mobilenet_v1", "mobilenet_v2", "shufflenet_v1", "shufflenet_v2",
)  # fmt: skip
"""One of each family."""
NEAREST_KERAS = {
    "inception_v3": "InceptionV3",
    "resnet50": "ResNet50",
    "resnet50_v2": "ResNet50V2",
    "mobilenet_v1": "MobileNet",
    "mobilenet_v2": "MobileNetV2",
}
"""Networks of Keras Applications of the same cost that differ in a detail, such as a bias or a side of padding."""
NEAREST_TORCH = {
    "senet154": "timm/legacy_senet154",
    "sknet50": "timm/skresnext50_32x4d",
    "xception": "timm/legacy_xception",
}
"""The same for PyTorch."""
with open(pathlib.Path(__file__).parents[1] / "tests/reference/models.csv", newline="") as file:
    MODELS = {row["name"]: row for row in csv.DictReader(file)}


def peers(network):
    """Returns the names of a network in Keras Applications and in torchvision, or timm; None where there is none."""
    row = MODELS[network]
    timm = f"timm/{row['timm'].partition('.')[0]}" if row["timm"] else None
    applications = NEAREST_KERAS.get(network) or row["keras"] or None
    return applications, NEAREST_TORCH.get(network) or row["torchvision"] or timm


KAPPS, APPLICATIONS, TORCH = "kapps", "Keras Applications", "PyTorch"
BUILD, BATCHES = "build", (1, 8)
# Without their auxiliary classifiers, and without hours of drawing torchvision's own first weights for them.
PLAIN = {"googlenet": {"aux_logits": False, "init_weights": False}}
PLAIN["inception_v3"] = PLAIN["googlenet"]


def builder(contender, network):
    """Returns a function that builds the network of a contender, with random weights."""
    applications, torch = peers(network)
    if contender == TORCH:
        return functools.partial(contest.torch_builder(torch), **PLAIN.get(torch, {}))
    if contender == KAPPS:
        import kapps

        return getattr(kapps, network)
    import keras

    return functools.partial(getattr(keras.applications, applications), weights=None)


def prepare(work, contender, network):
    """Returns a function that does a piece of work once: builds, or answers so many images."""
    build = builder(contender, network)
    if work == BUILD:
        return build
    return Answer(contender, build(), network, int(work))


class Answer:
    """Runs a network, whenever it is called."""

    def __init__(self, contender, model, network, batch):
        import numpy as np

        self.torch = contender == TORCH
        shape = (batch, *input_shape(network))
        images = np.random.default_rng(0).random(shape, "float32")
        if self.torch:
            import torch

            torch.set_num_threads(contest.CORES)
            self.no_grad = torch.inference_mode
            self.model = model.to(memory_format=torch.channels_last).eval()
            # channels_last is how an array with the channels last already lies.
            self.images = torch.from_numpy(images).permute(0, 3, 1, 2)
        else:
            import tensorflow as tf

            traced = tf.function(model, jit_compile=False)
            self.call = functools.partial(traced, tf.constant(images), training=False)

    def __call__(self):
        if not self.torch:
            return self.call()
        with self.no_grad():
            return self.model(self.images)


def input_shape(network):
    """Returns (height, width, channels) of the network's images; from the index, where there is no Keras."""
    from kapps import cards

    return cards.card(network).input_shape


def start(contender, network, options):
    command = [options.peer_python if contender == TORCH else sys.executable, __file__]
    return contest.Contender([*command, f"--contender={contender}", "--networks", network])


def contenders(network, options):
    """Returns the names of those that compete."""
    applications, torch = peers(network)
    names = [KAPPS] + [APPLICATIONS] * bool(applications)
    return names + [TORCH] * bool(torch and options.peer_python)


def compare(network, options):
    """Returns the median seconds of each contender's works: {work: {contender: seconds}}."""
    entered = {name: start(name, network, options) for name in contenders(network, options)}
    return contest.works(entered, [BUILD, *map(str, options.batches)], options.rounds, network)


def rows(network, medians):
    """Returns the lines of a network: milliseconds of each contender, and its ratio to kapps."""
    found = []
    for work, seconds in medians.items():
        cells = [f"{network:20}", f"{work if work == BUILD else f'batch {work}':8}"]
        for name in (KAPPS, APPLICATIONS, TORCH):
            taken, ours = seconds.get(name), seconds.get(KAPPS)
            width = 13 if name == APPLICATIONS else 10
            cells.append((f"{1000 * taken:.1f}" if taken else "-").rjust(width))
            if name != KAPPS:
                cells.append(f"{ours / taken:7.2f}" if taken and ours else f"{'':7}")
        found.append("".join(cells).rstrip())
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer_python", help="an interpreter with torch, torchvision and timm")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        contest.serve(prepare, options.contender, options.networks[0], named=True)
        return
    if options.rounds < 1 or min(options.batches) < 1:
        parser.error("--rounds and --batches are at least 1")
    if not options.peer_python:
        print("PyTorch is left out: --peer_python=PYTHON names one with torch, torchvision, timm")
    print(
        f"milliseconds, float32, {contest.CORES} cores, median of {options.rounds}; and kapps's time over theirs\n"
        f"{'':28}{KAPPS:>10}{APPLICATIONS:>20}{TORCH:>17}",
        flush=True,
    )
    for network in options.networks:
        print("\n".join(rows(network, compare(network, options))), flush=True)


if __name__ == "__main__":
    main()
