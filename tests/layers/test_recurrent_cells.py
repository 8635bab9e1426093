"""Recurrent cells step by step in NumPy, and as Keras layers: masks, states, precision, files, LiteRT."""

import keras
import numpy as np
import pytest

import kapps

UNITS, FEATURES = 5, 3
CELLS = {
    "peephole": lambda **options: kapps.PeepholeLSTMCell(UNITS, **options),
    "coupled": lambda **options: kapps.CoupledLSTMCell(UNITS, **options),
    "multiplicative": lambda **options: kapps.MultiplicativeLSTMCell(UNITS, **options),
    "gru_new": lambda **options: kapps.GRUCell(UNITS, **options),
    "gru_old": lambda **options: kapps.GRUCell(UNITS, update="old", **options),
}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, h, c, w, kind):
    """One step by the equations, with separate matrices for each gate."""
    gates = {}
    names = "fco" if kind == "coupled" else "ifco"
    if kind == "multiplicative":
        h = (x @ w["kernel_m"]) * (h @ w["recurrent_kernel_m"])
    for i, name in enumerate(names):
        part = slice(i * UNITS, (i + 1) * UNITS)
        gates[name] = (
            x @ w["kernel"][:, part] + h @ w["recurrent_kernel"][:, part] + w["bias"][part]
        )
    v = dict(zip("ifo", w["peephole"] if kind == "peephole" else [0, 0, 0], strict=True))
    f = sigmoid(gates["f"] + v["f"] * c)
    i = 1 - f if kind == "coupled" else sigmoid(gates["i"] + v["i"] * c)
    c = f * c + i * np.tanh(gates["c"])
    o = sigmoid(gates["o"] + v["o"] * c)
    return o * np.tanh(c), c


def gru(x, h, w, kind):
    z, r, g = (
        (w["kernel"][:, part], w["recurrent_kernel"][:, part], w["bias"][part])
        for part in (slice(i * UNITS, (i + 1) * UNITS) for i in range(3))
    )
    update = sigmoid(x @ z[0] + h @ z[1] + z[2])
    reset = sigmoid(x @ r[0] + h @ r[1] + r[2])
    new = np.tanh(x @ g[0] + (reset * h) @ g[1] + g[2])
    if kind == "gru_new":
        return (1 - update) * h + update * new
    return update * h + (1 - update) * new


def expected(sequence, weights, kind):
    """Returns the outputs of all steps, from zeros."""
    h = c = np.zeros((len(sequence), UNITS))
    outputs = []
    for x in sequence.transpose(1, 0, 2).astype("float64"):
        if kind.startswith("gru"):
            h = gru(x, h, weights, kind)
        else:
            h, c = lstm(x, h, c, weights, kind)
        outputs.append(h)
    return np.stack(outputs, axis=1)


@pytest.fixture(params=CELLS)
def kind(request):
    return request.param


@pytest.fixture
def layer(kind):
    """A recurrent layer of the cell, with random weights."""
    layer = keras.layers.RNN(CELLS[kind](), return_sequences=True, return_state=True)
    layer.build((None, None, FEATURES))
    random = np.random.default_rng(0)
    for variable in layer.weights:
        variable.assign(random.normal(0, 0.7, variable.shape))
    return layer


def sequences(batch=2, steps=7):
    return np.random.default_rng(1).normal(size=(batch, steps, FEATURES)).astype("float32")


def array(x):
    return keras.ops.convert_to_numpy(x)


def test_equations_step_by_step(kind, layer):
    weights = {v.name: array(v).astype("float64") for v in layer.weights}
    result, *_ = layer(sequences())
    np.testing.assert_allclose(array(result), expected(sequences(), weights, kind), atol=1e-6)


def test_states_passed_on_equal_one_long_run(layer):
    whole, *last = layer(sequences())
    first, *states = layer(sequences()[:, :3])
    second, *end = layer(sequences()[:, 3:], initial_state=states)
    np.testing.assert_allclose(
        np.concatenate([array(first), array(second)], 1), array(whole), atol=1e-6
    )
    for one, other in zip(last, end, strict=True):
        np.testing.assert_allclose(array(one), array(other), atol=1e-6)


def test_a_mask_equals_trimming(layer):
    mask = np.arange(7) < np.array([[4], [7]])
    result, *states = layer(sequences(), mask=mask)
    short, *ends = layer(sequences()[:1, :4])
    np.testing.assert_allclose(array(result)[:1, :4], array(short), atol=1e-6)
    for state, end in zip(states, ends, strict=True):
        np.testing.assert_allclose(array(state)[:1], array(end), atol=1e-6)


def test_files(layer, tmp_path):
    x = keras.Input((None, FEATURES))
    model = keras.Model(x, layer(x)[0])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(sequences())), array(model(sequences())))


