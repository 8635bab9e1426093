"""The heat maps of one image by all methods, with options for a page."""

import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np

from kapps.visualize import activation_maps, attributions

METHODS = (
    "gradient", "gradient x input", "SmoothGrad", "integrated", "guided", "deconvnet", "Grad-CAM", "Grad-CAM++",
    "occlusion",
)  # fmt: skip
"""Heat maps of the page."""
SAMPLES = 8
"""Copies of SmoothGrad, and nodes of integrated gradients."""
BATCH = 8
"""Large images that are processed at a time; eight times as many small ones."""
LARGE = 128
"""Smallest side of a large image."""


def heat_maps(
    model: keras.Model, image, methods: Sequence[str], label: int, seed: int = 0,
    report: Callable[[str], None] = str,
) -> tuple[dict[str, np.ndarray], dict[str, str]]:  # fmt: skip
    """Returns the heat maps of one image, and the reasons for the methods that are not defined for the network.

    Args:
        model: a `keras.Model` from images to classes.
        image: what the model takes, (1, height, width, channels).
        methods: of `METHODS`.
        label: index of the class.
        seed: of the noise.
        report: called with the name of each method.

    Returns:
        {method: float32 (height, width) of the image} and {method: reason}. Channels are added; the maps of feature
        maps and of squares are enlarged.
    """
    side, size = min(image.shape[1:3]), image.shape[1:3]
    options = {"classes": [label], "batch_size": BATCH if side > LARGE else 8 * BATCH}
    square = max(2, side // 5)
    stride = square if side > LARGE else max(1, (2 * square) // 3)
    occlude = {"square": square, "stride": stride, "fill": float(image.mean())}
    functions = {
        "SmoothGrad": functools.partial(attributions.smooth_grad, samples=SAMPLES, seed=seed),
        "integrated": _integrated,
        "guided": attributions.guided_backpropagation,
        "deconvnet": attributions.deconvnet,
        "Grad-CAM": activation_maps.grad_cam,
        "Grad-CAM++": functools.partial(activation_maps.grad_cam, variant="grad_cam++"),
        "occlusion": functools.partial(activation_maps.occlusion, **occlude),
    }
    maps, reasons, gradient = {}, {}, None
    for name in methods:
        report(name)
        try:
            if name in ("gradient", "gradient x input"):
                gradient = (
                    attributions.saliency(model, image, **options) if gradient is None else gradient
                )
                heat = gradient if name == "gradient" else gradient * image
            else:
                heat = functions[name](model, image, **options)
        except ValueError as error:  # not defined for this network
            reasons[name] = str(error)
            continue
        maps[name] = (
            heat[0].sum(axis=-1) if heat.ndim == 4 else activation_maps.enlarge(heat, size)[0]
        )
    return maps, reasons


def _integrated(model, images, **options):
    return attributions.integrated_gradients(model, images, nodes=SAMPLES, **options).attributions
