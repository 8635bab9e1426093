"""What the layers of depthwise and dense networks cost in training: Keras, another way in TensorFlow, PyTorch.

    python benchmarks/layer_costs.py --peer_python=/path/to/python/with/torch

Forward and backward of one layer at a time, on one map. A row is the median of rounds in which all take turns.
"""

import argparse
import functools
import statistics
import sys

import contest

#   the layer                             another way
ROWS = (
    ("batch norm", "one operation"),
    ("batch norm", "own gradient"),
    ("batch norm, ReLU", "one operation"),
    ("ReLU6", "ReLU"),
    ("depthwise 3x3", "grouped"),
    ("depthwise 3x3", "shifted products"),
    ("depthwise 3x3, forward only", "grouped"),
    ("depthwise 3x3, to its input only", "grouped"),
    ("depthwise 3x3, to its kernel only", "grouped"),
    ("padding, depthwise 3x3 / 2", '"same"'),
    ("padding, depthwise 3x3 / 2", "pads by itself"),
    ("padding, convolution 3x3 / 2", '"same"'),
    ("padding, convolution 3x3 / 2", "pads by itself"),
    ("convolution 1x1 to a sixth", "product of matrices"),
    ("add", ""),
    ("concatenate", ""),
    ("average pooling 2x2", ""),
)
PARTS = {"forward only": (), "to its input only": ("input",), "to its kernel only": ("weights",)}
"""What gradients are taken of a layer whose name ends so; of others, all."""


def split(layer):
    """Returns the name of a layer, and what it is differentiated by."""
    name, _, part = layer.rpartition(", ")
    return (name, PARTS[part]) if part in PARTS else (layer, ("input", "weights"))


def keras_layer(layer, way, channels):
    """Returns a Keras layer by its name in `ROWS`, and by the other way to compute it, "" for Keras's own."""
    import keras
    import pieces
    from keras import layers

    pad = layers.ZeroPadding2D(1)
    plain = {"use_bias": False}
    same, strided = {"padding": "same", **plain}, {"strides": 2, **plain}
    grouped = pieces.GroupedConv2D
    made = {
        ("batch norm", ""): layers.BatchNormalization(),
        ("batch norm", "one operation"): pieces.FusedBatchNormalization(),
        ("batch norm", "own gradient"): pieces.DerivedBatchNormalization(),
        ("batch norm, ReLU", ""): [layers.BatchNormalization(), layers.ReLU()],
        ("batch norm, ReLU", "one operation"): [
            pieces.FusedBatchNormalization(),
            layers.ReLU(),
        ],
        ("ReLU6", ""): layers.ReLU(6.0),
        ("ReLU6", "ReLU"): layers.ReLU(),
        ("depthwise 3x3", ""): layers.DepthwiseConv2D(3, **same),
        ("depthwise 3x3", "grouped"): grouped(channels, 3, groups=channels, **same),
        ("depthwise 3x3", "shifted products"): pieces.ShiftedDepthwise(3, **same),
        ("padding, depthwise 3x3 / 2", ""): [pad, layers.DepthwiseConv2D(3, **strided)],
        ("padding, depthwise 3x3 / 2", '"same"'): layers.DepthwiseConv2D(
            3, **strided, padding="same"
        ),
        ("padding, depthwise 3x3 / 2", "pads by itself"): pieces.PaddedDepthwise(3, **strided),
        ("padding, convolution 3x3 / 2", ""): [pad, layers.Conv2D(channels, 3, **strided)],
        ("padding, convolution 3x3 / 2", '"same"'): layers.Conv2D(
            channels, 3, **strided, padding="same"
        ),
        ("padding, convolution 3x3 / 2", "pads by itself"): pieces.PaddedConv2D(
            channels, 3, **strided
        ),
        ("convolution 1x1 to a sixth", ""): layers.Conv2D(channels // 6, 1, **plain),
        ("convolution 1x1 to a sixth", "product of matrices"): pieces.PointwiseProduct(
            channels // 6, 1, **plain
        ),
        ("add", ""): layers.Add(),
        ("concatenate", ""): layers.Concatenate(),
        ("average pooling 2x2", ""): layers.AveragePooling2D(2),
    }
    found = made[layer, way]
    return keras.Sequential(found) if isinstance(found, list) else found


def joined(x, y):
    import torch

    return torch.cat([x, y], 1)


def torch_layer(layer, channels):
    """Returns PyTorch's layer by its name in `ROWS`."""
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
        "concatenate": joined,
        "average pooling 2x2": nn.AvgPool2d(2),
    }[layer]


def arity(layer):
    return 2 if layer in ("add", "concatenate") else 1


