"""Recurrent stacks step by step in NumPy and next to PyTorch: directions, residuals, pyramids, states, padding."""

import keras
import numpy as np
import pytest

import kapps
from kapps.layers import recurrent_stack

UNITS, FEATURES, STEPS = 4, 3, 7
LENGTHS = np.array([4, 7])


def array(x):
    return keras.ops.convert_to_numpy(x)


def sequences(batch=2, steps=STEPS, features=FEATURES):
    return np.random.default_rng(1).normal(size=(batch, steps, features)).astype("float32")


def network(*, features=FEATURES, units=UNITS, **options):
    """A stack with random weights, learned states and biases included; steps whose values are all 9 are padding."""
    x = keras.Input((None, features))
    y = recurrent_stack.stack(keras.layers.Masking(9.0)(x), units, **options)
    model = keras.Model(x, y)
    random = np.random.default_rng(0)
    for variable in model.weights:
        if "seed" not in variable.path:
            variable.assign(random.normal(0, 0.5, variable.shape))
    return model


def pad(x, steps=STEPS):
    longer = np.full((len(x), steps, x.shape[-1]), 9, "float32")
    longer[:, : x.shape[1]] = x
    return longer


def rnn(x, weights, *, backwards=False, state=None):
    """h_t = tanh(W x_t + U h_{t-1} + b) at each step."""
    kernel, recurrent, bias = weights
    h = np.zeros((len(x), kernel.shape[1])) if state is None else np.tile(state, (len(x), 1))
    outputs = [None] * x.shape[1]
    for t in reversed(range(x.shape[1])) if backwards else range(x.shape[1]):
        h = outputs[t] = np.tanh(x[:, t] @ kernel + h @ recurrent + bias)
    return np.stack(outputs, axis=1)


