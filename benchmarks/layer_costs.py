"""Time of single layers in training: Keras, another implementation in TensorFlow, PyTorch.

    python benchmarks/layer_costs.py --peer_python=/path/to/python/with/torch

Forward and backward pass of one layer on one feature map. Each number is the median of rounds in which all take turns.
"""

import argparse
import functools
import statistics
import sys

import _timing

#   layer                                 other implementation
ROWS = (
    ("batch norm", "fused"),
    ("batch norm", "own gradient"),
    ("batch norm, ReLU", "fused"),
    ("ReLU6", "ReLU"),
    ("depthwise 3x3", "grouped"),
    ("depthwise 3x3", "shifted products"),
    ("depthwise 3x3, forward", "grouped"),
    ("depthwise 3x3, input gradient", "grouped"),
    ("depthwise 3x3, kernel gradient", "grouped"),
    ("padding, depthwise 3x3 / 2", '"same"'),
    ("padding, depthwise 3x3 / 2", "padding in the operation"),
    ("padding, convolution 3x3 / 2", '"same"'),
    ("padding, convolution 3x3 / 2", "padding in the operation"),
    ("convolution 1x1 to a sixth", "matrix product"),
    ("add", ""),
    ("concatenate", ""),
    ("average pooling 2x2", ""),
)
GRADIENTS = {"forward": (), "input gradient": ("input",), "kernel gradient": ("weights",)}
"""The gradients of a row whose name ends with a key; other rows have all gradients."""


def split_name(row):
    """Returns the layer of a row, and its gradients: of "input", "weights" or both."""
    layer, _, ending = row.rpartition(", ")
    return (layer, GRADIENTS[ending]) if ending in GRADIENTS else (row, ("input", "weights"))


def keras_layer(layer, variant, channels):
    """Returns a Keras layer by its name in `ROWS`; `variant` is the other implementation, "" for Keras's own."""
    import _layer_variants as variants
    import keras
    from keras import layers

    pad = layers.ZeroPadding2D(1)
    plain = {"use_bias": False}
    same, strided = {"padding": "same", **plain}, {"strides": 2, **plain}
    grouped = variants.GroupedConv2D
    built = {
        ("batch norm", ""): layers.BatchNormalization(),
        ("batch norm", "fused"): [layers.BatchNormalization()],
        ("batch norm", "own gradient"): variants.CustomGradientBatchNormalization(),
        ("batch norm, ReLU", ""): [layers.BatchNormalization(), layers.ReLU()],
        ("batch norm, ReLU", "fused"): [layers.BatchNormalization(), layers.ReLU()],
        ("ReLU6", ""): layers.ReLU(6.0),
        ("ReLU6", "ReLU"): layers.ReLU(),
        ("depthwise 3x3", ""): layers.DepthwiseConv2D(3, **same),
        ("depthwise 3x3", "grouped"): grouped(channels, 3, groups=channels, **same),
        ("depthwise 3x3", "shifted products"): variants.ShiftedDepthwise(3, **same),
        ("padding, depthwise 3x3 / 2", ""): [pad, layers.DepthwiseConv2D(3, **strided)],
        ("padding, depthwise 3x3 / 2", '"same"'): layers.DepthwiseConv2D(
            3, **strided, padding="same"
        ),
        ("padding, depthwise 3x3 / 2", "padding in the operation"): variants.PaddedDepthwise(
            3, **strided
        ),
        ("padding, convolution 3x3 / 2", ""): [pad, layers.Conv2D(channels, 3, **strided)],
        ("padding, convolution 3x3 / 2", '"same"'): layers.Conv2D(
            channels, 3, **strided, padding="same"
        ),
        ("padding, convolution 3x3 / 2", "padding in the operation"): variants.PaddedConv2D(
            channels, 3, **strided
        ),
        ("convolution 1x1 to a sixth", ""): layers.Conv2D(channels // 6, 1, **plain),
        ("convolution 1x1 to a sixth", "matrix product"): variants.PointwiseProduct(
            channels // 6, 1, **plain
        ),
        ("add", ""): layers.Add(),
        ("concatenate", ""): layers.Concatenate(),
        ("average pooling 2x2", ""): layers.AveragePooling2D(2),
    }
    result = built[layer, variant]
    return keras.Sequential(result) if isinstance(result, list) else result


def concatenate(x, y):
    import torch

    return torch.cat([x, y], 1)


def torch_layer(layer, channels):
    """Returns a PyTorch layer by its name in `ROWS`."""
    import torch
    from torch import nn

    plain = {"padding": 1, "bias": False}
    return {
        "batch norm": nn.BatchNorm2d(channels),
        "batch norm, ReLU": nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True)),
        "ReLU6": nn.ReLU6(),
        "depthwise 3x3": nn.Conv2d(channels, channels, 3, groups=channels, **plain),
        "padding, depthwise 3x3 / 2": nn.Conv2d(channels, channels, 3, 2, groups=channels, **plain),
        "padding, convolution 3x3 / 2": nn.Conv2d(channels, channels, 3, 2, **plain),
        "convolution 1x1 to a sixth": nn.Conv2d(channels, channels // 6, 1, bias=False),
        "add": torch.add,
        "concatenate": concatenate,
        "average pooling 2x2": nn.AvgPool2d(2),
    }[layer]