def prepare_keras(name, shape):
    """Returns a function that runs a layer, "layer|way", forward and backward."""
    import tensorflow as tf

    layer, way = name.split("|")
    layer, by = split(layer)
    made = keras_layer(layer, way, shape[-1])
    inputs = [tf.random.normal(shape) for _ in range(arity(layer))]
    given = inputs if len(inputs) > 1 else inputs[0]
    is_norm = "norm" in layer
    call = functools.partial(made, training=True) if is_norm else made
    upstream = tf.random.normal(call(given).shape)
    watched = inputs * ("input" in by)
    watched += [variable.value for variable in made.trainable_variables] * ("weights" in by)
    return functools.partial(tf.function(keras_both), call, given, watched, upstream)


def keras_both(call, given, watched, upstream):
    """Returns output and gradients; what is returned is computed, and what is not may be dropped from the graph."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch([each for each in watched if not isinstance(each, tf.Variable)])
        outputs = call(given)
    return outputs, tape.gradient(outputs, watched, upstream) if watched else ()


class TorchBoth:
    """Runs a layer of PyTorch forward and backward whenever it is called."""

    def __init__(self, name, shape):
        import torch

        torch.set_num_threads(contest.CORES)
        layer, by = split(name.split("|")[0])
        batch, height, width, channels = shape
        self.layer, self.grad = torch_layer(layer, channels), torch.autograd.grad
        self.inputs = [
            torch.randn(batch, channels, height, width)
            .to(memory_format=torch.channels_last)
            .requires_grad_("input" in by)
            for _ in range(arity(layer))
        ]
        weights = []
        if isinstance(self.layer, torch.nn.Module):
            self.layer = self.layer.to(memory_format=torch.channels_last).train()
            weights = [weight.requires_grad_("weights" in by) for weight in self.layer.parameters()]
        self.watched = self.inputs * ("input" in by) + weights * ("weights" in by)
        outputs = self.layer(*self.inputs)
        self.upstream = torch.randn(outputs.shape).to(memory_format=torch.channels_last)

    def __call__(self):
        outputs = self.layer(*self.inputs)
        if self.watched:
            self.grad(outputs, self.watched, self.upstream)


def start(python, contender, options):
    command = [python, __file__, f"--contender={contender}", f"--steps={options.steps}"]
    return contest.Contender([*command, "--shape", *map(str, options.shape)])


def compare(options):
    """Runs all rows in turn and prints the table."""
    pythons = {"keras": sys.executable} | (
        {"torch": options.peer_python} if options.peer_python else {}
    )
    contenders = {name: start(python, name, options) for name, python in pythons.items()}
    asked = {}
    for layer, way in ROWS:
        asked[layer, "keras"] = ("keras", f"{layer}|")
        if way:
            asked[layer, way] = ("keras", f"{layer}|{way}")
        if options.peer_python:
            asked[layer, "torch"] = ("torch", f"{layer}|")
    seconds = {key: [] for key in asked}
    for number in range(options.rounds + 1):  # the first only warms up
        for key, (contender, what) in asked.items():
            if contender in contenders:
                try:
                    seconds[key].append(contenders[contender].ask(what))
                except contest.Left as left:
                    print(f"{contender} stops at {what.strip('|')}: {left}")
                    contenders.pop(contender).close()
        print(f"round {number} of {options.rounds}", file=sys.stderr, flush=True)
    for contender in contenders.values():
        contender.close()

    print(
        f"forward and backward at {'x'.join(map(str, options.shape))}, float32, {contest.CORES} cores, "
        f"milliseconds, median of {options.rounds}"
    )
    print(f"{'':36}{'Keras':>9}{'other way':>11}  {'':22}{'PyTorch':>9}")
    for layer, way in ROWS:
        keras, other, torch = (
            milliseconds(seconds.get((layer, key))) for key in ("keras", way or None, "torch")
        )
        print(f"{layer:36}{keras:>9}{other:>11}  {way:22}{torch:>9}")


def milliseconds(times):
    """Returns the median of all but the first, as text; "-" where there is none."""
    return f"{1000 * statistics.median(times[1:]):.2f}" if times and len(times) > 1 else "-"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer_python", help="an interpreter with torch")
    parser.add_argument("--shape", type=int, nargs=4, default=(8, 56, 56, 144), help="of the map")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="runs of each in a round")
    parser.add_argument("--quick", action="store_true", help="see that it runs: small, one round")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        prepare = TorchBoth if options.contender == "torch" else prepare_keras
        contest.serve(prepare, tuple(options.shape), steps=options.steps, named=True)
        return
    if options.quick:
        options.rounds, options.steps, options.shape = 1, 1, (2, 8, 8, 12)
    if not options.peer_python:
        print("PyTorch is left out: --peer_python=PYTHON names one with torch")
    compare(options)


if __name__ == "__main__":
    main()
