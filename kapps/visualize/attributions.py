"""Attributions: how the score of a class depends on each number of an image.

Each function returns float32 (batch, height, width, channels), and draws nothing. The score is the logit of a class;
`classes` is one index for all images, one for each image, None for the class with the largest logit, or a function of
the model's output that returns a score for each image, (batch,).

[1] Simonyan 2013, arXiv:1312.6034          [2] Smilkov 2017, arXiv:1706.03825
[3] Sundararajan 2017, arXiv:1703.01365     [4] Springenberg 2014, arXiv:1412.6806
[5] Zeiler 2013, arXiv:1311.2901
"""

import dataclasses
import functools
import itertools

import keras
import numpy as np
from keras import ops

from kapps.layers.recomputation import vector_jacobian_product
from kapps.visualize import _layer_calls
from kapps.visualize._batches import BATCH, check_images, class_rows, in_batches
from kapps.visualize._compiled import compiled_if_large
from kapps.visualize._gating import Gates
from kapps.visualize._scores import Scores


def saliency(model: keras.Model, images, classes=None, *, batch_size: int = BATCH) -> np.ndarray:
    """Returns the gradient of the score for the image [1]. The paper's map is the largest absolute value of a place.

    Args:
        model: a `keras.Model` from images to classes, also a nested or subclassed one.
        images: what the model takes: (batch, height, width, channels).
        classes: see the module.
        batch_size: number of images at a time.

    Returns:
        float32 (batch, height, width, channels).

    Raises:
        ValueError: for images, classes or a model that do not fit.
    """
    return _attribute("gradient", _gradient, model, images, classes, batch_size)


def gradient_times_input(
    model: keras.Model, images, classes=None, *, batch_size: int = BATCH
) -> np.ndarray:
    """Returns the gradient times the image. In a network of ReLU without biases the sum is the score.

    Arguments, result and errors are those of `saliency`.
    """
    images = check_images(model, images)
    return images * saliency(model, images, classes, batch_size=batch_size)


def smooth_grad(
    model: keras.Model, images, classes=None, *, samples: int = 50, noise: float = 0.15, seed: int = 0,
    batch_size: int = BATCH,
) -> np.ndarray:  # fmt: skip
    """Returns the mean gradient over noisy copies of each image [2].

    Args:
        model, images, classes, batch_size: of `saliency`. The predicted class is that of the image without noise.
        samples: number of copies.
        noise: standard deviation of the noise, as a fraction of the image's largest less its smallest number.
        seed: of the noise.

    Returns:
        float32 (batch, height, width, channels).

    Raises:
        ValueError: as `saliency`, and for fewer than one sample.
    """
    if samples < 1 or noise < 0:
        raise ValueError(f"samples={samples}, noise={noise}: pass samples >= 1 and noise >= 0")
    images, random = check_images(model, images), np.random.default_rng(seed)
    spread = noise * (images.max(axis=(1, 2, 3)) - images.min(axis=(1, 2, 3)))[:, None, None, None]
    noisy = (
        images + spread * random.standard_normal(images.shape, dtype="float32")
        for _ in range(samples)
    )
    return _mean_gradient(model, images, classes, noisy, np.full(samples, 1 / samples), batch_size)


@dataclasses.dataclass(frozen=True)
class IntegratedGradients:
    """Integrated gradients.

    Args:
        attributions: float32 (batch, height, width, channels).
        completeness_error: float32 (batch,): the sum of the attributions less the difference of the scores of image
            and baseline. It is 0 for an exact integral.
    """

    attributions: np.ndarray
    completeness_error: np.ndarray


def integrated_gradients(
    model: keras.Model, images, classes=None, *, baseline=0.0, nodes: int = 50, batch_size: int = BATCH
) -> IntegratedGradients:  # fmt: skip
    """Returns the integral of the gradient from a baseline to the image, times their difference [3].

    Args:
        model, images, classes, batch_size: of `saliency`.
        baseline: an image without evidence: a number, or an array that broadcasts to the images.
        nodes: number of points of the Gauss-Legendre rule.

    Returns:
        The attributions and the completeness error.

    Raises:
        ValueError: as `saliency`, and for fewer than one node.
    """
    if nodes < 1:
        raise ValueError(f"nodes={nodes}: pass a number of 1 or more")
    images = check_images(model, images)
    classes = predicted(model, images, classes, batch_size)
    start = np.broadcast_to(np.asarray(baseline, "float32"), images.shape)
    positions, weights = np.polynomial.legendre.leggauss(nodes)
    between = (
        (start + position * (images - start)).astype("float32") for position in (positions + 1) / 2
    )
    gradient = _mean_gradient(model, images, classes, between, weights / 2, batch_size)
    attributions = (images - start) * gradient
    ends = [scores(model, array, classes, batch_size=batch_size) for array in (images, start)]
    error = attributions.sum(axis=(1, 2, 3), dtype="float64") - (ends[0] - ends[1])
    return IntegratedGradients(attributions, error.astype("float32"))


