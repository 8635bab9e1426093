"""Layers that are called again: the same weights, and the outputs of nested calls, with masks and other inputs."""

import keras
import numpy as np
from keras import layers

from kapps.layers.shared_layers import call_again, model_of

TOKENS = np.array([[1, 2, 3, 4], [5, 6, 0, 0]])
OTHER = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")


def test_the_same_layers_are_called_on_their_own_output():
    """A layer of a dense layer, a residual sum, self-attention with a mask and attention to another input."""
    tokens, other = keras.Input((None,), dtype="int32"), keras.Input((None, 4))
    embed, project = layers.Embedding(7, 4, mask_zero=True), layers.Dense(4)
    dense, add = layers.Dense(4, "tanh"), layers.Add()
    self_attention, attention = (layers.MultiHeadAttention(2, 3) for _ in range(2))

    def apply(x, memory):
        y = add([x, dense(x)])
        return attention(self_attention(y, y), memory)

    memory = project(other)
    x = embed(tokens)
    y = apply(x, memory)
    first = model_of([tokens, other], y)
    twice = call_again(first, x, y)
    model = keras.Model([tokens, other], call_again(first, x, twice))

    x, memory = embed(TOKENS), project(OTHER)
    expected = apply(apply(apply(x, memory), memory), memory)
    np.testing.assert_allclose(model([TOKENS, OTHER]), expected, rtol=1e-5, atol=1e-5)
    used = (embed, project, dense, self_attention, attention)
    assert model.count_params() == sum(layer.count_params() for layer in used)
    changed = model([np.array([[1, 2, 3, 4], [5, 6, 6, 0]]), OTHER])
    assert np.abs(np.asarray(changed) - np.asarray(expected))[1, :2].max() > 1e-4
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_allclose(copy([TOKENS, OTHER]), expected, rtol=1e-5, atol=1e-5)


def test_intermediate_tensors_as_inputs():
    tokens = keras.Input((None,), dtype="int32")
    vectors = layers.Embedding(7, 4)(tokens)  # what a user passes as input_tensor
    x = layers.Dense(4, name="first")(vectors)
    y = layers.Dense(4, "tanh", name="again")(x)
    model = keras.Model(tokens, call_again(model_of([vectors], y), x, y))
    x, dense = keras.Model(tokens, x)(TOKENS), model.get_layer("again")
    np.testing.assert_allclose(model(TOKENS), dense(dense(x)), atol=1e-6)
