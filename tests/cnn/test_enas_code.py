"""ENAS: logits of the authors' TensorFlow code, transcribed function by function with Keras's operations.

There is no second implementation to install. The functions have the names of src/cifar10/micro_child.py and
general_child.py in github.com/melodyguan/enas; their arguments are the published numbers, `fixed_arc`.
"""

import keras
import numpy as np
import pytest
from keras import ops
from members import assert_close

import kapps
from kapps.cnn import enas_macro

MICRO = "0 2 0 0 0 4 0 1 0 4 1 1 1 0 0 1 0 2 1 1 1 0 1 0 0 3 0 2 1 1 3 1 1 0 0 4 0 3 1 1"
MACRO = ["0", "3 0", "1 1 0", "2 0 0 1", "0 1 1 0 0", "2 0 1 1 1 1"]
"""The first layers are those of scripts/cifar10_macro_final.sh; the others read outputs of all levels."""


class Code:
    """The authors' functions with the weights of a model of kapps.

    Args:
        model: the model, whose layers have the weights.
    """

    def __init__(self, model):
        self.model = model

    def kernel(self, name):
        return self.model.get_layer(name).kernel

    def batch_norm(self, x, name):
        norm = self.model.get_layer(name)
        scale = norm.gamma / ops.sqrt(norm.moving_variance + 1e-5)
        return (x - norm.moving_mean) * scale + norm.beta

    def conv_bn(self, x, name):
        x = ops.conv(x, self.kernel(name), padding="same")
        return self.batch_norm(x, f"{name}_bn")

    def factorized_reduction(self, x, name):
        path1 = ops.conv(x[:, ::2, ::2], self.kernel(f"{name}_even"))
        path2 = ops.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))[:, 1:, 1:]
        path2 = ops.conv(path2[:, ::2, ::2], self.kernel(f"{name}_odd"))
        return self.batch_norm(ops.concatenate([path1, path2], axis=-1), f"{name}_concat_bn")

    def fixed_conv(self, x, strides, name):
        for i in (1, 2):
            x = ops.relu(x)
            x = ops.depthwise_conv(
                x, self.kernel(f"{name}_depthwise{i}"), strides if i == 1 else 1, padding="same"
            )
            x = self.conv_bn(x, f"{name}_pointwise{i}")
        return x

    def maybe_calibrate_size(self, layers, filters, name):
        x, y = layers
        if x.shape[1] != y.shape[1]:
            x = self.factorized_reduction(ops.relu(x), f"{name}_calibrate0")
        elif x.shape[-1] != filters:
            x = self.conv_bn(ops.relu(x), f"{name}_calibrate0")
        if y.shape[-1] != filters:
            y = self.conv_bn(ops.relu(y), f"{name}_calibrate1")
        return [x, y]

    def operation(self, x, number, strides, name):
        if number in (0, 1):
            return self.fixed_conv(x, strides, name)
        if number == 2:
            return ops.average_pool(x, 3, strides, padding="same")
        if number == 3:
            return ops.max_pool(x, 3, strides, padding="same")
        return x if strides == 1 else self.factorized_reduction(x, name)

    def fixed_layer(self, prev_layers, arc, filters, strides, name):
        layers = self.maybe_calibrate_size(prev_layers, filters, name)
        layers[1] = self.conv_bn(ops.relu(layers[1]), f"{name}_base")
        used = set()
        for node, (x_id, x_op, y_id, y_op) in enumerate(np.reshape(arc, (5, 4)), start=2):
            used |= {x_id, y_id}
            x = self.operation(
                layers[x_id], x_op, strides if x_id < 2 else 1, f"{name}_{node}_left"
            )
            y = self.operation(
                layers[y_id], y_op, strides if y_id < 2 else 1, f"{name}_{node}_right"
            )
            layers.append(x + y)
        return ops.concatenate([x for i, x in enumerate(layers) if i not in used], axis=-1)

    def micro(self, x, arc, num_layers, filters):
        pool_layers = [num_layers // 3, 2 * (num_layers // 3) + 1]
        layers = [self.conv_bn(x, "stem_conv")] * 2
        level = block = 0
        for layer_id in range(num_layers + 2):
            pooled = layer_id in pool_layers
            level, block = (level + 1, 1) if pooled else (level, block + 1)
            x = self.fixed_layer(
                layers, arc[20:] if pooled else arc[:20], filters * 2**level, 1 + pooled,
                f"level{level}_block{block}",
            )  # fmt: skip
            layers = [layers[-1], x]
        return ops.mean(ops.relu(x), axis=(1, 2)) @ self.kernel("head_logits")

    def macro(self, x, lines):
        layers = [self.conv_bn(x, "stem_conv")]
        third = len(lines) // 3
        for layer_id, (number, *skips) in enumerate(lines):
            level, block = layer_id // third, layer_id % third + 1
            if level and block == 1:
                layers = [
                    self.factorized_reduction(y, f"level{level}_from{i}")
                    for i, y in enumerate(layers)
                ]
            name = f"level{level}_block{block}"
            out = self.conv_bn(ops.relu(layers[-1]), f"{name}_conv1")
            out = self.conv_bn(ops.relu(out), f"{name}_conv2")
            assert self.kernel(f"{name}_conv2").shape[0] == (3, 3, 5, 5)[number]
            if layer_id > 0:
                res_layers = [layers[i] for i in range(layer_id) if skips[i] == 1]
                out = ops.relu(ops.concatenate([*res_layers, out], axis=-1))
                out = self.conv_bn(out, f"{name}_skip")
            layers.append(out)
        return ops.mean(out, axis=(1, 2)) @ self.kernel("head_logits")


@pytest.mark.long
@pytest.mark.parametrize("size", [16, pytest.param(24, marks=pytest.mark.long)])
def test_logits_of_the_micro_search_space_equal_the_authors_code(size, randomise):
    model = kapps.families.enas(
        filters=4, depth=3, input_shape=(size, size, 3), classifier_activation=None
    )
    randomise(model)
    x = np.random.default_rng(size).normal(size=(2, size, size, 3)).astype("float32")
    expected = Code(model).micro(x, list(map(int, MICRO.split())), 3, 4)
    assert_close(*map(keras.ops.convert_to_numpy, (model(x), expected)), within=1e-4)


@pytest.mark.parametrize("size", [16, pytest.param(24, marks=pytest.mark.long)])
def test_logits_of_the_macro_search_space_equal_the_authors_code(size, randomise):
    lines = [list(map(int, line.split())) for line in MACRO]
    arc = tuple(
        (("conv3", "sep3", "conv5", "sep5")[number], tuple(i for i, x in enumerate(skips) if x))
        for number, *skips in lines
    )
    assert arc[:2] == enas_macro.ARC[:2] and arc[3] == enas_macro.ARC[3]
    model = kapps.families.enas_macro(
        arc=arc, filters=4, input_shape=(size, size, 3), classifier_activation=None
    )
    randomise(model)
    x = np.random.default_rng(size).normal(size=(2, size, size, 3)).astype("float32")
    expected = Code(model).macro(x, lines)
    assert_close(*map(keras.ops.convert_to_numpy, (model(x), expected)), within=1e-4)