def guided_backpropagation(
    model: keras.Model, images, classes=None, *, batch_size: int = BATCH
) -> np.ndarray:
    """Returns the gradient by which each open ReLU passes only positive values [4].

    The result resembles the image also where the weights are random (see `randomised`).

    Arguments and result are those of `saliency`.

    Raises:
        ValueError: as `saliency`, and for a model without ReLU or with another activation in its place.
    """
    method = "guided backpropagation"
    return _attribute(method, functools.partial(_gated, method), model, images, classes, batch_size)


def deconvnet(
    model: keras.Model, images, classes=None, *, layer: str | None = None, unit: int | None = None,
    batch_size: int = BATCH,
) -> np.ndarray:  # fmt: skip
    """Returns the projection of a score, or of a unit's largest value, back to the image by a deconvnet [5].

    It is the gradient in which each ReLU applies ReLU to the gradient in place of its gate; the gradient of max pooling
    is the paper's unpooling with switches. The last step is a convolution, so that the result has both signs.

    Args:
        model, images, classes, batch_size: of `saliency`.
        layer: name of a layer with feature maps, from whose largest value the projection starts.
        unit: channel of that layer.

    Returns:
        float32 (batch, height, width, channels).

    Raises:
        ValueError: as `guided_backpropagation`; for a layer without a unit, and a unit that the layer does not have.
    """
    if (layer is None) != (unit is None):
        raise ValueError(f"layer={layer!r}, unit={unit!r}: pass both, or none for the classes")
    if layer is None:
        method = "deconvnet"
        return _attribute(
            method, functools.partial(_gated, method), model, images, classes, batch_size
        )
    images = check_images(model, images)
    path = _layer_calls.find_layer(model, images[:1], layer)
    channels = _layer_calls.output_shapes(model, images[:1])[path][-1]
    if not 0 <= unit < channels:
        raise ValueError(f"unit={unit}: {path} has the units 0 to {channels - 1}")
    key, gradient = ("unit", path, unit), functools.partial(_unit_gradient, model, path, unit)
    gradient = compiled_if_large(model, key, gradient, images.size)
    return in_batches(lambda rows: gradient(ops.convert_to_tensor(rows)), batch_size, images)


def scores(model: keras.Model, images, classes=None, *, batch_size: int = BATCH) -> np.ndarray:
    """Returns the scores whose gradients the attributions are, float32 (batch,). Arguments of `saliency`."""
    images = check_images(model, images)
    wrapped = Scores(model, images[:1], classes, images.size)

    def batch(images, classes):
        return wrapped.of(images, wrapped.classes(images, classes))

    return in_batches(batch, batch_size, images, class_rows(classes, len(images)))


def predicted(model, images, classes, batch_size=BATCH):
    """Returns the class of each image as an array, or the function of the output that was passed."""
    wrapped = Scores(model, images[:1], classes, images.size)
    if wrapped.function:
        return classes
    rows = class_rows(classes, len(images))
    return in_batches(wrapped.classes, batch_size, images, rows).astype("int64")


def _attribute(name, gradient, model, images, classes, batch_size):
    """Returns an attribution of a name, by a function of the scores, images and classes."""
    images = check_images(model, images)
    wrapped = Scores(model, images[:1], classes, images.size)
    gradient = wrapped.compiled((name,), functools.partial(gradient, wrapped))

    def batch(images, classes):
        return gradient(images, wrapped.classes(images, classes))

    return in_batches(batch, batch_size, images, class_rows(classes, len(images)))


def _mean_gradient(model, images, classes, variants, weights, batch_size):
    """Returns the weighted sum of the gradients of variants of the images; small images are processed together."""
    wrapped, count = Scores(model, images[:1], classes, images.size * len(weights)), len(images)
    rows = class_rows(predicted(model, images, classes, batch_size), count)
    gradient = wrapped.compiled(("gradient",), functools.partial(_gradient, wrapped))
    total = np.zeros_like(images)
    together = max(1, batch_size // count)
    pairs = zip(variants, weights, strict=True)
    while group := list(itertools.islice(pairs, together)):
        stacked = np.concatenate([array for array, _ in group])
        labels = None if rows is None else np.tile(rows, len(group))
        result = in_batches(gradient, batch_size, stacked, labels).reshape(-1, *images.shape)
        total += np.tensordot(np.float32([weight for _, weight in group]), result, axes=1)
    return total


def _gradient(wrapped, images, classes, visit=_layer_calls.Call.proceed):
    def score(x):
        return wrapped.scores(wrapped.run(x, visit), classes)

    _, (gradient,) = vector_jacobian_product(score, [images], ops.ones(images.shape[0]))
    return gradient


def _gated(method, wrapped, images, classes):
    gates = Gates(wrapped.model, method)
    gradient = _gradient(wrapped, images, classes, gates.visit)
    gates.check_count()
    return gradient


def _unit_gradient(model, path, unit, images):
    gates = Gates(model, "deconvnet")

    def largest(x):
        values = {}

        def visit(call):
            outputs = gates.visit(call)
            if call.path == path:
                values[path] = outputs
            return outputs

        _layer_calls.run(model, x, visit)
        return ops.max(ops.cast(values[path][..., unit], "float32"), axis=(1, 2))

    value, (gradient,) = vector_jacobian_product(largest, [images], ops.ones(images.shape[0]))
    gates.check_count()
    return gradient * value[:, None, None, None]
