"""Networks that score every pixel of an image: whether one is, and how far two of its class maps agree."""

import keras
import numpy as np

from kapps._keras_compat import producer
from kapps.export._inputs import IMAGE, model_input
from kapps.model_record import main_output

MAX_CLASSES = 256
"""The number of classes that fit into a class map of uint8."""


def gives_class_maps(network: keras.Model) -> bool:
    """Whether a network takes images, and its layer "predictions" scores the classes of every pixel.

    The scores have the size of the image, so that a map of features is not taken for them.

    Args:
        network: from `kapps.export.inference_model`.
    """
    inputs, names = model_input(network), list(network.output)
    scores = network.output[names[main_output(names)]]
    if inputs.name != IMAGE or len(scores.shape) != 4:
        return False
    operation = producer(scores)  # the model inside, or a layer
    if isinstance(operation, keras.Sequential):
        operation = operation.layers[-1]
    layers = getattr(operation, "output_names", None) or [operation.name]
    is_named = any(f"_{name}".endswith("_predictions") for name in layers)
    size = tuple(axis or 224 for axis in inputs.shape[:2])
    if None in inputs.shape:  # any size: the scores are those of one
        image = keras.KerasTensor((1, *size, inputs.shape[-1]), "float32")
        scores = network.compute_output_spec(image)[names[main_output(names)]]
    same_size = tuple(scores.shape[1:3]) == size
    return is_named and same_size and 2 <= (scores.shape[-1] or 0) <= MAX_CLASSES


def miou_agreement(outputs: np.ndarray, expected: np.ndarray) -> float:
    """Returns the mean IoU of the class maps of two arrays of scores, over the classes in either of them, in [0, 1].

    A pixel whose scores have a NaN agrees with no other.

    Args:
        outputs, expected: [n, height, width, classes].
    """
    classes = expected.shape[-1]
    maps = [array.argmax(-1).reshape(-1) for array in (outputs, expected)]
    is_number = ~np.isnan(outputs).any(-1).reshape(-1) & ~np.isnan(expected).any(-1).reshape(-1)
    both = np.bincount(maps[1][(maps[0] == maps[1]) & is_number], minlength=classes)
    counts = [np.bincount(array, minlength=classes) for array in maps]
    either = counts[0] + counts[1] - both
    present = either > 0
    return float((both[present] / either[present]).mean()) if present.any() else 0.0
