"""The inverted residual block (Sandler 2018, arXiv:1801.04381), the block of networks for phones."""

from keras import layers

from kapps.layers.convolution import conv_bn, depthwise_bn


def make_divisible(filters: float, least: float = 0.9) -> int:
    """Returns the multiple of 8 that is nearest to a number of channels, and at least 8.

    Args:
        filters: number of channels.
        least: if the multiple is less than `least` times `filters`, the next one is returned; 0 for the nearest always.
    """
    nearest = max(8, int(filters + 4) // 8 * 8)
    return nearest if nearest >= least * filters else nearest + 8


def inverted_residual(
    x, filters, kernel_size=3, *, expanded, strides, activation, squeeze=None,
    drop_rate=0.0, name, **norm,
):  # fmt: skip
    """A 1x1 convolution to `expanded` channels, a depthwise one, an SE block, and a 1x1 one without activation.

    x is added as `add_where_equal` does.

    Args:
        x: Keras tensor (batch, height, width, channels).
        filters: number of output channels.
        kernel_size: side of the depthwise kernel.
        expanded: channels of the depthwise convolution. There is no first 1x1 if x has as many.
        strides: of the depthwise convolution.
        activation: after the first two convolutions, by Keras's name.
        squeeze: the SE block, `squeeze(y, name=...)`; None for none.
        drop_rate: fraction of the images for which training drops the branch: stochastic depth (Huang 2016,
            arXiv:1603.09382).
        name: prefix of the layers' names.
        **norm: options of the batch norms.
    """
    y = x
    if expanded != x.shape[-1]:
        y = conv_bn(y, expanded, 1, activation=activation, **norm, name=f"{name}_expand")
    y = depthwise_bn(
        y, kernel_size, strides=strides, activation=activation, **norm, name=f"{name}_depthwise"
    )
    if squeeze is not None:
        y = squeeze(y, name=f"{name}_se")
    y = conv_bn(y, filters, 1, **norm, name=f"{name}_project")
    return add_where_equal(x, y, strides=strides, drop_rate=drop_rate, name=name)


def add_where_equal(x, y, *, strides, drop_rate=0.0, name):
    """Returns x + y, with stochastic depth of y, or only y where strides or channels differ."""
    if strides > 1 or x.shape[-1] != y.shape[-1]:
        return y
    if drop_rate:
        y = layers.Dropout(drop_rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(y)
    return layers.Add(name=f"{name}_add")([x, y])
