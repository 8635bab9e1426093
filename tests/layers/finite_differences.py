"""Gradients of a model against central differences, on every backend of Keras."""

import keras
import numpy as np
from keras import ops

STEP, WITHIN = (1e-4, 1e-6) if keras.backend.backend() == "tensorflow" else (1e-2, 1e-2)
"""Half of the distance between two values of a weight, and the largest difference relative to the largest gradient.

Keras computes with TensorFlow in float64 where it is asked to; arrays of float64 become float32 on the other backends.
"""


def assert_gradients_equal_differences(model, inputs):
    """Asserts that the gradient of a loss for each weight is its central difference, in training.

    The gradient is the change of the weights in one step of SGD with a learning rate of 1. The loss is a sum of the
    outputs with random weights.

    Args:
        model: of float64, see `fingerprints.float64`.
        inputs: array, or list of arrays.
    """
    target = np.random.default_rng(0).normal(size=ops.shape(model(inputs)))
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(1.0), _product, run_eagerly=True, jit_compile=False)
    model.train_on_batch(inputs, target)
    after = [ops.convert_to_numpy(x) for x in model.trainable_variables]
    model.set_weights(before)
    gradients, differences = [], []
    for variable, changed in zip(model.trainable_variables, after, strict=True):
        value = ops.convert_to_numpy(variable)
        gradients.append((value - changed).ravel())
        for index in np.ndindex(value.shape):
            losses = []
            for sign in (1, -1):
                moved = value.copy()
                moved[index] += sign * STEP
                variable.assign(moved)
                outputs = ops.convert_to_numpy(model(inputs, training=True))
                losses.append((target * outputs).sum() / len(target))
            differences.append((losses[0] - losses[1]) / (2 * STEP))
        variable.assign(value)
    largest = np.abs(differences).max()
    assert largest > 0.1
    np.testing.assert_allclose(np.concatenate(gradients), differences, atol=WITHIN * largest)


def _product(weights, outputs):
    return ops.sum(weights * outputs, axis=tuple(range(1, len(outputs.shape))))
