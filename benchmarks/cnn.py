"""Time to build a network and latency of inference: one network of each family, Keras Applications and PyTorch.

    python benchmarks/cnn.py --peer_python=/path/to/python/with/torch
    python benchmarks/cnn.py --networks mobilenet_v2 xception --rounds=9

Random weights, float32, all cores, images of the network's default size. Keras models are traced by `tf.function`;
PyTorch models run in inference mode, channels last. Each number is the median of rounds in which all libraries take
turns, each in a process of its own. PyTorch's networks have exactly the parameters of ours. The ResNets of Keras
Applications have biases before their batch norms, and its ResNet50 has its stride in another convolution.
"""

import argparse
import csv
import functools
import pathlib
import sys

import _timing

NETWORKS = (
    "lenet5", "alexnet_owt", "zfnet", "vgg16", "nin", "squeezenet", "googlenet_bn_3x3", "inception_bn", "inception_v3",
    "inception_v4", "inception_resnet_v2", "resnet50", "resnet50_v2", "resnet20_cifar", "resnext50", "senet154",
    "sknet50", "densenet121", "dpn92", "xception", "mobilenet_v1", "mobilenet_v2", "shufflenet_v1", "shufflenet_v2",
    "mobilenet_v3_large", "mnasnet_a1", "proxylessnas_mobile", "efficientnet_v2_b0", "convnext_tiny", "nasnet_mobile",
    "pnasnet5_mobile", "amoebanet_a_n4_f50", "darts_v2", "enas_micro15", "randwire_ws_c78",
)  # fmt: skip
"""One builder of each family."""
SIMILAR_KERAS = {
    "inception_v3": "InceptionV3",
    "resnet50": "ResNet50",
    "resnet50_v2": "ResNet50V2",
    "mobilenet_v1": "MobileNet",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3_large": "MobileNetV3Large",
    "efficientnet_v2_b0": "EfficientNetV2B0",
    "convnext_tiny": "ConvNeXtTiny",
}
"""Networks of Keras Applications with the same cost that differ in a detail: a bias, padding or preprocessing."""
SIMILAR_TORCH = {
    "senet154": "timm/legacy_senet154",
    "sknet50": "timm/skresnext50_32x4d",
    "xception": "timm/legacy_xception",
}
"""Networks of timm with the same cost."""
with open(
    pathlib.Path(__file__).parents[1] / "tests/reference/models.csv", newline="", encoding="utf-8"
) as file:
    MODELS = {row["name"]: row for row in csv.DictReader(file)}

KAPPS, APPLICATIONS, TORCH = "kapps", "Keras Applications", "PyTorch"
BUILD, BATCHES = "build", (1, 8)
# No auxiliary classifiers. torchvision's initialisation of these networks takes minutes.
TORCH_OPTIONS = {"googlenet": {"aux_logits": False, "init_weights": False}}
TORCH_OPTIONS["inception_v3"] = TORCH_OPTIONS["googlenet"]


def peer_names(network):
    """Returns the names of a network in Keras Applications and in a library of PyTorch, None if there is none."""
    row = MODELS[network]
    timm = f"timm/{row['timm'].partition('.')[0]}" if row["timm"] else None
    applications = SIMILAR_KERAS.get(network) or row["keras"] or None
    pytorchcv = f"pytorchcv/{row['pytorchcv']}" if row["pytorchcv"] else None
    return applications, SIMILAR_TORCH.get(network) or row["torchvision"] or timm or pytorchcv


def network_builder(library, network):
    """Returns a function that builds the network of a library with random weights."""
    applications, torch = peer_names(network)
    if library == TORCH:
        return functools.partial(_timing.torch_builder(torch), **TORCH_OPTIONS.get(torch, {}))
    if library == KAPPS:
        import kapps

        return getattr(kapps, network)
    import keras

    return functools.partial(getattr(keras.applications, applications), weights=None)


def prepare(work, library, network):
    """Returns a function that builds the network, or runs it on a batch of the size `work`."""
    build = network_builder(library, network)
    if work == BUILD:
        return build
    return Inference(library, build(), network, int(work))


class Inference:
    """Runs a network on a batch of images."""

    def __init__(self, library, model, network, batch):
        import numpy as np

        self.is_torch = library == TORCH
        shape = (batch, *input_shape(network))
        images = np.random.default_rng(0).random(shape, "float32")
        if self.is_torch:
            import torch

            torch.set_num_threads(_timing.CORES)
            self.inference_mode = torch.inference_mode
            self.model = model.to(memory_format=torch.channels_last).eval()
            # The permuted array has the memory layout channels_last.
            self.images = torch.from_numpy(images).permute(0, 3, 1, 2)
        else:
            import tensorflow as tf

            traced = tf.function(model, jit_compile=False)
            self.call = functools.partial(traced, tf.constant(images), training=False)

    def __call__(self):
        if not self.is_torch:
            return self.call()
        with self.inference_mode():
            return self.model(self.images)


def input_shape(network):
    """Returns (height, width, channels) of the network's images. The card does not need Keras."""
    from kapps import cards

    return cards.card(network).input_shape


def start(library, network, options):
    command = [options.peer_python if library == TORCH else sys.executable, __file__]
    return _timing.TimedProcess([*command, f"--library={library}", "--networks", network])


def libraries(network, options):
    """Returns the names of the libraries that have a network."""
    applications, torch = peer_names(network)
    names = [KAPPS] + [APPLICATIONS] * bool(applications)
    return names + [TORCH] * bool(torch and options.peer_python)


def compare(network, options):
    """Returns the median seconds of each work: {work: {library: seconds}}."""
    processes = {name: start(name, network, options) for name in libraries(network, options)}
    works = [BUILD, *map(str, options.batches)]
    return _timing.median_seconds(processes, works, options.rounds, network)


def table_rows(network, medians):
    """Returns the rows of a network: milliseconds of each library, and the time of kapps divided by it."""
    rows = []
    for work, seconds in medians.items():
        cells = [f"{network:20}", f"{work if work == BUILD else f'batch {work}':8}"]
        for name in (KAPPS, APPLICATIONS, TORCH):
            time, kapps_time = seconds.get(name), seconds.get(KAPPS)
            width = 13 if name == APPLICATIONS else 10
            cells.append((f"{1000 * time:.1f}" if time else "-").rjust(width))
            if name != KAPPS:
                cells.append(f"{kapps_time / time:7.2f}" if time and kapps_time else f"{'':7}")
        rows.append("".join(cells).rstrip())
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer_python", help="interpreter with torch, torchvision and timm")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--library", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        _timing.serve(prepare, options.library, options.networks[0], with_work=True)
        return
    if options.rounds < 1 or min(options.batches) < 1:
        parser.error("--rounds and --batches must be at least 1")
    if not options.peer_python:
        print("PyTorch is left out: --peer_python needs a Python with torch, torchvision and timm")
    print(
        f"milliseconds, float32, {_timing.CORES} cores, median of {options.rounds} rounds; ratio: kapps / other\n"
        f"{'':28}{KAPPS:>10}{APPLICATIONS:>20}{TORCH:>17}",
        flush=True,
    )
    for network in options.networks:
        print("\n".join(table_rows(network, compare(network, options))), flush=True)


if __name__ == "__main__":
    main()
