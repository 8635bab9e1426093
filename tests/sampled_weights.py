"""Weights that depend only on the names of a state dict, so that two programs sample the same ones."""

import math
import zlib

import numpy as np


def sampled_state(shapes):
    """Returns arrays for a state dict: {name: float32 array}.

    The moving variances are so small that a batch norm's epsilon changes the logits.

    Args:
        shapes: {name: shape} as PyTorch has them.
    """
    return {name: _sample(name, shape) for name, shape in shapes.items()}


def _sample(name, shape):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        values = rng.uniform(0.005, 0.02, shape)
    elif name.endswith(("running_mean", "bias")):
        values = rng.normal(0, 0.1, shape)
    elif math.prod(shape) == shape[0]:  # a batch norm's scale, or ConvNeXt's layer scale
        values = rng.uniform(0.05, 0.15, shape)
    else:
        fan_in = math.prod(shape[1:])
        values = rng.normal(0, math.sqrt(2 / fan_in), math.prod(shape)).reshape(shape)
    return values.astype("float32")


def sampled_images(size):
    """Returns two images of noise, float32 [2, size, size, 3]."""
    return np.random.default_rng(size).normal(size=(2, size, size, 3)).astype("float32")
