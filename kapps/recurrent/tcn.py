"""Temporal convolutional networks: residual blocks of dilated causal convolutions, in place of recurrence.

[1] Bai 2018, arXiv:1803.01271, section 3, Table 2
[2] their code, which draws kernels as PyTorch does, by fan-in

Step t of the last block sees the R = 1 + 2 (k - 1) (2^n - 1) steps up to t and none after it: dilations of the n blocks
are 1, 2, 4, ..., two convolutions of k steps each. The sizes are those of [1], Table 2 (pixels in order and permuted alike); Table 1 has the parameters in
thousands: its 70K of pixels are 66,910, its 70K of the adding problem 70,369, its 300K of the chorales 269,938. Its 16K
of the copy memory are not to be had from Table 2, whose sizes make 12,530.

The adding problem's answer is one number and music's 88 keys are struck apart: build those with
`classifier_activation=None`, for the mean squared error, and `"sigmoid"`, for binary cross-entropy.
"""

import keras
from keras import layers

from kapps.builders import sequence_family, variant
from kapps.layers import WeightNormConv1D


def _half(x, filters, kernel_size, dilation, dropout, name, i):
    """A dilated causal convolution, ReLU, and whole channels dropped."""
    x = WeightNormConv1D(
        filters,
        kernel_size,
        padding="causal",
        dilation_rate=dilation,
        kernel_initializer=_fan_in(),
        name=f"{name}_conv{i}",
    )(x)
    x = layers.ReLU(name=f"{name}_conv{i}_relu")(x)
    return layers.SpatialDropout1D(dropout, name=f"{name}_dropout{i}")(x) if dropout else x


def _fan_in():
    """PyTorch's: uniform within 1 / sqrt(fan-in)."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def residual_block(x, filters, kernel_size, dilation, dropout, name):
    """o = ReLU(x + F(x)), F two of `_half` [1, Figure 1b]; x goes through a 1x1 convolution where widths differ."""
    y = _half(x, filters, kernel_size, dilation, dropout, name, 1)
    y = _half(y, filters, kernel_size, dilation, dropout, name, 2)
    if x.shape[-1] != filters:
        x = layers.Conv1D(filters, 1, kernel_initializer=_fan_in(), name=f"{name}_shortcut")(x)
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.ReLU(name=f"{name}_relu")(x)


@sequence_family(shape=(None, 1), classes=10)
def tcn(x, *, hidden=25, levels=8, kernel_size=7, dropout=0.0, every_step=False):
    """`levels` blocks of `hidden` channels; the features of the last step, or with `every_step` of each."""
    for i in range(levels):
        x = residual_block(x, hidden, kernel_size, 2**i, dropout, f"layer{i + 1}")
    return x if every_step else x[:, -1]


# fmt: off
# levels and kernel_size are the paper's n and k; params are trainable ones
tcn_adding200 = variant(tcn, "tcn_adding200", shape=(None, 2), classes=1, hidden=27, levels=7, kernel_size=6, paper="arXiv:1803.01271", params=58_051)
tcn_adding400 = variant(tcn, "tcn_adding400", shape=(None, 2), classes=1, hidden=27, levels=7, kernel_size=7, paper="arXiv:1803.01271", params=67_582)
tcn_adding600 = variant(tcn, "tcn_adding600", shape=(None, 2), classes=1, hidden=24, levels=8, kernel_size=8, paper="arXiv:1803.01271", params=70_369)
tcn_mnist = variant(tcn, "tcn_mnist", hidden=25, levels=8, kernel_size=7, paper="arXiv:1803.01271", params=66_910)
tcn_mnist_small = variant(tcn, "tcn_mnist_small", hidden=20, levels=8, kernel_size=6, paper="arXiv:1803.01271", params=37_010)
tcn_copy500 = variant(tcn, "tcn_copy500", hidden=10, levels=9, kernel_size=6, dropout=0.05, every_step=True, paper="arXiv:1803.01271", params=10_750)
tcn_copy1000 = variant(tcn, "tcn_copy1000", hidden=10, levels=8, kernel_size=8, dropout=0.05, every_step=True, paper="arXiv:1803.01271", params=12_530)
tcn_copy2000 = variant(tcn, "tcn_copy2000", hidden=10, levels=9, kernel_size=8, dropout=0.05, every_step=True, paper="arXiv:1803.01271", params=14_170)
tcn_jsb = variant(tcn, "tcn_jsb", shape=(None, 88), classes=88, hidden=150, levels=2, kernel_size=3, dropout=0.5, every_step=True, paper="arXiv:1803.01271", params=269_938)
tcn_nottingham = variant(tcn, "tcn_nottingham", shape=(None, 88), classes=88, hidden=150, levels=4, kernel_size=6, dropout=0.2, every_step=True, paper="arXiv:1803.01271", params=1_053_238)
# fmt: on
