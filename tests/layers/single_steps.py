"""A causal layer one step at a time against its call on the whole sequence."""

import keras
import numpy as np

from kapps import generation
from kapps.generation import step_models


def assert_single_steps_equal_the_whole(call, x, length=None):
    """Asserts that a step model's outputs are those of the whole sequence; returns its states, {name: shape}.

    Args:
        call: from a Keras tensor (batch, time, features) to the outputs of causal layers.
        x: float32 (batch, time, features).
        length: number of entries of the caches; None for as many as there are steps.
    """
    inputs = keras.Input((None, x.shape[-1]), name="x")
    model = keras.Model(inputs, call(inputs), name="net")
    randomise(model)
    expected = keras.ops.convert_to_numpy(model(x))
    step = generation.step_model(model, length=length)
    states = step_models.initial_states(step, len(x), length=length or x.shape[1])
    shapes = {name: value.shape[1:] for name, value in states.items()}
    outputs = []
    for t in range(x.shape[1]):
        inputs = {"x": x[:, t : t + 1], **states}
        inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
        result = step(inputs, training=False)
        states = {name: result[name] for name in states}
        outputs.append(keras.ops.convert_to_numpy(result["values"]))
    np.testing.assert_allclose(np.concatenate(outputs, axis=1), expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(expected) > 0.1
    return shapes


def randomise(model):
    """Sets the weights to random values, the scales of norms near 1."""
    random = np.random.default_rng(2)
    for variable in model.weights:
        center = 1.0 if variable.name == "gamma" else 0.0
        variable.assign(random.normal(center, 0.4, variable.shape))
    return model