def test_residuals_and_directions_step_by_step():
    model = network(units=(2, 4, 4), cell="rnn", residual=3, merge="sum", learned_state=True)
    result = array(model(sequences()))
    x = sequences().astype("float64")
    for i in (1, 2, 3):
        weights = model.get_layer(f"layer{i}").get_weights()
        first = [
            state.astype("float64") for state in model.get_layer(f"layer{i}_state").get_weights()
        ]
        y = rnn(x, weights[:3], state=first[0])
        y = y + rnn(x, weights[3:], backwards=True, state=first[1])
        x = y + x if i == 3 else y
    np.testing.assert_allclose(result, x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("steps", [7, 8])
def test_a_pyramid_reads_pairs(steps):
    """Each layer from the second reads [h_2i, h_2i+1] of the layer below, padded with zeros to an even length."""
    model = network(units=(2, 4, 4), cell="rnn", pyramid=2)
    x = sequences(steps=steps).astype("float64")
    result = array(model(sequences(steps=steps)))
    for i in (1, 2, 3):
        if i > 1:
            if x.shape[1] % 2:
                x = np.concatenate([x, np.zeros_like(x[:, :1])], axis=1)
            x = np.concatenate([x[:, ::2], x[:, 1::2]], axis=-1)
        x = rnn(x, model.get_layer(f"layer{i}").get_weights())
    assert result.shape == (2, 2, 4) == x.shape
    np.testing.assert_allclose(result, x, rtol=1e-5, atol=1e-5)


FORMS = {
    "plain": dict(layers=2, cell="gru"),
    "residual": dict(layers=3, residual=2, cell="coupled", dropout=0.5),
    "pyramid": dict(layers=3, pyramid=2),
    "both directions": dict(layers=2, merge="concat", cell="peephole"),
    "learned states": dict(units=(3, 4), merge="sum", learned_state=True, cell="gru"),
    "everything": dict(layers=4, merge="concat", learned_state=True, residual=2, dropout=0.1),
    "pyramid of both": dict(
        layers=3, pyramid=1, merge="concat", learned_state=True, cell="gru_new"
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.long
def test_padding_changes_no_output_and_files_keep_it(form, tmp_path):
    model = network(**FORMS[form])
    for steps in (4, 5):  # half is even, and odd
        x = sequences(1, steps)
        short, long = array(model(x)), array(model(pad(x)))
        np.testing.assert_allclose(long[:, : short.shape[1]], short, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(pad(x))), long)


@pytest.mark.parametrize("merge", [None, "concat"])
def test_last_outputs_and_states_are_those_of_the_last_step_without_padding(merge):
    options = dict(layers=2, merge=merge, learned_state=True, return_sequences=False)
    model = network(**options, return_state=True)
    x = sequences(1, 4)
    for short, long in zip(*(keras.tree.flatten(model(y)) for y in (x, pad(x))), strict=True):
        np.testing.assert_allclose(array(short), array(long), atol=1e-6)
    last, states = model(x)
    assert [len(layer_states) for layer_states in states] == [2 if merge is None else 4] * 2
    np.testing.assert_array_equal(array(last)[:, :UNITS], array(states[-1][0]))


def test_initial_states_equal_one_long_run():
    x = keras.Input((None, FEATURES))
    _, states = recurrent_stack.stack(x, (2, UNITS), return_state=True, name="shared")
    first = keras.Model(x, states)
    inputs = [[keras.Input((size,)) for _ in "hc"] for size in (2, UNITS)]
    second = keras.Model([x, inputs], recurrent_stack.stack(x, (2, UNITS), initial_state=inputs))
    second.set_weights(first.get_weights())
    whole = network(units=(2, UNITS))
    whole.set_weights(first.get_weights())
    parts = sequences()[:, :3], sequences()[:, 3:]
    np.testing.assert_allclose(
        array(second([keras.ops.array(parts[1]), first(parts[0])])),
        array(whole(sequences()))[:, 3:],
        atol=1e-6,
    )


@pytest.mark.parametrize("cell", recurrent_stack.CELLS)
def test_each_name_is_its_cell(cell):
    """The parameters of 4 units with 3 inputs by the name of the cell; test_recurrent_cells.py tests the cells."""
    kernels, more = {
        "rnn": (1, 0), "lstm": (4, 0), "gru": (3, 3 * UNITS), "peephole": (4, 3 * UNITS), "coupled": (3, 0),
        "multiplicative": (4, UNITS * (UNITS + FEATURES)), "gru_new": (3, 0), "gru_old": (3, 0),
    }[cell]  # fmt: skip
    layer = recurrent_stack.recurrent_layer(UNITS, cell=cell)
    assert layer(sequences()).shape == (2, STEPS, UNITS)
    assert layer.count_params() == kernels * (FEATURES + UNITS + 1) * UNITS + more
    update = getattr(getattr(layer, "cell", None), "update", "none")
    assert cell == f"gru_{update}" or update == "none"


@pytest.mark.long
def test_a_stack_learns():
    """The stack predicts the sign of the first value from its last output."""
    x = keras.Input((None, FEATURES))
    y = recurrent_stack.stack(x, 6, layers=3, residual=2, merge="sum", return_sequences=True)
    y = recurrent_stack.recurrent(y, 6, return_sequences=False, name="last")
    model = keras.Model(x, keras.layers.Dense(1)(y))
    model.compile(keras.optimizers.Adam(0.03), "mse", jit_compile=False)
    x = sequences(32, 4)
    losses = [model.train_on_batch(x, np.sign(x[:, 0, :1])) for _ in range(20)]
    assert losses[-1] < 0.7 * losses[0]


def test_errors_name_option_value_and_allowed():
    x = keras.Input((None, FEATURES))
    for options, words in [
        (dict(units=4, cell="ltsm"), ["cell", "'ltsm'", "lstm?"]),
        (dict(units=4, residual=1), ["layer1", "3", "4", "residual"]),
        (dict(units=3, residual=1, return_sequences=False), ["layer1", "return_sequences=True"]),
        (dict(units=4, layers=2, residual=True), ["residual", "1 to 2", "True"]),
        (dict(units=4, pyramid=2), ["pyramid", "1 to 1", "2"]),
        (dict(units=(4, 4), layers=3), ["units", "2 widths", "layers is 3"]),
        (dict(units=(4, 0)), ["units", "positive integers", "(4, 0)"]),
        (dict(units=4, merge="mean"), ["merge", "concat", "sum", "'mean'"]),
        (dict(units=4, layers=2, initial_state=[[]]), ["initial_state", "1 layers", "2 layers"]),
        (dict(units=4, learned_state=True, initial_state=[[x, x]]), ["learned_state", "initial_state"]),
    ]:  # fmt: skip
        with pytest.raises(ValueError) as error:
            recurrent_stack.stack(x, **options)
        assert all(word in str(error.value) for word in words)
        assert "\n" not in str(error.value)


@pytest.mark.long
@pytest.mark.tensorflow
def test_tflite_has_pairs_and_both_directions(tmp_path):
    model = network(layers=2, pyramid=2, merge="concat", learned_state=True, cell="gru")
    path = kapps.export.tflite(model, tmp_path / "net.tflite", length=STEPS)
    report = kapps.export.verify(model, path, sequences(3))
    assert report.largest_difference < 1e-5 and report.largest_value > 0.1


def torch_order(weights, cell):
    """Keras's kernels, gates in PyTorch's order: LSTM i, f, g, o in both; GRU z, r, n becomes r, z, n."""
    kernel, recurrent, bias = weights
    parts = [np.split(w, 3 if cell == "gru" else 4, axis=-1) for w in (kernel, recurrent, bias)]
    if cell == "gru":
        parts = [[r, z, n] for z, r, n in parts]
    kernel, recurrent, bias = (np.concatenate(part, axis=-1) for part in parts)
    inputs, states = (bias[0], bias[1]) if cell == "gru" else (bias, np.zeros_like(bias))
    return [kernel.T, recurrent.T, inputs, states]


@pytest.mark.peers
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_torch_of_two_layers_and_both_directions(cell):
    import torch

    model = network(layers=2, merge="concat", cell=cell)
    peer = getattr(torch.nn, cell.upper())(
        FEATURES, UNITS, num_layers=2, bidirectional=True, batch_first=True
    )
    flat = []
    for i in (1, 2):
        weights = model.get_layer(f"layer{i}").get_weights()
        flat += torch_order(weights[:3], cell) + torch_order(weights[3:], cell)
    with torch.no_grad():
        for parameter, ours in zip(peer.parameters(), flat, strict=True):
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(ours)))
        x = sequences()
        x[0, LENGTHS[0] :] = 9
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            torch.from_numpy(x), LENGTHS, batch_first=True, enforce_sorted=False
        )
        expected, _ = torch.nn.utils.rnn.pad_packed_sequence(peer(packed)[0], batch_first=True)
    result = array(model(x))
    for i, length in enumerate(LENGTHS):
        np.testing.assert_allclose(
            result[i, :length], expected[i, :length].numpy(), rtol=1e-5, atol=1e-5
        )
