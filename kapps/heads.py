"""Heads: from a feature map to predictions.

A head is a function `head(x, classes, activation) -> predictions`. Each family has its own; any other head can be
put on a model without its classifier:

    body = kapps.resnet50(include_top=False)
    model = keras.Model(body.input, kapps.heads.per_pixel_classifier(body.output, 10, "softmax"))
"""

import keras
from keras import layers

from kapps._names import attribute_finder
from kapps.layers.adaptive_pooling import adaptive_average_pool
from kapps.layers.adaptive_softmax import AdaptiveSoftmax

POOLINGS = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}


def pool(x, pooling, name="head_pool"):
    """Returns globally pooled features, (batch, channels).

    Args:
        x: feature map (batch, height, width, channels).
        pooling: "avg" or "max".
        name: name of the layer.
    """
    return POOLINGS[pooling](name=name)(x)


def flatten(x, grid=None):
    """Returns all features of a map in one vector, (batch, height * width * channels).

    Args:
        x: feature map (batch, height, width, channels) of known size.
        grid: (height, width) that the next dense layer needs. A map of another size is averaged to it by adaptive
            pooling, as in torchvision's AlexNet and VGG.
    """
    if grid is not None:
        x = adaptive_average_pool(x, tuple(grid), name="head_grid")
    return layers.Flatten(name="head_flatten")(x)


def classifier(
    x, classes, activation, *, use_bias=True, logits="head_logits", predictions="predictions"
):
    """Returns class scores of pooled features, (batch, classes).

    Logits and activation are separate layers. Both compute in float32 under any precision policy: a softmax in half
    precision loses small probabilities (Keras issue 16552).

    Args:
        x: features (batch, channels).
        classes: number of classes.
        activation: activation after the logits; None for logits.
        use_bias: whether the dense layer has biases.
        logits: name of the dense layer.
        predictions: name of the activation layer.
    """
    x = layers.Dense(classes, use_bias=use_bias, dtype="float32", name=logits)(x)
    return layers.Activation(activation or "linear", dtype="float32", name=predictions)(x)


def binary_or_multiclass(x, classes, activation):
    """Returns class scores as `classifier` does; one class has a sigmoid in place of a softmax, which is always 1."""
    return classifier(
        x, classes, "sigmoid" if (classes, activation) == (1, "softmax") else activation
    )


def multi_label(x, classes, activation):
    """Returns scores of labels that do not exclude each other: `classifier` with a sigmoid in place of a softmax."""
    return classifier(x, classes, "sigmoid" if activation == "softmax" else activation)


def tied_classifier(x, classes, activation, *, embedding):
    """Returns scores of each token, computed with the embedding's matrix and no bias (Press 2016, arXiv:1608.05859).

    Args:
        x: features (batch, ..., width), with the width of the embedding.
        classes: number of tokens of the embedding.
        activation: activation after the logits; None for logits.
        embedding: a `keras.layers.ReversibleEmbedding` whose reverse_dtype is float32.

    Raises:
        ValueError: if `classes` differs from the number of tokens of the embedding.
    """
    if classes != embedding.input_dim:
        raise ValueError(
            f"classes={classes:,}: the logits use the embedding's matrix of {embedding.input_dim:,} tokens; "
            f"pass classes={embedding.input_dim} or tied=False"
        )
    x = embedding(x, reverse=True)
    # The embedding is called twice under one name, so the logits have a layer of their own.
    x = layers.Activation("linear", dtype="float32", name="head_logits")(x)
    return layers.Activation(activation or "linear", dtype="float32", name="predictions")(x)


def adaptive_softmax(x, classes, activation, *, cutoffs, div_value=4.0):
    """Returns scores of classes sorted by frequency; rarer ones have narrower matrices (Grave 2016, arXiv:1609.04309).

    The logits are log-probabilities (see `kapps.layers.AdaptiveSoftmax`), so their softmax is the probabilities.

    Args:
        x: features (batch, ..., width).
        classes: number of classes.
        activation: activation after the logits; None for log-probabilities.
        cutoffs: first class of each cluster of rarer classes; those from `classes` up are left out.
        div_value: by which each cluster is narrower than the one before it.
    """
    cutoffs = tuple(cutoff for cutoff in cutoffs if cutoff < classes)
    x = AdaptiveSoftmax(classes, cutoffs, div_value, dtype="float32", name="head_logits")(x)
    return layers.Activation(activation or "linear", dtype="float32", name="predictions")(x)


def global_average_pooling(
    x, classes, activation, *, pooling="avg", dropout=0.0, use_bias=True
):  # fmt: skip
    """The head of most networks: global average pooling and one dense layer.

    Args:
        x: feature map (batch, height, width, channels).
        classes: number of classes.
        activation: activation after the logits; None for logits.
        pooling: "avg" or "max".
        dropout: fraction of the pooled features that training drops.
        use_bias: whether the dense layer has biases.
    """
    x = pool(x, pooling)
    if dropout:
        x = layers.Dropout(dropout, name="head_dropout")(x)
    return classifier(x, classes, activation, use_bias=use_bias)


