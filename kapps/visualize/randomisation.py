"""The check by random weights: a heat map that explains a network must change when its weights are random.

Adebayo 2018, arXiv:1810.03292, section 3: the cascade from the output downwards.
"""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from kapps._keras_compat import all_layers
from kapps.visualize import _layer_calls
from kapps.visualize._batches import check_images


def randomised(
    method, model: keras.Model, images, *, layers: int | None = None, seed: int = 0
) -> dict[str, np.ndarray]:
    """Returns how much heat maps keep their order when more and more layers have new random weights.

    Layers with weights get new ones in the order from the output to the input, one after the other; the moving means
    and variances of batch normalisation are reset too. The model has its own weights afterwards.

    Args:
        method: function of the model and the images that returns maps (batch, ...), such as `saliency`, with the
            classes fixed by `functools.partial`.
        model: a `keras.Model`, also a nested one.
        images: what the model takes.
        layers: number of steps of the cascade, of equal numbers of layers; None for one step for each layer.
        seed: of the new weights. Keras's global random seed is set too.

    Returns:
        {path of the lowest layer with new weights: Spearman's correlation of the absolute values of each image's map
        with its map before, float32 (batch,)}. A map that does not depend on the weights has 1.

    Raises:
        ValueError: for a model without weights.
    """
    images = check_images(model, images)
    before, result = np.asarray(method(model, images)), {}
    with contextlib.closing(cascade(model, images[:1], layers, seed)) as steps:
        for path in steps:
            result[path] = rank_correlations(before, np.asarray(method(model, images)))
    return result


def cascade(model: keras.Model, example, layers: int | None = None, seed: int = 0) -> Iterator[str]:
    """Gives more and more layers new random weights, and yields the path of the lowest of them after each step.

    The model has its own weights again when the generator ends or is closed.

    Args:
        model, layers, seed: of `randomised`.
        example: an input with one example.

    Raises:
        ValueError: for a model without weights.
    """
    order = _layers_with_weights(model, example)
    if not order:
        raise ValueError(f"{model.name} has no weights to randomise")
    count = len(order) if layers is None else min(layers, len(order))
    saved = [(layer, layer.get_weights()) for _, layer in order]
    try:
        for group in np.array_split(np.arange(len(order)), count):
            for i in group:
                _randomise(order[i][1], seed + int(i))
            yield order[group[-1]][0]
    finally:
        for layer, weights in saved:
            layer.set_weights(weights)


def rank_correlations(first, second) -> np.ndarray:
    """Returns Spearman's correlation of the absolute values of two arrays (batch, ...), float32 (batch,).

    Equal values have the mean of their ranks. A map with one value everywhere has the correlation 0.
    """
    rows = [_ranks(np.abs(array).reshape(len(array), -1)) for array in (first, second)]
    a, b = (row - row.mean(axis=1, keepdims=True) for row in rows)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return ((a * b).sum(axis=1) / np.where(scale == 0, 1, scale)).astype("float32")


def _ranks(rows):
    ranks = np.empty(rows.shape)
    for i, row in enumerate(rows):
        _, inverse, counts = np.unique(row, return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        ranks[i] = (last - (counts - 1) / 2)[inverse.reshape(-1)]
    return ranks


def _layers_with_weights(model, example):
    """Returns (path, layer) of each layer that holds weights itself, in the order from the output to the input."""
    calls = []

    def visit(call):
        layer = call.operation
        is_whole = isinstance(layer, keras.layers.Layer) and (
            isinstance(layer, _layer_calls.LOOPS) or not all_layers(layer, include_self=False)
        )
        if is_whole and layer.weights:
            calls.append((call.path, layer))
        return call.proceed()

    _layer_calls.run(model, example, visit)
    first = {}
    for path, layer in calls:
        first.setdefault(id(layer), (path, layer))
    return list(first.values())[::-1]


def _randomise(layer, seed):
    """Gives a layer weights of its own initialisers."""
    keras.utils.set_random_seed(seed)
    fresh = type(layer).from_config(layer.get_config())
    fresh.build_from_config(layer.get_build_config())
    layer.set_weights(fresh.get_weights())
