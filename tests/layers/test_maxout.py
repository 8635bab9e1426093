"""Maxout: the maxima of neighbouring values."""

import numpy as np
import pytest
from attention_inputs import X, array, check_file

from kapps.layers import Maxout


def test_outputs_are_the_maxima_of_neighbours():
    np.testing.assert_array_equal(array(Maxout(2)(X)), np.maximum(X[..., 0::2], X[..., 1::2]))


def test_files(tmp_path):
    check_file(Maxout(4), tmp_path / "model.keras")


def test_an_error_names_both_numbers():
    with pytest.raises(ValueError, match=r"8 .*pool=3"):
        Maxout(3)(X)
