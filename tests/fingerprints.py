"""Weights made of the names of tensors, and the logits that other programs computed with them, in float64.

The logits of a network without an installable second implementation were computed once with its authors' code. Each
tensor is sampled from its name there, so the same ones can be made here without that code.
"""

import contextlib
import math
import zlib

import keras
import numpy as np

from kapps.weights import from_torch, to_torch


def sampled_tensors(shapes, scales=None):
    """Returns the float64 tensors of a state dict, {name: array}.

    Args:
        shapes: {name: shape} as PyTorch has them.
        scales: {part of a name: factor of the tensors that have it}.
    """
    tensors = {name: _sample(name, shape, shapes) for name, shape in shapes.items()}
    for part, factor in (scales or {}).items():
        tensors |= {name: factor * array for name, array in tensors.items() if part in name}
    return tensors


def seeded(name):
    """Returns the random generator of a tensor."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def _sample(name, shape, shapes):
    rng = seeded(name)
    module, _, kind = name.rpartition(".")
    of_norm = f"{module}.running_mean" in shapes
    if kind == "running_mean":
        return 0.1 * rng.standard_normal(shape)
    if kind == "running_var":
        return rng.uniform(0.7, 1.4, shape)
    if of_norm and kind == "weight":
        return rng.uniform(0.6, 1.4, shape)
    if of_norm:
        return 0.2 * rng.standard_normal(shape)
    if len(shape) > 1:
        return rng.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
    return 0.1 * rng.standard_normal(shape)


def images(count, height, width, channels=3):
    """Returns the images of the fingerprints, float64."""
    return np.random.default_rng(12345).standard_normal((count, height, width, channels))


@contextlib.contextmanager
def jax_float64():
    """JAX has float64 in this context; elsewhere it makes such arrays float32."""
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)


@contextlib.contextmanager
def float64():
    """Inputs, weights and layers are float64 in this context."""
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        with jax_float64() if keras.backend.backend() == "jax" else contextlib.nullcontext():
            yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def logits(build, names, images, classifier, classes, scales=None):
    """Returns a network's logits of images with sampled tensors, and the number of tensors.

    The classifier of a kapps network computes in float32 under any policy, so its product is computed here.

    Args:
        build: `build(include_top=False, pooling="avg", input_shape=...)` returns the model.
        names: name map of the tensors, as for `kapps.weights.from_torch`.
        images: float64 (images, height, width, channels).
        classifier: name of the dense layer, of a weight and a bias.
        classes: of the classifier.
        scales: as for `sampled_tensors`.
    """
    with float64():
        model = build(include_top=False, pooling="avg", input_shape=images.shape[1:])
        shapes = {name: array.shape for name, array in to_torch(model, names).items()}
        top = {
            f"{classifier}.weight": (classes, model.output_shape[-1]),
            f"{classifier}.bias": (classes,),
        }
        tensors = sampled_tensors(shapes | top, scales)
        from_torch(model, {name: tensors[name] for name in shapes}, names)
        features = keras.ops.convert_to_numpy(model(images, training=False))
    weight, bias = (tensors[name] for name in top)
    return features @ weight.T + bias, len(tensors)


def assert_fingerprint(output, first, last, norm, within=1e-7):
    """Asserts that an output has a fingerprint, relative to its largest value.

    Args:
        output: (images, classes), or (images, channels, height, width).
        first: the first values of the first image.
        last: the last value.
        norm: Euclidean norm of all values.
        within: largest relative difference.
    """
    scale = np.abs(output).max()
    np.testing.assert_allclose(output[0].ravel()[: len(first)], first, rtol=0, atol=within * scale)
    np.testing.assert_allclose(output.ravel()[-1], last, rtol=0, atol=within * scale)
    np.testing.assert_allclose(np.linalg.norm(output), norm, rtol=within)
