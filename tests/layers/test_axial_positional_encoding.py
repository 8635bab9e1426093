"""Axial positional encodings: sums and concatenations of vectors, in NumPy, and from any start."""

import numpy as np
import pytest
from attention_inputs import K, array, check_file

from kapps.layers import AxialPositionalEncoding

X = np.random.default_rng(0).normal(size=(2, 11, K)).astype("float32")


@pytest.mark.parametrize("widths", [None, (1, 2, 5)])
def test_vectors_are_those_of_the_places(widths):
    layer = AxialPositionalEncoding((2, 3, 2), widths, scale=0.5, deviation=1.0)
    layer.build(X.shape)
    tables = [array(table) for table in layer.vectors]
    assert [len(table) for table in tables] == [2, 3, 2]
    for t in range(11):
        vectors = [
            table[i] for table, i in zip(tables, np.unravel_index(t, (2, 3, 2)), strict=True)
        ]
        v = sum(vectors) if widths is None else np.concatenate(vectors)
        np.testing.assert_allclose(array(layer(X))[:, t], X[:, t] / 2 + v, atol=1e-6)
        one = array(layer(X[:, t : t + 1], start=t))
        np.testing.assert_allclose(one[:, 0], X[:, t] / 2 + v, atol=1e-6)


def test_files(tmp_path):
    check_file(AxialPositionalEncoding((2, 3), (3, 5)), tmp_path / "model.keras")


@pytest.mark.parametrize(
    "arguments, shape, words",
    [
        (dict(lengths=(2, 0)), None, ["lengths", "(2, 0)"]),
        (dict(lengths=(2, 3), widths=(4,)), None, ["widths", "lengths"]),
        (dict(lengths=(2, 3)), (None, 7, K), ["7 steps", "6 positions"]),
        (dict(lengths=(2, 3), widths=(4, 5)), (None, 6, K), ["(4, 5)", "9", "8"]),
    ],
)
def test_errors_name_what_is_wrong(arguments, shape, words):
    with pytest.raises(ValueError) as error:
        AxialPositionalEncoding(**arguments).build(shape)
    assert all(word in str(error.value) for word in words)