def input_count(layer):
    return 2 if layer in ("add", "concatenate") else 1


def prepare_keras(name, shape):
    """Returns a function that runs the forward and backward pass of "layer|variant"."""
    import tensorflow as tf

    row, variant = name.split("|")
    layer_name, gradients = split_name(row)
    layer = keras_layer(layer_name, variant, shape[-1])
    inputs = [tf.random.normal(shape) for _ in range(input_count(layer_name))]
    call = functools.partial(layer, training=True) if "norm" in layer_name else layer
    inputs = inputs if len(inputs) > 1 else inputs[0]
    upstream = tf.random.normal(call(inputs).shape)
    if variant == "fused":
        _timing.fuse_batch_norms(layer)
    sources = tf.nest.flatten(inputs) * ("input" in gradients)
    sources += [weight.value for weight in layer.trainable_variables] * ("weights" in gradients)
    return functools.partial(tf.function(run_keras), call, inputs, sources, upstream)


def run_keras(call, inputs, sources, upstream):
    """Returns the output and the gradients. The graph computes only values that are returned."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch([source for source in sources if not isinstance(source, tf.Variable)])
        outputs = call(inputs)
    return outputs, tape.gradient(outputs, sources, upstream) if sources else ()


class TorchLayer:
    """Runs the forward and backward pass of a PyTorch layer."""

    def __init__(self, name, shape):
        import torch

        torch.set_num_threads(_timing.CORES)
        layer, gradients = split_name(name.split("|")[0])
        batch, height, width, channels = shape
        self.layer, self.gradient = torch_layer(layer, channels), torch.autograd.grad
        self.inputs = [
            torch.randn(batch, channels, height, width)
            .to(memory_format=torch.channels_last)
            .requires_grad_("input" in gradients)
            for _ in range(input_count(layer))
        ]
        weights = []
        if isinstance(self.layer, torch.nn.Module):
            self.layer = self.layer.to(memory_format=torch.channels_last).train()
            weights = [
                weight.requires_grad_("weights" in gradients) for weight in self.layer.parameters()
            ]
        self.sources = self.inputs * ("input" in gradients) + weights * ("weights" in gradients)
        outputs = self.layer(*self.inputs)
        self.upstream = torch.randn(outputs.shape).to(memory_format=torch.channels_last)

    def __call__(self):
        outputs = self.layer(*self.inputs)
        if self.sources:
            self.gradient(outputs, self.sources, self.upstream)


def start(python, library, options):
    command = [python, __file__, f"--library={library}", f"--steps={options.steps}"]
    return _timing.TimedProcess([*command, "--shape", *map(str, options.shape)])


def compare(options):
    """Runs all rows in turn and prints the table."""
    pythons = {"keras": sys.executable}
    if options.peer_python:
        pythons["torch"] = options.peer_python
    processes = {name: start(python, name, options) for name, python in pythons.items()}
    works = {}
    for row, variant in ROWS:
        works[row, "keras"] = ("keras", f"{row}|")
        if variant:
            works[row, variant] = ("keras", f"{row}|{variant}")
        if options.peer_python:
            works[row, "torch"] = ("torch", f"{row}|")
    seconds = {key: [] for key in works}
    for number in range(options.rounds + 1):  # the first is a warm-up
        for key, (library, work) in works.items():
            if library in processes:
                try:
                    seconds[key].append(processes[library].run(work))
                except _timing.ProcessError as error:
                    print(f"{library} stops at {work.strip('|')}: {error}")
                    processes.pop(library).close()
        print(f"round {number} of {options.rounds}", file=sys.stderr, flush=True)
    for process in processes.values():
        process.close()

    print(
        f"forward and backward at {'x'.join(map(str, options.shape))}, float32, {_timing.CORES} cores, "
        f"milliseconds, median of {options.rounds} rounds"
    )
    print(f"{'':36}{'Keras':>9}{'variant':>11}  {'':26}{'PyTorch':>9}")
    for row, variant in ROWS:
        keras_time, variant_time, torch_time = (
            milliseconds(seconds.get((row, key))) for key in ("keras", variant or None, "torch")
        )
        print(f"{row:36}{keras_time:>9}{variant_time:>11}  {variant:26}{torch_time:>9}")


def milliseconds(times):
    """Returns the median of all times but the first as text, "-" if there is none."""
    return f"{1000 * statistics.median(times[1:]):.2f}" if times and len(times) > 1 else "-"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer_python", help="interpreter with torch")
    parser.add_argument(
        "--shape", type=int, nargs=4, default=(8, 56, 56, 144), help="shape of the feature map"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="runs of each layer in a round")
    parser.add_argument("--quick", action="store_true", help="a small map and one round")
    parser.add_argument("--library", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        prepare = TorchLayer if options.library == "torch" else prepare_keras
        _timing.serve(prepare, tuple(options.shape), steps=options.steps, with_work=True)
        return
    if options.quick:
        options.rounds, options.steps, options.shape = 1, 1, (2, 8, 8, 12)
    if not options.peer_python:
        print("PyTorch is left out: --peer_python needs a Python with torch")
    compare(options)


if __name__ == "__main__":
    main()
