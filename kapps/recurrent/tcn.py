"""Temporal convolutional networks: residual blocks of dilated causal convolutions, in place of recurrence.

[1] Bai 2018, arXiv:1803.01271, section 3, Table 2
[2] their code, which draws kernels as PyTorch does, by fan-in

Step t of the last block sees the R = 1 + 2 (k - 1) (2^n - 1) steps up to t and none after it: dilations of the n blocks
are 1, 2, 4, ..., two convolutions of k steps each. The sizes are those of [1], Table 2; Table 1 has the parameters in
thousands: its 70K of pixels are 66,910, its 70K of the adding problem 70,369, its 300K of the chorales 269,938. Its 16K
of the copy memory are not to be had from Table 2, whose sizes make 12,530.

The adding problem's answer is one number and music's 88 keys are struck apart: build those with
`classifier_activation=None`, for the mean squared error, and `"sigmoid"`, for binary cross-entropy.
"""

import keras
from keras import layers

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


def tcn(x, *, hidden=25, levels=8, kernel_size=7, dropout=0.0, every_step=False):
    """`levels` blocks of `hidden` channels; the features of the last step, or with `every_step` of each."""
    for i in range(levels):
        x = residual_block(x, hidden, kernel_size, 2**i, dropout, f"layer{i + 1}")
    return x if every_step else x[:, -1]