def exit_classifier(x, classes, activation, name):
    """The head of an early exit: global average pooling and one dense layer, as `global_average_pooling`.

    Args:
        x: feature map (batch, height, width, channels).
        classes: number of classes.
        activation: activation after the logits; None for logits.
        name: name of the exit, such as "exit1". Its output is called "exit1_predictions".
    """
    x = pool(x, "avg", name=f"{name}_pool")
    return classifier(
        x, classes, activation, logits=f"{name}_logits", predictions=f"{name}_predictions"
    )


def flatten_dense(
    x, classes, activation, *, units=(4096, 4096), grid=None, hidden_activation="relu", dropout=0.5
):
    """The head of networks before global pooling: a flattened map, hidden dense layers, and the classifier.

    Args:
        x: feature map (batch, height, width, channels) of known size.
        classes: number of classes.
        activation: activation after the logits; None for logits.
        units: width of each hidden layer; () for none.
        grid: (height, width) of the map that the first dense layer reads, as for `flatten`.
        hidden_activation: activation of the hidden layers.
        dropout: fraction of each hidden layer's outputs that training drops.
    """
    x = flatten(x, grid)
    for i, width in enumerate(units, start=1):
        x = layers.Dense(width, activation=hidden_activation, name=f"head_dense{i}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"head_dropout{i}")(x)
    return classifier(x, classes, activation)


def per_pixel_classifier(x, classes, activation):
    """Classifies every pixel of the map and returns the mean of the predictions; the map may have any size.

    The mean is taken after the activation. Without an activation the result is that of `global_average_pooling`.

    Args:
        x: feature map (batch, height, width, channels).
        classes: number of classes.
        activation: activation after each pixel's logits.
    """
    x = layers.Dense(classes, dtype="float32", name="head_logits")(x)
    x = layers.Activation(activation or "linear", dtype="float32", name="head_pixel_predictions")(x)
    return layers.GlobalAveragePooling2D(dtype="float32", name="predictions")(x)


def class_map_pooling(x, classes, activation, *, dropout=0.0):
    """Computes one map for each class and returns its mean over all pixels (Lin 2013, arXiv:1312.4400).

    The head of Network in Network and SqueezeNet. The map may have any size. A ReLU follows the class maps, so no
    logit is negative.

    Args:
        x: feature map (batch, height, width, channels).
        classes: number of classes.
        activation: activation after the logits; None for logits.
        dropout: fraction of the features that training drops.
    """
    if dropout:
        x = layers.Dropout(dropout, name="head_dropout")(x)
    x = layers.Dense(classes, activation="relu", dtype="float32", name="head_logits")(x)
    x = layers.GlobalAveragePooling2D(dtype="float32", name="head_pool")(x)
    return layers.Activation(activation or "linear", dtype="float32", name="predictions")(x)


def spatially_weighted_pooling(x, classes, activation):
    """Pools with one learned weight for each pixel, all equal at first, and classifies.

    Args:
        x: feature map (batch, height, width, channels) of known size.
        classes: number of classes.
        activation: activation after the logits; None for logits.
    """
    height, width, channels = x.shape[1:]
    x = layers.Reshape((height * width, channels), name="head_pixels")(x)
    x = layers.Permute((2, 1), name="head_by_channel")(x)
    equal = keras.initializers.Constant(1 / (height * width))
    x = layers.Dense(1, use_bias=False, kernel_initializer=equal, name="head_weights")(x)
    return classifier(layers.Reshape((channels,), name="head_pool")(x), classes, activation)


def spatial_pyramid_pooling(x, classes, activation, *, grids=(1, 2, 3, 6)):
    """Takes the maximum of each cell of several grids and classifies (He 2014, arXiv:1406.4729).

    The number of features does not depend on the size of the map. The paper's four grids have 50 cells.

    Args:
        x: feature map (batch, height, width, channels) of known size, at least as large as the finest grid.
        classes: number of classes.
        activation: activation after the logits; None for logits.
        grids: numbers of rows and columns.

    Raises:
        ValueError: if the map is smaller than the finest grid.
    """
    if min(x.shape[1:3]) < max(grids):
        raise ValueError(
            f"grids={tuple(grids)}: a map of {tuple(x.shape[1:3])} has no {max(grids)} x {max(grids)} cells; "
            "pass a larger image or coarser grids"
        )
    cells = []
    for n in grids:
        if n == 1:
            # Keras's adaptive pooling also builds windows larger than the map, with which TensorFlow's oneDNN kernel
            # ends the process on CPUs with AVX-512.
            cells.append(layers.GlobalMaxPooling2D(name="head_cells1")(x))
            continue
        pooled = layers.AdaptiveMaxPooling2D((n, n), name=f"head_grid{n}")(x)
        cells.append(layers.Flatten(name=f"head_cells{n}")(pooled))
    return classifier(layers.Concatenate(name="head_pyramid")(cells), classes, activation)


def multi_task(x, tasks, activation):
    """Returns {task: predictions} of several classifiers on the same pooled features.

    Args:
        x: feature map (batch, height, width, channels).
        tasks: {task: number of classes}.
        activation: activation after the logits; None for logits.
    """
    x = pool(x, "avg")
    return {
        task: classifier(
            x, classes, activation, logits=f"head_logits_{task}", predictions=f"predictions_{task}"
        )
        for task, classes in tasks.items()
    }


__getattr__ = attribute_finder(__name__)
