"""The structured self-attentive embedding: its parameters, padding, weights, files and penalty."""

import keras
import numpy as np
import pytest

import kapps

RANDOM = np.random.default_rng(0)
TOKENS = RANDOM.integers(1, 9, (4, 6)).astype("int32")


def build(**options):
    keras.utils.set_random_seed(0)
    sizes = dict(vocabulary=9, embedding=4, units=3, attention_units=5, hops=2, hidden=7, classes=3)
    return kapps.families.self_attentive_embedding(**{**sizes, **options})


def test_parameters_are_those_of_the_second_implementation():
    """55,203,305 and 4,542,805 without the embedding; a second bias of each LSTM has 4 u of them per direction."""
    embedding, second_bias = 10_000 * 100, 2 * 4 * 300
    yelp = kapps.card("self_attentive_yelp").params
    assert yelp == 55_203_305 - second_bias + embedding
    # the hidden layer has 2,000 in place of 3,000 units
    assert kapps.card("self_attentive_age").params == yelp - 1000 * (30 * 600 + 1) - 1000 * 5
    small = kapps.card("self_attentive_small").params
    assert small == 4_542_805 - 2 * second_bias + 10_000 * 300


def test_padding_changes_nothing():
    model = build()
    padded = np.pad(TOKENS, ((0, 0), (0, 3)))
    np.testing.assert_allclose(model.predict(padded), model.predict(TOKENS), rtol=1e-5, atol=1e-5)
    (weights,) = kapps.attention_weights(model, padded).values()
    assert weights.shape == (4, 2, 9)
    np.testing.assert_allclose(weights[..., :6].sum(axis=-1), 1, rtol=1e-5, atol=1e-5)


@pytest.mark.long
@pytest.mark.tensorflow
def test_files_agree_with_the_model(tmp_path):
    from kapps import export

    model = build()
    path = export.tflite(model, tmp_path / "model.tflite", length=6)
    assert export.verify(model, path, TOKENS).failure() is None


def overlap(model, tokens):
    """The mean of the products of different rows of weights."""
    (a,) = kapps.attention_weights(model, tokens).values()
    products = a @ a.transpose(0, 2, 1)
    hops = a.shape[1]
    return products[:, ~np.eye(hops, dtype=bool)].mean()


@pytest.mark.long
def test_the_penalty_makes_the_rows_attend_to_different_words():
    """The class is the sum of two kinds of words, anywhere in the text."""
    tokens = RANDOM.integers(1, 9, (200, 6)).astype("int32")
    classes = (tokens == 1).any(axis=1) + (tokens == 2).any(axis=1)
    overlaps = []
    for penalty in (0.0, 1.0):
        model = build(penalty=penalty, units=8, dropout=0.0)
        model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
        model.fit(tokens, classes, batch_size=50, epochs=30, verbose=0)
        overlaps.append(overlap(model, tokens))
    assert overlaps[1] < 0.8 * overlaps[0]
