"""Temporal convolutional networks: residual blocks of dilated causal convolutions in place of recurrence.

[1] Bai 2018, arXiv:1803.01271, section 3, Tables 1 and 2
[2] their code, https://github.com/locuslab/TCN, which initialises kernels by fan-in as PyTorch does

The n blocks have dilations 1, 2, 4, ... and two convolutions of k steps each, so the output at step t depends on the
R = 1 + 2 (k - 1) (2^n - 1) steps up to t and on none after it.

The sizes are those of [1], Table 2; permuted and sequential pixels share them. Table 1 prints the parameters in thousands:
its 70K for pixels are 66,910, its 70K for the adding problem 70,369, its 300K for the chorales 269,938. Its 16K for the copy
memory task cannot be reached with the sizes of Table 2, which make 12,530.

Build the adding problem with `classifier_activation=None`, for the mean squared error, and the music data sets, which have
88 independent keys, with `"sigmoid"`, for binary cross-entropy.
"""

import keras
from keras import layers

from kapps.builders import sequence_family, variant
from kapps.layers import WeightNormConv1D


def fan_in_uniform():
    """PyTorch's initialisation: uniform within 1 / sqrt(fan-in)."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def causal_conv(x, filters, kernel_size, dilation, dropout, name, i):
    """A weight-normalised dilated causal convolution, ReLU, and dropout of whole channels."""
    x = WeightNormConv1D(
        filters, kernel_size, padding="causal", dilation_rate=dilation, kernel_initializer=fan_in_uniform(),
        name=f"{name}_conv{i}",
    )(x)  # fmt: skip
    x = layers.ReLU(name=f"{name}_conv{i}_relu")(x)
    return layers.SpatialDropout1D(dropout, name=f"{name}_dropout{i}")(x) if dropout else x


def residual_block(x, filters, kernel_size, dilation, dropout, name):
    """o = ReLU(x + F(x)), F two causal convolutions [1, Figure 1b]; x goes through a 1x1 convolution if widths differ."""
    y = causal_conv(x, filters, kernel_size, dilation, dropout, name, 1)
    y = causal_conv(y, filters, kernel_size, dilation, dropout, name, 2)
    if x.shape[-1] != filters:
        shortcut = layers.Conv1D(
            filters, 1, kernel_initializer=fan_in_uniform(), name=f"{name}_shortcut"
        )
        x = shortcut(x)
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.ReLU(name=f"{name}_relu")(x)


@sequence_family(shape=(None, 1), classes=10)
def body(x, *, hidden=25, levels=8, kernel_size=7, dropout=0.0, every_step=False):
    """Residual blocks of dilated causal convolutions; one prediction for the sequence, or one at each step.

    Args:
        x: vectors (batch, time, features).
        hidden: number of channels of each block.
        levels: n, the number of blocks.
        kernel_size: k, the steps of each kernel.
        dropout: fraction of the channels that training drops.
        every_step: whether to return the features of each step, or only of the last one.
    """
    for i in range(levels):
        x = residual_block(x, hidden, kernel_size, 2**i, dropout, f"layer{i + 1}")
    return x if every_step else x[:, -1]


BAI = "arXiv:1803.01271"
# fmt: off
#                                                                                  n          k                                                      trainable parameters
tcn_adding200   = variant(body, "tcn_adding200",   shape=(None, 2),  classes=1,  hidden=27,  levels=7, kernel_size=6,                               paper=BAI, params=58_051)
tcn_adding400   = variant(body, "tcn_adding400",   shape=(None, 2),  classes=1,  hidden=27,  levels=7, kernel_size=7,                               paper=BAI, params=67_582)
tcn_adding600   = variant(body, "tcn_adding600",   shape=(None, 2),  classes=1,  hidden=24,  levels=8, kernel_size=8,                               paper=BAI, params=70_369)
tcn_mnist       = variant(body, "tcn_mnist",                                     hidden=25,  levels=8, kernel_size=7,                               paper=BAI, params=66_910)
tcn_mnist_small = variant(body, "tcn_mnist_small",                               hidden=20,  levels=8, kernel_size=6,                               paper=BAI, params=37_010)
tcn_copy500     = variant(body, "tcn_copy500",                                   hidden=10,  levels=9, kernel_size=6, dropout=0.05, every_step=True, paper=BAI, params=10_750)
tcn_copy1000    = variant(body, "tcn_copy1000",                                  hidden=10,  levels=8, kernel_size=8, dropout=0.05, every_step=True, paper=BAI, params=12_530)
tcn_copy2000    = variant(body, "tcn_copy2000",                                  hidden=10,  levels=9, kernel_size=8, dropout=0.05, every_step=True, paper=BAI, params=14_170)
tcn_jsb         = variant(body, "tcn_jsb",         shape=(None, 88), classes=88, hidden=150, levels=2, kernel_size=3, dropout=0.5,  every_step=True, paper=BAI, params=269_938)
tcn_nottingham  = variant(body, "tcn_nottingham",  shape=(None, 88), classes=88, hidden=150, levels=4, kernel_size=6, dropout=0.2,  every_step=True, paper=BAI, params=1_053_238)
# fmt: on
