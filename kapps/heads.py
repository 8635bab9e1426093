"""From a feature map to a prediction."""

from keras import layers

POOLINGS = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}


def pool(x, pooling):
    """Global pooling by name: (batch, height, width, channels) to (batch, channels)."""
    return POOLINGS[pooling](name="head_pool")(x)


def flatten(x, grid=None):
    """Vectorises a map: (batch, height, width, channels) to (batch, height * width * channels).

    Args:
        x: the map, of known size.
        grid: (height, width) that the dense layer after it wants. A map of another size is averaged to it: a
            larger one by adaptive pooling, as in torchvision's AlexNet and VGG, a smaller one by area.
    """
    size = tuple(x.shape[1:3])
    if grid is not None and size != tuple(grid):
        if size[0] < grid[0] or size[1] < grid[1]:  # Keras's adaptive pooling does not enlarge
            x = layers.UpSampling2D(grid, name="head_cells")(x)
            x = layers.AveragePooling2D(size, name="head_grid")(x)
        else:
            x = layers.AdaptiveAveragePooling2D(grid, name="head_grid")(x)
    return layers.Flatten(name="head_flatten")(x)


def average(x, classes, activation):
    """The head of most networks: global average pooling, then one dense layer."""
    return classifier(pool(x, "avg"), classes, activation)


def classifier(x, classes, activation, *, logits="head_logits", predictions="predictions"):
    """Pooled features to class scores: (batch, channels) to (batch, classes).

    Logits and activation are layers of their own, and both compute in float32 under any precision policy: a
    softmax in half precision loses the loss (Keras issue 16552).
    """
    x = layers.Dense(classes, dtype="float32", name=logits)(x)
    return layers.Activation(activation or "linear", dtype="float32", name=predictions)(x)
