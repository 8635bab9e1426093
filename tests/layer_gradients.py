"""Gradients of a layer on every backend of Keras, from the change of weights in one step of SGD."""

import keras
import numpy as np

RATE = 2.0**-8
"""Learning rate: small, so that no constraint limits the weights."""


def gradients(layer, x, upstream):
    """Returns the gradients of sum(layer(x) * upstream): of x, and of each weight of the layer by its name.

    Each of the two comes from a step that changes nothing else: in a step that changes both, the gradient of
    TensorFlow's depthwise kernels is sometimes computed from the changed x.

    Args:
        layer: a built or unbuilt layer.
        x: array (batch, ...).
        upstream: array of the layer's output.
    """
    # The input is a weight of the layer before.
    image = keras.layers.Dense(x[0].size, use_bias=False, name="image")
    model = keras.Sequential(
        [keras.Input((len(x),)), image, keras.layers.Reshape(x.shape[1:]), layer]
    )
    image.set_weights([x.reshape(len(x), -1)])
    before = {v.name: keras.ops.convert_to_numpy(v) * 1 for v in layer.trainable_variables}
    layer.trainable = False
    _step(model, upstream)
    gradient = (x - image.get_weights()[0].reshape(x.shape)) / RATE
    if not before:
        return gradient, {}
    image.set_weights([x.reshape(len(x), -1)])
    layer.trainable, image.trainable = True, False
    _step(model, upstream)
    after = {v.name: keras.ops.convert_to_numpy(v) for v in layer.trainable_variables}
    return gradient, {name: (value - after[name]) / RATE for name, value in before.items()}


def _step(model, upstream):
    def loss(expected, output):
        return keras.ops.sum(expected * output)

    model.compile(keras.optimizers.SGD(RATE), loss, jit_compile=False)
    model.train_on_batch(np.eye(len(upstream), dtype="float32"), upstream)
