"""Adaptive average pooling to any grid, as PyTorch computes it."""

from keras import layers


def adaptive_average_pool(x, grid, *, name):
    """Averages a map to a grid of a fixed size, with the windows of PyTorch's AdaptiveAvgPool2d.

    Cell i of m reads the pixels from floor(i n / m) to ceil((i + 1) n / m) of n: one or two of them where n < m.
    The layers are Keras's own; a map of the grid's size has none.

    Args:
        x: Keras tensor (batch, height, width, channels) of known size.
        grid: (height, width) of the result.
        name: of the last layer, and the first part of the other layers' names.
    """
    size = tuple(x.shape[1:3])
    larger = any(n > m for n, m in zip(size, grid, strict=True))
    for axis, (n, m) in enumerate(zip(size, grid, strict=True)):
        if n < m:
            x = _enlarge(x, axis, n, m, name=f"{name}_{('rows', 'columns')[axis]}")
    return layers.AdaptiveAveragePooling2D(grid, name=name)(x) if larger else x


def _enlarge(x, axis, n, m, *, name):
    """Averages the first and the last pixel of each of m windows on n pixels, along one axis.

    The pixels are first repeated m times, so that window i begins at n i and ends before n (i + 1).
    """

    def along(value, other):
        return (value, other) if axis == 0 else (other, value)

    x = layers.UpSampling2D(along(m, 1), name=f"{name}_repeated")(x)
    first = layers.AveragePooling2D(1, strides=along(n, 1), name=f"{name}_first")(x)
    last = layers.Cropping2D(along((n - 1, 0), (0, 0)), name=f"{name}_cropped")(x)
    last = layers.AveragePooling2D(1, strides=along(n, 1), name=f"{name}_last")(last)
    return layers.Average(name=name)([first, last])
