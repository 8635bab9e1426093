"""Layers that average and reverse the steps of sequences; test_recurrent_stack.py has those of pyramids."""

import keras
import numpy as np
import pytest

from kapps.layers import ReverseSequence, SegmentMean


def array(x):
    return keras.ops.convert_to_numpy(x)


def test_sequences_are_reversed_before_their_padding():
    reversed_tokens = ReverseSequence()(keras.ops.array([[3, 4, 1, 0], [1, 2, 3, 4], [0, 0, 0, 0]]))
    assert array(reversed_tokens).tolist() == [[1, 4, 3, 0], [4, 3, 2, 1], [0, 0, 0, 0]]


def test_segments_are_means_of_their_steps_without_padding():
    layer = SegmentMean(3)
    x = np.random.default_rng(0).normal(size=(2, 7, 2)).astype("float32")
    mask = np.arange(7) < np.array([[7], [4]])
    means = array(layer(x, mask=keras.ops.array(mask)))
    for row, steps in enumerate((7, 4)):
        for i in range(-(-steps // 3)):
            expected = x[row, 3 * i : min(3 * i + 3, steps)].mean(axis=0)
            np.testing.assert_allclose(means[row, i], expected, atol=1e-6)
    assert means.shape == (2, 3, 2) and not means[1, 2].any()
    assert array(layer.compute_mask(None, mask)).tolist() == [[True] * 3, [True, True, False]]


def test_an_error_names_the_size():
    with pytest.raises(ValueError, match=r"size.*0"):
        SegmentMean(0)
