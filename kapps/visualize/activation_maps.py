"""Class activation maps: where in a layer's feature maps the evidence for a class is.

[1] Zhou 2015, arXiv:1512.04150     [2] Selvaraju 2016, arXiv:1610.02391     [3] Chattopadhay 2017, arXiv:1710.11063
"""

import keras
import numpy as np
from keras import ops

from kapps.layers.recomputation import vector_jacobian_product
from kapps.visualize import _layer_calls
from kapps.visualize._batches import BATCH, check_images, class_rows, in_batches
from kapps.visualize._scores import Scores
from kapps.visualize.attributions import guided_backpropagation, predicted, scores

VARIANTS = ("grad_cam", "grad_cam++")


def grad_cam(
    model: keras.Model, images, classes=None, *, layer: str | None = None, variant: str = "grad_cam",
    relu: bool = True, batch_size: int = BATCH,
) -> np.ndarray:  # fmt: skip
    """Returns Grad-CAM [2] or Grad-CAM++ [3]: a layer's feature maps, weighted by their effect on the score.

    Args:
        model: a `keras.Model` from images to classes, also a nested or subclassed one.
        images: what the model takes: (batch, height, width, channels).
        classes: one index for all images, one for each, None for the class with the largest logit, or a function of
            the model's output that returns a score for each image.
        layer: name of a layer with an output (batch, height, width, channels), also in a nested model; None for the
            last one with more than one place.
        variant: "grad_cam" weighs a map by its mean gradient, "grad_cam++" its places by the share that they have in
            the score.
        relu: whether negative evidence is 0. A map without positive evidence is 0 then; pass False to see it.
        batch_size: number of images at a time.

    Returns:
        float32 (batch, height, width) of the layer. `enlarge` brings it to the size of the images.

    Raises:
        ValueError: for images, classes, a layer or a variant that do not fit.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant={variant!r}: pass one of {', '.join(VARIANTS)}")
    images = check_images(model, images)
    wrapped = Scores(model, images[:1], classes, images.size)
    path = _layer_calls.find_layer(model, images[:1], layer)
    shape = _layer_calls.output_shapes(model, images[:1])[path][1:]

    def heat(images, classes):
        maps, gradient = maps_and_gradient(wrapped, images, classes, path, shape)
        if variant == "grad_cam":
            weights = ops.mean(gradient, axis=(1, 2), keepdims=True)
        else:
            cubed = ops.sum(maps, axis=(1, 2), keepdims=True) * gradient**3
            alpha = gradient**2 / (2 * gradient**2 + cubed + 1e-7)
            weights = ops.sum(alpha * ops.relu(gradient), axis=(1, 2), keepdims=True)
        heat = ops.sum(weights * maps, axis=-1)
        return ops.relu(heat) if relu else heat

    compiled_heat = wrapped.compiled((variant, relu, path), heat)

    def batch(images, classes):
        return compiled_heat(images, wrapped.classes(images, classes))

    return in_batches(batch, batch_size, images, class_rows(classes, len(images)))


def maps_and_gradient(wrapped, images, classes, path, shape):
    """Returns the feature maps of a layer, and the gradient of the scores for them, as tensors.

    Args:
        wrapped: the `Scores`.
        images, classes: tensors.
        path, shape: of the layer; the shape of the maps of one image.
    """

    def score(change):  # JAX has no gradient for a value inside a function, but for a change of it
        values = {}

        def visit(call):
            outputs = call.proceed()
            if call.path != path:
                return outputs
            values["maps"] = ops.cast(outputs, "float32")
            return outputs + ops.cast(change, outputs.dtype)

        return wrapped.scores(wrapped.run(images, visit), classes), values["maps"]

    zero = ops.zeros((images.shape[0], *shape))
    (_, maps), (gradient,) = vector_jacobian_product(
        score, [zero], (ops.ones(images.shape[0]), zero)
    )
    return maps, gradient


def cam(model: keras.Model, images, classes=None, *, batch_size: int = BATCH) -> np.ndarray:
    """Returns the class activation map of a network that ends in global average pooling and a dense layer [1].

    The mean of the map, plus the bias, is the logit.

    Args:
        model, images, classes, batch_size: of `grad_cam`; classes are no function.

    Returns:
        float32 (batch, height, width) of the feature maps before the pooling, of both signs.

    Raises:
        ValueError: as `grad_cam`, and for a network that ends in other layers.
    """
    images = check_images(model, images)
    if callable(classes):
        raise ValueError(
            "classes is a function: the class activation map is one of a class; use grad_cam"
        )
    wrapped = Scores(model, images[:1])
    ends = []

    def visit(call):
        outputs = call.proceed()
        if isinstance(call.operation, (keras.layers.GlobalAveragePooling2D, keras.layers.Dense)):
            ends.append((call.operation, call.path))
        return outputs

    wrapped.run(images[:1], visit)
    kinds = [type(operation) for operation, _ in ends[-2:]]
    if kinds != [keras.layers.GlobalAveragePooling2D, keras.layers.Dense]:
        raise ValueError(
            f"{model.name} does not end in GlobalAveragePooling2D and Dense, whose weights make the map; use grad_cam"
        )
    (_, pooling), (dense, _) = ends[-2:]

    def batch(images, classes):
        classes, values = wrapped.classes(images, classes), {}

        def visit(call):
            if call.path == pooling:
                values["maps"] = ops.cast(call.args[0], "float32")
            return call.proceed()

        wrapped.run(images, visit)
        weights = ops.take(ops.transpose(dense.kernel), classes, axis=0)
        return ops.sum(values["maps"] * weights[:, None, None], axis=-1)

    return in_batches(batch, batch_size, images, class_rows(classes, len(images)))


def guided_grad_cam(
    model: keras.Model, images, classes=None, *, layer: str | None = None, batch_size: int = BATCH
) -> np.ndarray:
    """Returns guided backpropagation times the enlarged Grad-CAM [2], float32 (batch, height, width, channels).

    Arguments and errors are those of `grad_cam` and `guided_backpropagation`.
    """
    heat = grad_cam(model, images, classes, layer=layer, batch_size=batch_size)
    guided = guided_backpropagation(model, images, classes, batch_size=batch_size)
    return guided * enlarge(heat, guided.shape[1:3])[..., None]


def enlarge(maps, size) -> np.ndarray:
    """Returns maps (batch, height, width) in another size, by bilinear interpolation.

    Args:
        maps: (batch, height, width).
        size: height and width.
    """
    maps = np.asarray(maps, "float32")[..., None]
    resized = ops.image.resize(
        maps, tuple(size), interpolation="bilinear", data_format="channels_last"
    )
    return ops.convert_to_numpy(resized)[..., 0]


def occlusion(
    model: keras.Model, images, classes=None, *, square: int = 8, stride: int = 4, fill: float = 0.0,
    batch_size: int = BATCH,
) -> np.ndarray:  # fmt: skip
    """Returns how much the score falls when a square covers a place (Zeiler 2013, arXiv:1311.2901).

    Args:
        model, images, classes, batch_size: of `grad_cam`. The predicted class is that of the whole image.
        square: height and width of the square, in pixels.
        stride: distance between squares, in pixels.
        fill: number of the square's pixels.

    Returns:
        float32 (batch, rows, columns): the score of the image less that of the image with the square. Its first place
        is the square at the top left; the last squares end at or before the border.

    Raises:
        ValueError: as `grad_cam`, and for a square that is larger than the image.
    """
    images = check_images(model, images)
    height, width = images.shape[1:3]
    if not 0 < square <= min(height, width) or stride < 1:
        raise ValueError(
            f"square={square}, stride={stride}: pass 1 <= square <= {min(height, width)} and stride >= 1"
        )
    classes = predicted(model, images, classes, batch_size)
    tops, lefts = range(0, height - square + 1, stride), range(0, width - square + 1, stride)
    squares = [(top, left) for top in tops for left in lefts]
    whole = scores(model, images, classes, batch_size=batch_size)
    wrapped = Scores(model, images[:1], classes, images.size * len(squares))
    together, falls = max(1, batch_size // len(images)), []
    for start in range(0, len(squares), together):
        group = squares[start : start + together]
        covered = np.tile(images, (len(group), 1, 1, 1))
        for i, (top, left) in enumerate(group):
            rows = slice(i * len(images), (i + 1) * len(images))
            covered[rows, top : top + square, left : left + square] = fill
        labels = None if wrapped.function else np.tile(classes, len(group))
        result = in_batches(wrapped.of, batch_size, covered, labels)
        falls.append(whole - result.reshape(-1, len(images)))
    return np.concatenate(falls).T.reshape(len(images), len(tops), len(lefts))
