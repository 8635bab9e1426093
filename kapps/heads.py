"""From a feature map to a prediction.

A head is a function `head(x, classes, activation) -> predictions`. A family names its own; any goes on a body:

    body = kapps.resnet50(include_top=False)
    model = keras.Model(body.input, kapps.heads.vote(body.output, 10, "softmax"))
"""

import keras
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


def average(x, classes, activation, *, pooling="avg", dropout=0.0):
    """The head of most networks: global average pooling, then one dense layer, after `dropout` of the features."""
    x = pool(x, pooling)
    if dropout:
        x = layers.Dropout(dropout, name="head_dropout")(x)
    return classifier(x, classes, activation)


def classifier(x, classes, activation, *, logits="head_logits", predictions="predictions"):
    """Pooled features to class scores: (batch, channels) to (batch, classes).

    Logits and activation are layers of their own, and both compute in float32 under any precision policy: a
    softmax in half precision loses the loss (Keras issue 16552).
    """
    x = layers.Dense(classes, dtype="float32", name=logits)(x)
    return layers.Activation(activation or "linear", dtype="float32", name=predictions)(x)


def tied(x, classes, activation, *, embedding):
    """Features to scores of each token by the matrix that embeds them, without a bias (Press 2016, arXiv:1608.05859).

    Args:
        x: (batch, ..., width), as wide as the embedding.
        classes: as many as the embedding has tokens.
        activation: what follows the logits.
        embedding: a `keras.layers.ReversibleEmbedding` whose reverse_dtype is float32.
    """
    if classes != embedding.input_dim:
        raise ValueError(
            f"the logits share the matrix of {embedding.input_dim:,} tokens, so classes is as many, not {classes:,}; "
            "or give tied=False"
        )
    x = embedding(x, reverse=True)
    # A layer called twice has one name; what gives the logits has theirs.
    x = layers.Activation("linear", dtype="float32", name="head_logits")(x)
    return layers.Activation(activation or "linear", dtype="float32", name="predictions")(x)


def logistic(x, classes, activation):
    """As `classifier`, but one class has a sigmoid where a softmax is asked for, which would always say 1."""
    return classifier(
        x, classes, "sigmoid" if (classes, activation) == (1, "softmax") else activation
    )


def vectorised(x, classes, activation):
    """The oldest head: every feature of every pixel into one dense layer; the map's size is known."""
    return classifier(flatten(x), classes, activation)


def dense(x, classes, activation, *, units=(4096, 4096), grid=None, function="relu", dropout=0.5):
    """The head before global pooling: a vectorised map, dense layers of `units`, and the classifier.

    Args:
        x: the map, of known size.
        classes: width of the predictions.
        activation: what follows the logits.
        units: width of each hidden layer.
        grid: (height, width) that the first one reads, as for `flatten`.
        function: activation of the hidden layers.
        dropout: share of each hidden layer's values that training drops.
    """
    x = flatten(x, grid)
    for i, width in enumerate(units, start=1):
        x = layers.Dense(width, activation=function, name=f"head_dense{i}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"head_dropout{i}")(x)
    return classifier(x, classes, activation)


def vote(x, classes, activation):
    """One classifier for every pixel, and the mean of their votes; the map's size may be open.

    Averages what follows the activation: without one, it is global average pooling and then the classifier.
    """
    x = layers.Dense(classes, dtype="float32", name="head_logits")(x)
    x = layers.Activation(activation or "linear", dtype="float32", name="head_votes")(x)
    return layers.GlobalAveragePooling2D(dtype="float32", name="predictions")(x)


def evidence(x, classes, activation, *, dropout=0.0):
    """A map of evidence for each class, never negative, and its mean over all places (Lin 2013, arXiv:1312.4400).

    Also SqueezeNet's, with `dropout` of the features; the map's size may be open. The logits are not negative.
    """
    if dropout:
        x = layers.Dropout(dropout, name="head_dropout")(x)
    x = layers.Dense(classes, activation="relu", dtype="float32", name="head_logits")(x)
    x = layers.GlobalAveragePooling2D(dtype="float32", name="head_pool")(x)
    return layers.Activation(activation or "linear", dtype="float32", name="predictions")(x)


def weighted(x, classes, activation):
    """Pooling in which each place has a learned weight, all equal at first; the map's size is known."""
    height, width, channels = x.shape[1:]
    x = layers.Reshape((height * width, channels), name="head_places")(x)
    x = layers.Permute((2, 1), name="head_by_channel")(x)
    equal = keras.initializers.Constant(1 / (height * width))
    x = layers.Dense(1, use_bias=False, kernel_initializer=equal, name="head_weights")(x)
    return classifier(layers.Reshape((channels,), name="head_pool")(x), classes, activation)


def pyramid(x, classes, activation, *, grids=(1, 2, 3, 6)):
    """Spatial pyramid pooling (He 2014, arXiv:1406.4729): the largest of each cell of ever finer grids.

    As many features for a map of any known size, of at least as many rows and columns as the finest grid; the
    paper's four grids have 50 cells.
    """
    if min(x.shape[1:3]) < max(grids):
        raise ValueError(
            f"a map of {tuple(x.shape[1:3])} has no grid of {max(grids)} x {max(grids)} cells; "
            "give a larger image or coarser grids"
        )
    cells = []
    for n in grids:
        if n == 1:
            # Keras's adaptive pooling tries windows larger than the map too, of which TensorFlow's oneDNN ends the
            # process on CPUs with AVX-512.
            cells.append(layers.GlobalMaxPooling2D(name="head_cells1")(x))
            continue
        pooled = layers.AdaptiveMaxPooling2D((n, n), name=f"head_grid{n}")(x)
        cells.append(layers.Flatten(name=f"head_cells{n}")(pooled))
    return classifier(layers.Concatenate(name="head_pyramid")(cells), classes, activation)


def several(x, tasks, activation):
    """Several heads on one body: {task: classes} to {task: predictions}, from the same pooled features."""
    x = pool(x, "avg")
    return {
        task: classifier(
            x, classes, activation, logits=f"head_logits_{task}", predictions=f"predictions_{task}"
        )
        for task, classes in tasks.items()
    }
