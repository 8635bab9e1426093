"""The label error rate: Levenshtein distances divided by the number of labels."""

import numpy as np
import pytest

import kapps
from kapps.training.metrics import edit_distance


@pytest.mark.parametrize(
    "a, b, distance", [("kitten", "sitting", 3), ("", "a", 1), ("sunday", "saturday", 3)]
)
def test_edit_distances(a, b, distance):
    assert edit_distance(a, b) == distance == edit_distance(b, a)


def test_all_distances_are_divided_by_all_labels():
    padded = np.array([[1, 2, 0], [3, 0, 0]])
    assert kapps.label_error_rate(padded, [[1, 2, 4, 5], [3]]) == 2 / 5
    assert kapps.label_error_rate([[1, 2, 3]], [[4]]) == 3
    with pytest.raises(ValueError, match=r"2 sequences.* 1"):
        kapps.label_error_rate([[1], [2]], [[1]])
    with pytest.raises(ValueError, match="no label"):
        kapps.label_error_rate([[1]], [[0]])
