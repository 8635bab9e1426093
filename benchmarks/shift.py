"""Time of a shift of 3x3 offsets next to the depthwise 3x3 convolution that it replaces, in several forms.

    python benchmarks/shift.py
    KERAS_BACKEND=torch python benchmarks/shift.py

Each form has a process of its own. The processes take turns, so that other work on the machine affects all of them
alike; the table has medians. The works are the output of a batch of 8 maps; the output and the gradient of the maps,
for the convolution also of its kernel; and, with TensorFlow, the output of one map in an exported TFLite file. A copy
of the map, an addition of 1, is the least that the memory allows.
"""

import argparse
import functools
import os
import sys

import _timing

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
MAPS = ((32, 48), (16, 96), (8, 192), (56, 128), (14, 512))
"""Sides and channels of the maps."""
BATCH = 8


def copy(x, groups):
    """Reads and writes every value once."""
    del groups
    return x + 1


def slices(x, groups):
    """Pads the map, takes a slice of each group, and concatenates them."""
    from keras import ops

    _, height, width, _ = x.shape
    padded = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    parts = [
        padded[:, 1 + y : 1 + y + height, 1 + x_ : 1 + x_ + width, start:stop]
        for (y, x_), start, stop in groups
    ]
    return ops.concatenate(parts, axis=-1)


def moved(part, y, x):
    """Returns a part of the map, cropped on one side and padded on the other."""
    from keras import ops

    height, width = part.shape[1:3]
    part = part[:, max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)]
    pads = ((0, 0), (max(-y, 0), max(y, 0)), (max(-x, 0), max(x, 0)), (0, 0))
    return ops.pad(part, pads)


def splits(x, groups):
    """Splits the map, moves each part, and concatenates them."""
    from keras import ops

    parts = ops.split(x, [start for _, start, _ in groups[1:]], axis=-1)
    offsets = [offset for offset, _, _ in groups]
    return ops.concatenate(
        [moved(part, *offset) for part, offset in zip(parts, offsets, strict=True)], axis=-1
    )


def two_passes(x, groups):
    """Moves three groups up and down, then nine groups left and right."""
    from keras import ops

    rows = ops.split(x, [groups[3][1], groups[6][1]], axis=-1)
    x = ops.concatenate([moved(part, y, 0) for part, y in zip(rows, (-1, 0, 1), strict=True)], -1)
    columns = ops.split(x, [start for _, start, _ in groups[1:]], axis=-1)
    shifts = [offset[1] for offset, _, _ in groups]
    return ops.concatenate(
        [moved(part, 0, x_) for part, x_ in zip(columns, shifts, strict=True)], axis=-1
    )


FORMS = {
    "depthwise 3x3": None,
    "Shift": None,
    "copy": copy,
    "pad, slices, concatenate": slices,
    "split, pad, concatenate": splits,
    "two passes": two_passes,
}


def make_layer(form, channels):
    """Returns a layer of a form."""
    import keras

    from kapps.layers import Shift
    from kapps.layers.shift import shift_offsets

    if form == "depthwise 3x3":
        return keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)
    if form == "Shift":
        return Shift()
    offsets = [tuple(map(int, offset)) for offset in shift_offsets(channels)]
    unique = list(dict.fromkeys(offsets))
    groups = [(o, offsets.index(o), offsets.index(o) + offsets.count(o)) for o in unique]

    class Form(keras.layers.Layer):
        def call(self, inputs):
            return FORMS[form](inputs, groups)

        def compute_output_shape(self, input_shape):
            return input_shape

    return Form()


def prepare(work, form):
    """Returns a work of a form: "output 32 48", "gradient 32 48" or "tflite 32 48"."""
    import numpy as np

    kind, side, channels = work.split()
    side, channels = int(side), int(channels)
    layer = make_layer(form, channels)
    layer.build((None, side, side, channels))
    x = np.random.default_rng(0).normal(size=(BATCH, side, side, channels)).astype("float32")
    if kind == "tflite":
        if form == "depthwise 3x3":  # with a kernel that is a constant of the file
            layer, kernel = make_layer("Shift", channels), layer.get_weights()[0]
            layer.build(x.shape)
            layer.one_hot_kernel = kernel
        return tflite_work(layer, x[:1])
    return globals()[f"{os.environ['KERAS_BACKEND']}_work"](layer, x, kind == "gradient")


def tensorflow_work(layer, x, with_gradient):
    """Returns a function that computes the layer's output, and the gradient of its sum of squares."""
    import tensorflow as tf

    x = tf.constant(x)

    @tf.function
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        sources = [x, *(v.value for v in layer.trainable_variables)]
        return tape.gradient(y, sources, output_gradients=x) if with_gradient else y

    return functools.partial(run, x)


def torch_work(layer, x, with_gradient):
    """As `tensorflow_work`."""
    import torch

    torch.set_num_threads(_timing.CORES)
    x = torch.from_numpy(x).requires_grad_(with_gradient)

    def run():
        with torch.set_grad_enabled(with_gradient):
            y = layer(x)
        if with_gradient:
            torch.autograd.grad(y, [x, *(v.value for v in layer.trainable_variables)], x.detach())

    return run


def jax_work(layer, x, with_gradient):
    """As `tensorflow_work`."""
    import jax

    weights = [v.value for v in layer.trainable_variables]

    @jax.jit
    def run(weights, x):
        def output(weights, x):
            return layer.stateless_call(weights, [], x)[0]

        if not with_gradient:
            return output(weights, x)
        return jax.vjp(output, weights, x)[1](x)

    return lambda: jax.block_until_ready(run(weights, x))


def tflite_work(layer, x):
    """Returns a function that runs an exported file of the layer on one map."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    function = tf.function(layer, input_signature=[tf.TensorSpec(x.shape, "float32")])
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], layer
    )
    interpreter = Interpreter(model_content=converter.convert(), num_threads=_timing.CORES)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    return interpreter.invoke


def start(form):
    return _timing.TimedProcess([sys.executable, __file__, f"--form={form}"])


def compare(options):
    """Runs the processes in turn and prints one table for each kind of work."""
    kinds = ["output", "gradient"]
    if os.environ["KERAS_BACKEND"] == "tensorflow":
        kinds.append("tflite")
    works = [f"{kind} {side} {channels}" for kind in kinds for side, channels in MAPS]
    processes = {form: start(form) for form in FORMS}
    medians = _timing.median_seconds(processes, works, options.rounds, "shift")
    for kind in kinds:
        print(f"\n{os.environ['KERAS_BACKEND']}, {kind}, ms, {_timing.CORES} cores")
        print(f"{'':26}" + "".join(f"{f'{s}x{s}x{c}':>12}" for s, c in MAPS))
        for form in FORMS:
            seconds = [medians[f"{kind} {side} {channels}"].get(form) for side, channels in MAPS]
            cells = (f"{1000 * s:12.3f}" if s else f"{'-':>12}" for s in seconds)
            print(f"{form:26}" + "".join(cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.form:
        _timing.serve(prepare, options.form, with_work=True)
    else:
        compare(options)


if __name__ == "__main__":
    main()
