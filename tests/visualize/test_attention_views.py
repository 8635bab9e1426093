"""Attention weights of each kind of layer, and the views of them: masks, nested models, rollout by loops."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import kapps.layers
from kapps.visualize import attention_views as views
from kapps.visualize.attention_weights import AttentionMap, attention_maps, attention_weights

TOKENS = np.random.default_rng(0).integers(1, 9, (3, 6))
TOKENS[1, 4:] = 0


def array(x):
    return ops.convert_to_numpy(x)


class Block(layers.Layer):
    """An attention layer inside another layer, called twice."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = layers.MultiHeadAttention(2, 4, name="attention")

    def call(self, x, mask=None):
        # Keras's layer removes the masks of its inputs.
        return self.attention(x, x) + self.attention(query=x, value=x, key_mask=mask)


def network(attend):
    """A network on tokens whose attention layer is in a nested model."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 8, mask_zero=True)(x)
    inner = keras.Input((6, 8))
    body = keras.Model(inner, attend(inner), name="body")
    return keras.Model(inputs, layers.Dense(2)(body(x)))


def test_weights_are_those_of_the_layer_also_in_nested_models():
    attention = layers.MultiHeadAttention(2, 4, name="attention")
    model = network(lambda x: attention(x, x, use_causal_mask=True))
    maps = attention_maps(model, TOKENS)
    assert list(maps) == ["body/attention"]
    values = maps["body/attention"]
    assert values.weights.shape == (3, 2, 6, 6) and values.weights.dtype == np.float32
    x = model.layers[1](TOKENS)
    mask = (TOKENS != 0)[:, None]
    _, expected = attention(
        x, x, use_causal_mask=True, attention_mask=mask, return_attention_scores=True
    )
    np.testing.assert_allclose(values.weights, array(expected), atol=1e-6)
    np.testing.assert_array_equal(values.query_mask, TOKENS != 0)
    np.testing.assert_array_equal(values.key_mask, TOKENS != 0)
    view = views.head_view(maps, "body/attention", 1)
    assert view.shape == (2, 4, 4)
    np.testing.assert_allclose(view.sum(axis=-1), 1, atol=1e-6)


def test_weights_of_layers_inside_layers():
    model = network(lambda x: Block(name="block")(x))
    weights = attention_weights(model, TOKENS)
    assert list(weights) == ["body/block/attention", "body/block/attention_call2"]
    first, second = weights.values()
    np.testing.assert_allclose(first[:, :, :4], second[:, :, :4], atol=1e-6)
    assert not first[1, :, :, 4:].any()


def test_flash_attention_is_off_in_the_call():
    attention = layers.MultiHeadAttention(2, 4, flash_attention=True)
    model = network(lambda x: attention(x, x))
    weights = attention_weights(model, TOKENS)
    np.testing.assert_allclose(next(iter(weights.values()))[0].sum(axis=-1), 1, atol=1e-6)
    assert attention._flash_attention


KINDS = {
    "self": lambda x: kapps.layers.SelfAttention(2, 4, output_dim=8)(x, use_causal_mask=True),
    "synthesizer": lambda x: kapps.layers.SynthesizerAttention(2, 4, 6)(x),
    "sparse": lambda x: kapps.layers.SparseAttention(2, 4, pattern="strided", stride=3)(x),
    "lsh": lambda x: kapps.layers.LSHAttention(2, 4, buckets=2, chunk=8)(x),
    "keras": lambda x: layers.Attention()([x, x]),
    "additive": lambda x: layers.AdditiveAttention()([x, x]),
    "grouped": lambda x: layers.GroupQueryAttention(4, 4, 2)(x, x),
}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_kind_of_layer_sum_to_one_and_masked_steps_have_no_weight(kind):
    model = network(KINDS[kind])
    (values,) = attention_maps(model, TOKENS).values()
    heads = {"keras": 1, "additive": 1, "grouped": 4}.get(kind, 2)
    assert values.weights.shape == (3, heads, 6, 6)
    np.testing.assert_allclose(values.weights[:, :, :4].sum(axis=-1), 1, atol=1e-5)
    assert not values.weights[1, :, :4, 4:].any()


def spans(x):
    attention = kapps.layers.AllAttention(2, 3, persistent=5, ramp=2, initial_span=0.7)
    inner = keras.Input((6, 8))
    scores = layers.Reshape((6, 2, 3))(layers.Dense(6)(inner))
    block = keras.Model(inner, attention([inner, layers.Dense(8)(inner), inner, scores]))
    return block(x)


def test_adaptive_spans_attend_to_the_steps_before_each_step_and_to_persistent_vectors():
    (values,) = attention_maps(network(spans), TOKENS).values()
    i, j = np.indices((6, 6))
    far = (j >= i) | (i - j > 3)
    assert values.weights.shape == (3, 2, 6, 6) and np.abs(values.weights[0][:, far]).max() < 1e-6
    assert (values.weights[0][:, ~far] > 0).all()
    assert (values.weights.sum(axis=-1) < 1).all()


def test_weights_of_pixels_give_the_output():
    """The outputs are the weights times the values."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3, 4, 12))
    attention = kapps.layers.RelativeAttention2D(2, 2, 2, 3, 4)
    model = keras.Model(inputs, attention(inputs))
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 12)).astype("float32")
    (weights,) = attention_weights(model, x).values()
    values = x[..., 8:].reshape(2, 12, 2, 2)
    expected = np.einsum("bhqk,bkhd->bqhd", weights, values).reshape(2, 3, 4, 4)
    np.testing.assert_allclose(array(model(x)), expected, atol=1e-5)
    q, k, v = (keras.Input((2, 3, 4)), keras.Input((3, 3, 4)), keras.Input((3, 3, 5)))
    model = keras.Model([q, k, v], kapps.layers.PixelAttention()([q, k, v]))
    arrays = [
        np.random.default_rng(i).normal(size=(1, 2 + (i > 0), 3, 4 + (i > 1))) for i in range(3)
    ]
    (weights,) = attention_weights(model, arrays).values()
    assert weights.shape == (1, 1, 6, 9)
    expected = (weights[0, 0] @ arrays[2].reshape(9, 5)).reshape(1, 2, 3, 5)
    np.testing.assert_allclose(array(model(arrays)), expected, atol=1e-5)


