"""DelugeNet: logits of the authors' Torch code, transcribed function by function with Keras's operations.

There is no second implementation to install. The functions have the names of delugenet.lua in
github.com/xternalz/DelugeNets, and its tables are lists: the latest output is the first.
"""

import keras
import numpy as np
import pytest
from keras import ops
from members import assert_close

import kapps


class Code:
    """The authors' functions with the weights of a model of kapps.

    Args:
        model: the model, whose layers have the weights.
    """

    def __init__(self, model):
        self.model = model

    def convolution(self, x, name, stride=1, padding=0):
        sides = (padding, padding)
        x = ops.pad(x, ((0, 0), sides, sides, (0, 0)))
        return ops.conv(x, self.model.get_layer(name).kernel, stride, padding="valid")

    def batch_norm(self, x, name, row=...):
        norm = self.model.get_layer(name)
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        gamma, beta, mean, variance = (
            ops.convert_to_numpy(getattr(norm, name))[row] for name in names
        )
        return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta

    def cross_layer_depthwise_convolution(self, table, name):
        output = 0
        for i, x in enumerate(reversed(table)):  # kapps has the earliest output first
            output = output + self.batch_norm(x, name, row=i)
        return output

    def bottleneck(self, table, stride, kind, level, number):
        name = f"level{level}_block{number}"
        if len(table) == 1:
            s = ops.relu(self.batch_norm(table[0], f"{name}_preact"))
        elif kind == "both_preact":  # block transition
            s = self.cross_layer_depthwise_convolution(table, f"level{level - 1}_cross")
            s = self.batch_norm(s, f"level{level}_block0_norm")
            return [self.convolution(s, f"level{level}_block0_conv", stride, 1)]
        else:
            s = self.cross_layer_depthwise_convolution(table, f"{name}_cross")
            s = ops.relu(self.batch_norm(s, f"{name}_preact"))
        s = self.convolution(s, f"{name}_conv1")
        s = ops.relu(self.batch_norm(s, f"{name}_conv1_bn"))
        s = self.convolution(s, f"{name}_conv2", stride, 1)
        s = ops.relu(self.batch_norm(s, f"{name}_conv2_bn"))
        s = self.convolution(s, f"{name}_conv3")
        return [s, *table] if kind is None else [s]

    def block(self, table, count, stride, level):
        first = 0 if len(table) > 1 else 1
        table = self.bottleneck(table, stride, "both_preact", level, first)
        for i in range(1, count):
            table = self.bottleneck(table, 1, None, level, first + i)
        return table

    def create_model(self, x, n):
        table = [self.convolution(x, "stem_conv", 1, 1)]
        table = self.block(table, n, 1, 0)
        table = self.block(table, n * 2 + 1, 2, 1)
        table = self.block(table, n * 3 + 1, 2, 2)
        x = self.cross_layer_depthwise_convolution(table, "level2_cross")
        x = ops.relu(self.batch_norm(x, "level2_norm"))
        x = ops.average_pool(x, 8)[:, 0, 0]
        return self.model.get_layer("head_logits")(x)


@pytest.mark.long
def test_logits_equal_those_of_the_authors_code(randomise):
    n = 2
    model = kapps.families.delugenet_cifar(
        depths=(n, 2 * n, 3 * n), filters=4, classifier_activation=None
    )
    randomise(model)
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    logits = keras.ops.convert_to_numpy(model(images, training=False))
    expected = keras.ops.convert_to_numpy(Code(model).create_model(images, n))
    assert np.abs(logits[0] - logits[1]).max() > 0.01 * np.abs(logits).max()
    assert_close(logits, expected, within=1e-5)
