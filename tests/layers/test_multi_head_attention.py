"""Multi-head attention next to Keras's own layer: chunks of queries, gradients, masks, precision, files."""

import keras
import numpy as np
import pytest
from attention_inputs import (
    MASK,
    H,
    K,
    P,
    X,
    array,
    check_file,
    check_half_precision,
    randomise,
)

from kapps.layers import MultiHeadAttention


def test_outputs_are_those_of_keras_with_and_without_chunks():
    ours, plain = MultiHeadAttention(H, P), keras.layers.MultiHeadAttention(H, P)
    chunks = MultiHeadAttention(H, P, chunk=4)
    layers = (ours, plain, chunks)
    for layer in layers:
        layer.build(X.shape, X.shape)
        randomise(layer)
    for options in ({}, {"use_causal_mask": True}, {"value_mask": MASK}):
        outputs = [array(layer(X, X, **options)) for layer in layers]
        assert np.abs(outputs[1]).max() > 0.5
        np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(outputs[2], outputs[0], rtol=1e-5, atol=1e-5)
        a = [array(layer(X, X, return_attention_scores=True, **options)[1]) for layer in layers]
        np.testing.assert_allclose(a[0], a[1], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(a[2], a[0], atol=1e-6)


def test_chunks_have_the_same_gradients():
    updated = []
    for chunk in (None, 4):
        x = keras.Input((None, K))
        layer = MultiHeadAttention(H, P, chunk=chunk)
        model = keras.Model(x, layer(x, x, use_causal_mask=True))
        randomise(layer)
        before = model.get_weights()
        model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=False)
        model.train_on_batch(X, np.ones_like(X))
        updated.append(model.get_weights())
    for one, other in zip(*updated, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    assert np.abs(updated[0][0] - before[0]).max() > 0.01


def test_the_inputs_keep_their_masks():
    x = keras.Input((None,), dtype="int32")
    y = memory = keras.layers.Embedding(9, K, mask_zero=True)(x)
    for _ in range(2):  # Keras's own layer removes the masks of its inputs
        y = keras.layers.Add()([y, MultiHeadAttention(H, P)(y, y)])
        y = keras.layers.Add()([y, MultiHeadAttention(H, P)(y, memory)])
    model = keras.Model(x, keras.layers.GlobalAveragePooling1D()(y))
    for layer in model.layers:
        randomise(layer)
    tokens = np.array([[3, 5, 7, 0, 0]])
    expected = array(model(tokens[:, :3]))
    np.testing.assert_allclose(array(model(tokens)), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.predict(tokens, verbose=0), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("chunk", [None, 4])
def test_half_precision_has_no_nan(chunk):
    layer = MultiHeadAttention(H, P, chunk=chunk, dtype="mixed_float16")
    check_half_precision(lambda x, mask: layer(x, x, value_mask=mask, return_attention_scores=True))


def test_files(tmp_path):
    check_file(MultiHeadAttention(H, P, chunk=4), tmp_path / "model.keras")


@pytest.mark.parametrize(
    "options, words",
    [(dict(chunk=0), ["chunk", "0"]), (dict(chunk=4, dropout=0.1), ["dropout", "0.1"])],
)
def test_errors_name_option_and_value(options, words):
    with pytest.raises(ValueError) as error:
        MultiHeadAttention(2, 4, **options)
    assert all(word in str(error.value) for word in words)
