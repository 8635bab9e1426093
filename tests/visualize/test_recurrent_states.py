"""States and gates of recurrent layers: the layer's own outputs, and the recurrence from the gates."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kapps.visualize import recurrent_states as module

TOKENS = np.random.default_rng(0).integers(1, 9, (3, 6))
TOKENS[1, 4:] = 0
KINDS = {
    "lstm": (layers.LSTM, {}),
    "gru": (layers.GRU, {}),
    "gru, reset before": (layers.GRU, {"reset_after": False}),
    "rnn": (layers.SimpleRNN, {}),
    "backwards": (layers.LSTM, {"go_backwards": True}),
}


def network(kind, options):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None,))
    x = layers.Embedding(9, 5, mask_zero=True)(inputs)
    x = kind(4, return_sequences=True, bias_initializer="random_normal", name="cells", **options)(x)
    return keras.Model(inputs, x), keras.Model(inputs, layers.Dense(2)(x))


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_the_layers_outputs(kind):
    sequences, model = network(*KINDS[kind])
    states = module.cell_states(model, TOKENS)
    expected = ops.convert_to_numpy(sequences(TOKENS))
    np.testing.assert_allclose(states["h"], expected, atol=1e-6)


def test_gates_give_the_recurrence():
    lstm = module.cell_states(network(*KINDS["lstm"])[1], TOKENS[::2])
    c = 0
    for t in range(6):
        c = lstm["forget"][:, t] * c + lstm["input"][:, t] * lstm["candidate"][:, t]
        np.testing.assert_allclose(lstm["c"][:, t], c, atol=1e-6)
        np.testing.assert_allclose(lstm["h"][:, t], lstm["output"][:, t] * np.tanh(c), atol=1e-6)
    states = module.cell_states(network(*KINDS["lstm"])[1], TOKENS[::2], gates=False)
    assert set(states) == {"h", "c"}
    np.testing.assert_array_equal(states["c"], lstm["c"])
    for kind in ("gru", "gru, reset before"):
        gru, h = module.cell_states(network(*KINDS[kind])[1], TOKENS[::2]), 0
        for t in range(6):
            h = gru["update"][:, t] * h + (1 - gru["update"][:, t]) * gru["candidate"][:, t]
            np.testing.assert_allclose(gru["h"][:, t], h, atol=1e-6)


def test_cells_that_follow_a_mark_and_similar_states():
    random = np.random.default_rng(0)
    states, mark = random.normal(size=(4, 20, 6)), random.integers(0, 2, (4, 20))
    states[..., 3] = 1 - 2 * mark
    states[..., 5] += mark
    cells = module.find_cells(states, mark, count=2)
    assert [cell for cell, _ in cells] == [3, 5] and cells[0][1] == pytest.approx(-1)
    expected = np.corrcoef(states[..., 5].ravel(), mark.ravel())[0, 1]
    assert cells[1][1] == pytest.approx(expected)
    states[2, 7] = 3 * states[1, 4]
    assert module.similar_states(states, 1, 4)[0] == pytest.approx((2, 7, 1.0))
    with pytest.raises(ValueError, match="batch, time"):
        module.find_cells(states, mark[:2])


def test_a_model_without_the_layer_is_an_error():
    model = network(*KINDS["gru"])[1]
    with pytest.raises(ValueError, match="cells"):
        module.cell_states(model, TOKENS, "other")
