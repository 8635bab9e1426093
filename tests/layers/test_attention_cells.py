"""Cells that attend to a memory, step by step, against the layer that runs them."""

import keras
import numpy as np
import pytest

from kapps.layers import Alignment, AttentionalCell, AttentionRNN, ContextFeedingCell, SearchCell

UNITS = 4
RANDOM = np.random.default_rng(0)


def array(x):
    return keras.ops.convert_to_numpy(x)


def test_one_step_at_a_time_is_the_layer():
    memory = RANDOM.normal(size=(2, 6, 5)).astype("float32")
    x = RANDOM.normal(size=(2, 4, 3)).astype("float32")
    mask = np.arange(6) < np.array([[4], [6]])
    for kind in (SearchCell, AttentionalCell, ContextFeedingCell):
        cells = [keras.layers.LSTMCell(UNITS), keras.layers.LSTMCell(UNITS)]
        cell = kind(cells, Alignment("additive", "local_m", width=1))
        layer = AttentionRNN(cell, return_sequences=True)
        whole, a = layer(x, memory, memory_mask=mask, return_attention_scores=True)
        states = [np.zeros((2, size), "float32") for size in cell.state_size]
        keys = cell.attention.keys(keras.ops.convert_to_tensor(memory))
        for t in range(4):
            memory_options = dict(memory=memory, keys=keys, memory_mask=mask)
            y, states, weights = cell(
                x[:, t], states, return_attention_scores=True, **memory_options
            )
            np.testing.assert_allclose(array(y), array(whole)[:, t], atol=1e-6)
            np.testing.assert_allclose(array(weights), array(a)[:, t], atol=1e-6)
        assert array(states[-1]).tolist() == [[0, 4], [0, 4]]  # the number of the next step


@pytest.mark.long
def test_a_monotonic_window_goes_on_beyond_256_words():
    cell = SearchCell([keras.layers.SimpleRNNCell(2)], Alignment("scaled", "local_m", width=1))
    layer = AttentionRNN(cell, return_sequences=True, dtype="bfloat16")
    memory = RANDOM.normal(size=(1, 300, 3)).astype("float32")
    _, a = layer(np.zeros((1, 300, 1), "float32"), memory, return_attention_scores=True)
    looks = [np.flatnonzero(row).tolist() for row in array(a)[0]]
    assert looks[0] == [0, 1] and looks[255:258] == [
        [254, 255, 256],
        [255, 256, 257],
        [256, 257, 258],
    ]
