"""Recurrent language models: the papers' sizes, stateful batches, normalised weights, and their step models."""

import keras
import numpy as np
import pytest

import kapps
from kapps import families
from kapps.generation import step_models

values = keras.ops.convert_to_numpy

TOKENS = np.array([[3, 4, 5, 6, 2, 3, 9, 9], [7, 8, 2, 5, 5, 0, 0, 0]])


def parameters(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def test_sizes_are_the_papers():
    """Zaremba 2014 has 2 x 200, 2 x 650 and 2 x 1500 units on 10,000 words; char-rnn prints 240,321 for 65 symbols."""
    small = kapps.zaremba_small()
    assert parameters(small) == 10_000 * 200 + 2 * 4 * (200 + 200 + 1) * 200 + 201 * 10_000
    karpathy = kapps.char_rnn()
    # Torch's layers have a bias for the input and one for the state, 4 x 128 more in each of the two.
    assert parameters(karpathy) == 240_321 - 2 * 4 * 128
    d2l = kapps.d2l_gru()
    assert parameters(d2l) == 3 * (28 * 256 + 256 * 256 + 2 * 256) + 257 * 28


def test_sentiment_neuron_has_the_released_shapes():
    """encoder.py of the released code at nembd=64, nhidden=4096, nvocab=256; built smaller, term by term."""
    e, n, v = 8, 32, 256
    model = families.rnn_lm(
        units=(n,), embedding=e, cell="multiplicative", weight_norm=True, vocabulary=v
    )
    embedding, wx, wh, wmx, wmh = v * e, e * 4 * n, n * 4 * n, e * n, n * n
    gx, gh, gmx, gmh, b = 4 * n, 4 * n, n, n, 4 * n
    out = n * v + v
    assert parameters(model) == embedding + wx + wh + wmx + wmh + gx + gh + gmx + gmh + b + out
    released = (
        256 * 64 + 64 * 16384 + 4096 * 16384 + 64 * 4096 + 4096 * 4096
        + 2 * 16384 + 2 * 4096 + 16384 + 4096 * 256 + 256
    )  # fmt: skip
    assert kapps.sentiment_neuron.builder.card.params == released == 86_319_360


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_weight_normalisation_by_the_released_equations():
    """mlstm of encoder.py, step by step; its gates stand in the order i, f, o, u and Keras's in i, f, c, o."""
    units, features = 5, 3
    cell = kapps.MultiplicativeLSTMCell(units, weight_norm=True)
    layer = keras.layers.RNN(cell, return_sequences=True)
    layer.build((None, None, features))
    random = np.random.default_rng(0)
    for variable in layer.weights:
        variable.assign(random.normal(0, 0.8, variable.shape))
    w = {variable.name: values(variable).astype("float64") for variable in layer.weights}

    def normalised(name, gain):
        return w[name] / np.sqrt((w[name] ** 2).sum(axis=0)) * w[gain]

    wx, wh = normalised("kernel", "gain"), normalised("recurrent_kernel", "recurrent_gain")
    wmx, wmh = (
        normalised("kernel_m", "gain_m"),
        normalised("recurrent_kernel_m", "recurrent_gain_m"),
    )
    x = random.normal(size=(2, 4, features)).astype("float32")
    h = c = np.zeros((2, units))
    expected = []
    for t in range(4):
        m = (x[:, t] @ wmx) * (h @ wmh)
        i, f, u, o = np.split(x[:, t] @ wx + m @ wh + w["bias"], 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(u)
        h = sigmoid(o) * np.tanh(c)
        expected.append(h)
    np.testing.assert_allclose(values(layer(x)), np.stack(expected, 1), rtol=1e-5, atol=1e-5)
    assert cell.normalised is None, "the layer keeps nothing after the call"
    # A column's length is its gain: scaling weights changes nothing, scaling gains does.
    before = values(layer(x))
    cell.recurrent_kernel.assign(3 * cell.recurrent_kernel)
    np.testing.assert_allclose(values(layer(x)), before, rtol=1e-5, atol=1e-5)
    cell.recurrent_gain.assign(3 * cell.recurrent_gain)
    assert np.abs(values(layer(x)) - before).max() > 0.01


@pytest.mark.long
def test_sentiment_neuron_learns_when_small():
    model = families.rnn_lm(
        units=(16,), embedding=4, cell="multiplicative", weight_norm=True, vocabulary=12
    )
    loss = keras.losses.SparseCategoricalCrossentropy()
    model.compile(keras.optimizers.Adam(0.05), loss)
    first = model.train_on_batch(TOKENS[:, :-1], TOKENS[:, 1:])
    for _ in range(40):
        last = model.train_on_batch(TOKENS[:, :-1], TOKENS[:, 1:])
    assert float(last) < 0.5 * float(first)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_stateful_batches_equal_one_long_run(cell):
    long = TOKENS[:1].repeat(2, 0) % 7 + 2
    whole = families.rnn_lm(units=(6, 5), cell=cell, vocabulary=11)
    tokens = keras.Input(batch_shape=(2, 4), dtype="int32", name="tokens")
    parts = families.rnn_lm(
        units=(6, 5), cell=cell, vocabulary=11, stateful=True, input_tensor=tokens
    )
    for variable, value in zip(parts.trainable_variables, whole.trainable_variables, strict=True):
        variable.assign(value)
    expected = values(whole(long))
    for _ in range(2):
        result = [values(parts(long[:, :4])), values(parts(long[:, 4:]))]
        np.testing.assert_allclose(np.concatenate(result, 1), expected, rtol=1e-5, atol=1e-5)
        for layer in parts.layers:
            if isinstance(layer, keras.layers.RNN):
                layer.reset_state()


def test_padding_changes_nothing():
    model = families.rnn_lm(units=(6,), embedding=4, vocabulary=11)
    np.testing.assert_allclose(
        values(model(TOKENS))[1, :5], values(model(TOKENS[1:, :5]))[0], atol=1e-6
    )


def test_dropout_is_not_recurrent():
    """Before each layer and the head, by layers of their own; no cell has any [1]."""
    model = families.rnn_lm(units=(6, 6), embedding=4, vocabulary=11, dropout=0.4)
    dropped = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert dropped == ["embedding_dropout", "layer1_dropout", "layer2_dropout"]
    cells = [layer.cell for layer in model.layers if isinstance(layer, keras.layers.RNN)]
    assert all(cell.dropout == cell.recurrent_dropout == 0 for cell in cells)


class TestStep:
    @pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "multiplicative", "gru_old"])
    def test_steps_equal_the_run(self, cell):
        model = families.rnn_lm(units=(6, 5), embedding=4, cell=cell, vocabulary=11)
        one = step_models.step_model(model)
        states, expected = step_models.initial_states(one, 2), values(model(TOKENS))
        for t in range(TOKENS.shape[1]):
            result = one.predict_on_batch({"tokens": TOKENS[:, t : t + 1], **states})
            is_token = TOKENS[:, t] > 0
            probabilities = values(keras.ops.softmax(result["logits"]))[:, 0]
            np.testing.assert_allclose(probabilities[is_token], expected[is_token, t], atol=1e-6)
            for name in states:
                unchanged = np.array_equal(result[name][1], states[name][1])
                assert unchanged == (not is_token[1]), "padding leaves a state as it is"
            states = {name: result[name] for name in states}

    def test_weights_are_the_same(self):
        model = families.rnn_lm(units=(6,), vocabulary=11)
        one = step_models.step_model(model, batch=1)
        assert {id(variable) for variable in one.variables} == {id(v) for v in model.variables}
        assert one.input["layer1_h"].shape == (1, 6) and one.output["logits"].shape == (1, 1, 11)

    def test_saved_and_loaded(self, tmp_path):
        one = step_models.step_model(families.rnn_lm(units=(6,), vocabulary=11))
        one.save(tmp_path / "step.keras")
        loaded = keras.models.load_model(tmp_path / "step.keras")
        inputs = {"tokens": np.array([[4]]), **step_models.initial_states(one, 1)}
        for name, value in one.predict_on_batch(inputs).items():
            np.testing.assert_allclose(loaded.predict_on_batch(inputs)[name], value, atol=1e-6)

    def test_layers_without_a_step_are_named(self):
        x = keras.Input((None, 3))
        both = keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True), name="both")
        last = keras.layers.LSTM(4, name="last")
        pooled = keras.layers.GlobalAveragePooling1D(name="pooled")
        for layer in (both, last, pooled):
            with pytest.raises(ValueError, match=f"{layer.name} .* has no step"):
                step_models.step_model(keras.Model(x, layer(x)))
        states = kapps.LearnedState([4])(x)
        learned = keras.layers.GRU(4, return_sequences=True, name="learned")
        with pytest.raises(ValueError, match="learned"):
            step_models.step_model(keras.Model(x, learned(x, initial_state=states)))
