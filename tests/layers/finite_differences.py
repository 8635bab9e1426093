"""Gradients of a model against central differences, on every backend of Keras."""

import keras
import numpy as np
from keras import ops


def _product(weights, outputs):
    """A loss whose gradient depends on each output."""
    return ops.sum(weights * outputs, axis=tuple(range(1, len(outputs.shape))))


def gradients_and_differences(model, inputs, training=True, step=1e-4):
    """Returns the gradient of a loss for all trainable weights, and its central differences: two vectors.

    The gradient is the change of the weights in one step of SGD with a learning rate of 1.

    Args:
        model: of float64, see `fingerprints.float64`.
        inputs: array, or list of arrays.
        training: whether the differences are those of a training step.
        step: half of the distance between two weights.
    """
    shape = ops.shape(model(inputs))
    target = np.random.default_rng(0).normal(size=shape)
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
                moved[index] += sign * step
                variable.assign(moved)
                outputs = ops.convert_to_numpy(model(inputs, training=training))
                losses.append((target * outputs).sum() / len(target))
            differences.append((losses[0] - losses[1]) / (2 * step))
        variable.assign(value)
    return np.concatenate(gradients), np.array(differences)