def test_weights_of_layers_on_maps_give_the_output():
    random = np.random.default_rng(0)
    shapes = [(2, 3, 5), (2, 3, 4), (2, 3, 4)]
    inputs = [keras.Input(shape) for shape in shapes]
    model = keras.Model(inputs, kapps.layers.DoubleAttention()(inputs))
    arrays = [random.normal(size=(2, *shape)).astype("float32") for shape in shapes]
    (weights,) = attention_weights(model, arrays).values()
    expected = weights[:, 0] @ arrays[0].reshape(2, 6, 5)
    np.testing.assert_allclose(array(model(arrays)).reshape(2, 6, 5), expected, atol=1e-5)

    inputs = keras.Input((2, 3, 5))
    model = keras.Model(inputs, kapps.layers.QuadraticAttention2D(3)(inputs))
    (weights,) = attention_weights(model, arrays[0]).values()
    expected = (weights @ arrays[0].reshape(2, 1, 6, 5)).transpose(0, 2, 1, 3).reshape(2, 6, 15)
    np.testing.assert_allclose(array(model(arrays[0])).reshape(2, 6, 15), expected, atol=1e-5)

    parts = keras.Input((4, 5))
    model = keras.Model([inputs, parts], kapps.layers.PartAttention()([inputs, parts]))
    channels = random.normal(size=(2, 4, 5)).astype("float32")
    (weights,) = attention_weights(model, [arrays[0], channels]).values()
    assert weights.shape == (2, 1, 4, 6)
    expected = weights[:, 0] @ arrays[0].reshape(2, 6, 5)
    np.testing.assert_allclose(array(model([arrays[0], channels])), expected, atol=1e-5)


def random_map(seed, heads=2, steps=5):
    weights = np.random.default_rng(seed).random((2, heads, steps, steps)).astype("float32")
    mask = np.arange(steps) < np.array([[steps], [3]])
    weights *= mask[:, None, None]
    return AttentionMap(weights / weights.sum(axis=-1, keepdims=True), mask, mask)


def test_views_have_no_padding():
    maps = {"a": random_map(0), "b": random_map(1), "c": random_map(2, heads=3)}
    assert views.model_view(maps, ["a", "b"]).shape == (2, 2, 5, 5)
    view = views.model_view(maps, ["a", "b"], 1)
    np.testing.assert_array_equal(view[1], maps["b"].weights[1, :, :3, :3])
    for call, words in (
        (lambda: views.model_view(maps), "3, 5, 5"),
        (lambda: views.model_view(maps, []), "none"),
        (lambda: views.head_view(maps, "aa"), "mean"),
        (lambda: views.head_view(maps, "a", 2), "example=2"),
        (lambda: views.attention_rollout(maps, residual=2), "residual=2"),
        (lambda: views.attention_rollout(maps, []), "self-attention"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_rollout_is_a_product_of_layers():
    maps = {"a": random_map(0), "b": random_map(1, heads=3)}
    result = views.attention_rollout(maps)
    product = np.eye(3)
    for values in maps.values():
        a = 0.5 * np.eye(3) + 0.5 * values.weights[1, :, :3, :3].mean(axis=0)
        product = a / a.sum(axis=1, keepdims=True) @ product
    np.testing.assert_allclose(result[1, :3, :3], product, atol=1e-6)
    np.testing.assert_allclose(result.sum(axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(result[1, 3:, 3:], np.eye(2), atol=1e-6)
    eye = np.broadcast_to(np.eye(4, dtype="float32"), (1, 2, 4, 4))
    identity = {"a": AttentionMap(eye, np.ones((1, 4), bool), np.ones((1, 4), bool))}
    np.testing.assert_allclose(views.attention_rollout(identity)[0], np.eye(4))
