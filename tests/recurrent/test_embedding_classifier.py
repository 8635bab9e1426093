"""Text classification by word embeddings and dense layers."""

import keras
import numpy as np
import pytest
from small_networks import array

import kapps
from kapps import families


def test_all_words_share_one_embedding():
    model = families.embedding_classifier(
        vocabulary=9, embedding=3, input_shape=(2,), classifier_activation=None
    )
    vectors, kernel, bias = model.get_weights()
    expected = vectors[4] @ kernel[:3] + vectors[7] @ kernel[3:] + bias
    np.testing.assert_allclose(array(model(np.array([[4, 7]])))[0], expected, atol=1e-6)
    assert vectors.shape == (9, 3)


def test_one_class_has_a_sigmoid_and_two_a_softmax():
    one, two = (kapps.imdb_mean(classes=classes, vocabulary=9) for classes in (1, 2))
    assert one.get_layer("predictions").activation is keras.activations.sigmoid
    assert two.get_layer("predictions").activation is keras.activations.softmax


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(input_shape=(None,)), ['words="flatten"', "input_shape=(steps,)", 'words="mean"']),
        (dict(words="sum"), ["flatten", "mean", "'sum'"]),
    ],
)
def test_errors_name_what_is_allowed(options, words):
    with pytest.raises(ValueError) as error:
        families.embedding_classifier(**options)
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)
