"""The most likely classes of scores."""

import numpy as np
import pytest

import kapps
from kapps.predictions import imagenet_classes


def test_imagenet_classes():
    classes = imagenet_classes()
    assert len({wordnet_id for wordnet_id, _ in classes}) == 1000
    assert classes[0] == ("n01440764", "tench") and classes[999] == ("n15075141", "toilet tissue")


def test_imagenet_scores():
    scores = np.zeros((2, 1000))
    scores[0, [281, 282]] = 0.9, 0.1
    scores[1, 999] = 1
    first, second = kapps.decode_predictions(scores, top=2)
    assert first == [("n02123045", "tabby", 0.9), ("n02123159", "tiger cat", 0.1)]
    assert second[0][:2] == ("n15075141", "toilet tissue") and len(second) == 2


def test_class_names():
    (row,) = kapps.decode_predictions([[0.1, -2.0, 4.0]], top=3, class_names=("a", "b", "c"))
    assert row == [(2, "c", 4.0), (0, "a", 0.1), (1, "b", -2.0)]


@pytest.mark.parametrize(
    "scores, options, words",
    [
        (np.zeros(1000), {}, "(1000,)"),
        (np.zeros((1, 10)), {}, "class_names"),
        (np.zeros((1, 2)), {"class_names": ["a"]}, "1 class_names"),
        (np.zeros((1, 1000)), {"top": 0}, "top=0"),
        (np.zeros((1, 2)), {"class_names": ["a", "b"], "top": 3}, "top=3"),
    ],
)
def test_errors(scores, options, words):
    with pytest.raises(ValueError) as caught:
        kapps.decode_predictions(scores, **options)
    assert words in str(caught.value) and "\n" not in str(caught.value)