def test_dropout_is_active_in_training_only(kind):
    x = sequences(64)
    layer = keras.layers.RNN(CELLS[kind](dropout=0.5, recurrent_dropout=0.5))
    plain = keras.layers.RNN(CELLS[kind]())
    plain.build(x.shape)
    layer.build(x.shape)
    plain.set_weights(layer.get_weights())
    np.testing.assert_allclose(array(layer(x, training=False)), array(plain(x)), atol=1e-6)
    assert np.abs(array(layer(x, training=True)) - array(plain(x))).max() > 0.05


@pytest.mark.long
def test_training_in_half_precision_lowers_the_loss(kind):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = keras.Sequential(
            [keras.layers.RNN(CELLS[kind]()), keras.layers.Dense(1, dtype="float32")]
        )
        model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=False)
        x = sequences(32)
        losses = [model.train_on_batch(x, x.sum(axis=(1, 2), keepdims=False)) for _ in range(25)]
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.layers[0].cell.compute_dtype == "bfloat16" and losses[-1] < 0.7 * losses[0]


@pytest.mark.long
@pytest.mark.tensorflow
def test_exported_forms_agree(kind, layer, tmp_path):
    x = keras.Input((None, FEATURES))
    model = keras.Model(x, keras.layers.Dense(4)(layer(x)[0]), name=kind)
    for path in (
        kapps.export.saved_model(model, tmp_path),
        kapps.export.tflite(model, tmp_path / "net.tflite", length=7),
    ):
        report = kapps.export.verify(model, path, sequences(5))
        assert report.largest_difference < 1e-5 and report.largest_value > 0.1


def test_cells_equal_keras_cells_in_special_cases():
    """Without peepholes an LSTM; with update="old" a GRU with reset_after=False; coupled: 3/4 of the parameters."""
    x = sequences()
    peephole = keras.layers.RNN(kapps.PeepholeLSTMCell(UNITS))
    lstm, gru = keras.layers.LSTM(UNITS), keras.layers.GRU(UNITS, reset_after=False)
    for layer in (peephole, lstm, gru):
        layer.build(x.shape)
    *same, _ = peephole.get_weights()
    lstm.set_weights(same)
    np.testing.assert_allclose(array(peephole(x)), array(lstm(x)), atol=1e-6)
    old = keras.layers.RNN(kapps.GRUCell(UNITS, update="old"))
    old.build(x.shape)
    old.set_weights(gru.get_weights())
    np.testing.assert_allclose(array(old(x)), array(gru(x)), atol=1e-6)
    # One update gate is the other with opposite signs.
    new = keras.layers.RNN(kapps.GRUCell(UNITS))
    new.build(x.shape)
    signs = np.ones(3 * UNITS)
    signs[:UNITS] = -1
    new.set_weights([weight * signs for weight in gru.get_weights()])
    np.testing.assert_allclose(array(new(x)), array(gru(x)), atol=1e-6)
    coupled = keras.layers.RNN(kapps.CoupledLSTMCell(UNITS))
    coupled.build(x.shape)
    assert 4 * coupled.count_params() == 3 * lstm.count_params()
    assert array(coupled.cell.bias)[:UNITS].tolist() == [1] * UNITS  # the forget gate starts open
    with pytest.raises(ValueError, match='update is "new" or "old", not "z"'.replace('"z"', "'z'")):
        kapps.GRUCell(UNITS, update="z")


def test_learned_states_are_trained(tmp_path):
    x = keras.Input((None, FEATURES))
    state = kapps.LearnedState([UNITS, UNITS], name="start")(x)
    model = keras.Model(x, keras.layers.LSTM(UNITS)(x, initial_state=state))
    model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=False)
    before = array(model(sequences(1, 1)))
    model.fit(sequences(4), np.ones((4, UNITS)), verbose=0)
    assert all(np.abs(w).max() > 1e-4 for w in model.get_layer("start").get_weights())
    after = array(model(sequences(1, 1)))
    assert np.abs(after - before).max() > 1e-3
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(sequences(1, 1))), after)
    with pytest.raises(ValueError, match="positive integers"):
        kapps.LearnedState([0])


def test_why_not_cudnn():
    x = keras.Input((None, FEATURES))
    y = keras.layers.LSTM(4, return_sequences=True, name="free")(x)
    y = keras.layers.Bidirectional(
        keras.layers.GRU(4, return_sequences=True, reset_after=False, name="gates"), name="both"
    )(y)
    y = keras.layers.LSTM(
        4, activation="relu", recurrent_dropout=0.1, name="two", return_sequences=True
    )(y)
    y = keras.layers.RNN(kapps.PeepholeLSTMCell(4), name="holes")(y)
    result = kapps.why_not_cudnn(keras.Model(x, y))
    assert set(result) == {"forward_gates", "backward_gates", "two", "holes"}
    assert result["forward_gates"] == ["reset_after is False"]
    assert result["two"] == ["activation is relu, not tanh", "recurrent_dropout is 0.1, not 0"]
    assert result["holes"] == ["cuDNN has kernels for LSTM and GRU, not for PeepholeLSTMCell"]
