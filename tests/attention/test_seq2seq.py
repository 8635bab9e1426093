"""Sequence to sequence with attention: the papers' equations step by step, windows, padding, one step at a time."""

import re

import keras
import numpy as np
import pytest

from kapps.attention.seq2seq import attention_seq2seq, bahdanau2015, luong2015
from kapps.layers import Alignment
from kapps.layers.attention_cells import AttentionalCell, AttentionRNN, SearchCell
from kapps.visualize.attention_weights import alignment

VOCABULARY, UNITS = 11, 4
SMALL = dict(vocabulary=VOCABULARY, embedding=3, units=UNITS, readout=2, classifier_activation=None)
DRAW = np.random.default_rng(0)
SOURCE = DRAW.integers(1, VOCABULARY, (3, 6)).astype("int32")
TARGET = DRAW.integers(1, VOCABULARY, (3, 5)).astype("int32")
SOURCE[0, 4:] = TARGET[0, 3:] = SOURCE[1, 5:] = 0
KINDS = {
    "bahdanau": dict(cell="gru_new"),
    "bahdanau, two LSTMs": dict(cell="lstm", layers=2, merge="sum", score="general"),
    "luong": dict(
        cell="lstm", layers=2, merge=None, reverse=True, attend="after", score="general", window="local_p", width=2
    ),
    "luong without feeding": dict(attend="after", score="concat", input_feeding=False),
    "monotonic": dict(attend="after", window="local_m", width=1, score="scaled"),
    "hard": dict(window="hard"),
}  # fmt: skip


def array(x):
    return keras.ops.convert_to_numpy(x)


def run(model, *inputs):
    return array(model(list(inputs), training=False))


def drawn(kind):
    model = attention_seq2seq(**SMALL, **KINDS[kind])
    draw = np.random.default_rng(2)
    for variable in model.weights:
        variable.assign(draw.normal(0, 0.8, variable.shape))
    return model


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def by_name(model):
    """The weights in float64: of layers by their paths, of the decoder's parts by their places.

    Keras numbers the cells of a process, which is left out.
    """
    found = {
        re.sub(r"cell_\d+/", "cell/", v.path): array(v).astype("float64") for v in model.weights
    }
    cell = model.get_layer("decoder").cell
    parts = {f"cell{i}": each for i, each in enumerate(cell.cells)}
    for name, part in {**parts, "attention": cell.attention}.items():
        found.update({f"{name}/{v.name}": array(v).astype("float64") for v in part.weights})
    return found


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def gru(x, s, w, name):
    """One step of [1, A.1.1]: the reset gate acts before U, and the update gate says how much is new."""
    kernel, u, bias = (w[f"{name}/{each}"] for each in ("kernel", "recurrent_kernel", "bias"))
    parts = [slice(i * UNITS, (i + 1) * UNITS) for i in range(3)]
    z, r = (sigmoid(x @ kernel[:, p] + s @ u[:, p] + bias[p]) for p in parts[:2])
    p = parts[2]
    return (1 - z) * s + z * np.tanh(x @ kernel[:, p] + (r * s) @ u[:, p] + bias[p])


def lstm(x, h, c, w, name):
    z = x @ w[f"{name}/kernel"] + h @ w[f"{name}/recurrent_kernel"] + w[f"{name}/bias"]
    i, f, g, o = np.split(z, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def test_bahdanaus_logits_are_the_equations():
    model = drawn("bahdanau")
    w = by_name(model)
    found = run(model, SOURCE, TARGET)
    sides = "encoder1/forward_encoder1/gru_cell", "encoder1/backward_encoder1/gru_cell"
    for number, (source, target) in enumerate(zip(SOURCE, TARGET, strict=True)):
        words = w["encoder_embedding/embeddings"][source[source > 0]]
        annotations = []
        for side, order in zip(sides, (words, words[::-1]), strict=True):
            s, states = np.zeros(UNITS), []
            for x in order:
                s = gru(x, s, w, side)
                states.append(s)
            annotations.append(states)
        h = np.concatenate([annotations[0], annotations[1][::-1]], axis=1)
        s = np.tanh(s @ w["decoder1_state0/kernel"] + w["decoder1_state0/bias"])
        for i, y in enumerate(w["decoder_embedding/embeddings"][target[target > 0]]):
            e = [
                np.tanh(s @ w["attention/query_kernel"] + each @ w["attention/memory_kernel"])
                @ w["attention/v"][:, 0]
                for each in h
            ]  # fmt: skip
            c = softmax(np.array(e)) @ h
            t = np.concatenate([s, c, y]) @ w["readout/kernel"] + w["readout/bias"]
            t = t.reshape(-1, 2).max(axis=1)
            expected = t @ w["head_logits/kernel"] + w["head_logits/bias"]
            np.testing.assert_allclose(found[number, i], expected, atol=1e-4)
            s = gru(np.concatenate([y, c]), s, w, "cell0")


def test_luongs_logits_are_the_equations():
    model = drawn("luong")
    w = by_name(model)
    found = run(model, SOURCE, TARGET)
    encoder = sorted(
        {path.rsplit("/", 1)[0] for path in w if path.startswith("encoder") and "lstm" in path}
    )
    attentional_kernel = array(model.get_layer("decoder").cell.attentional_kernel)
    for number, (source, target) in enumerate(zip(SOURCE, TARGET, strict=True)):
        states = [(np.zeros(UNITS), np.zeros(UNITS)) for _ in range(2)]
        memory = []
        for x in w["encoder_embedding/embeddings"][source[source > 0][::-1]]:
            for i, cell in enumerate(encoder):
                states[i] = lstm(x, *states[i], w, cell)
                x = states[i][0]
            memory.append(x)
        memory, steps, attentional = np.array(memory), np.arange(len(memory)), np.zeros(UNITS)
        for i, y in enumerate(w["decoder_embedding/embeddings"][target[target > 0]]):
            x = np.concatenate([y, attentional])
            for j, cell in enumerate(("cell0", "cell1")):
                states[j] = lstm(x, *states[j], w, cell)
                x = states[j][0]
            share = np.tanh(x @ w["attention/position_kernel"])
            p = len(memory) * sigmoid(share @ w["attention/position_v"][:, 0])
            near = np.abs(steps - p) <= 2
            a = np.zeros(len(memory))
            a[near] = softmax((memory @ w["attention/memory_kernel"] @ x)[near])
            a *= np.exp(-((steps - p) ** 2) / 2)  # sigma = D / 2 = 1
            attentional = np.concatenate([a @ memory, x]) @ attentional_kernel
            attentional = np.tanh(attentional)
            expected = attentional @ w["head_logits/kernel"] + w["head_logits/bias"]
            np.testing.assert_allclose(found[number, i], expected, atol=1e-4)


def test_parameters_are_the_sums_of_the_papers_matrices():
    n, m, l, k, attention = 1000, 620, 500, 30_000, 1000  # noqa: E741
    gru = 3 * n * (m + n + 1)
    searching = 3 * n * (m + 2 * n + n + 1)
    scores = attention * (n + 2 * n + 1)
    readout = 2 * l * (n + m + 2 * n + 1)
    total = 2 * k * m + 2 * gru + searching + scores + n * (n + 1) + readout + k * (l + 1)
    assert bahdanau2015.card.params == total == 80_442_000
    n, k = 1000, 50_000
    lstm, first = 4 * n * (n + n + 1), 4 * n * (2 * n + n + 1)
    local = n * n + n * n + n  # W_a, and W_p and v_p
    total = 2 * k * n + 4 * lstm + first + 3 * lstm + local + 2 * n * n + k * (n + 1)
    assert luong2015.card.params == total == 222_083_000


def test_padding_changes_no_logit_and_no_word_sees_a_later_one(kind):
    model = drawn(kind)
    found = run(model, SOURCE, TARGET)
    longer = run(model, *(np.pad(x, ((0, 0), (0, 4))) for x in (SOURCE, TARGET)))
    real = TARGET > 0
    np.testing.assert_allclose(longer[:, :5][real], found[real], atol=1e-5)
    alone = run(model, SOURCE[:1, :4], TARGET[:1, :3])
    np.testing.assert_allclose(found[0, :3], alone[0], atol=1e-5)
    changed, other = TARGET.copy(), SOURCE.copy()
    changed[1:, 3:] = 1 + changed[1:, 3:] % (VOCABULARY - 1)
    other[:, 1] = 1 + other[:, 1] % (VOCABULARY - 1)
    after = run(model, SOURCE, changed)
    np.testing.assert_allclose(after[1:, :3], found[1:, :3], atol=1e-6)
    assert np.abs(after[1:, 3:] - found[1:, 3:]).max() > 0.01
    assert np.abs(run(model, other, TARGET) - found).max() > 0.01


def test_one_step_at_a_time_is_the_layer():
    memory = DRAW.normal(size=(2, 6, 5)).astype("float32")
    x = DRAW.normal(size=(2, 4, 3)).astype("float32")
    mask = np.arange(6) < np.array([[4], [6]])
    for kind in (SearchCell, AttentionalCell):
        cells = [keras.layers.LSTMCell(UNITS), keras.layers.LSTMCell(UNITS)]
        cell = kind(cells, Alignment("additive", "local_m", width=1))
        layer = AttentionRNN(cell, return_sequences=True)
        whole, a = layer(x, memory, memory_mask=mask, return_attention_scores=True)
        states = [np.zeros((2, size), "float32") for size in cell.state_size]
        keys = cell.attention.keys(keras.ops.convert_to_tensor(memory))
        for t in range(4):
            given = dict(memory=memory, keys=keys, memory_mask=mask)
            y, states, weights = cell(x[:, t], states, return_attention_scores=True, **given)
            np.testing.assert_allclose(array(y), array(whole)[:, t], atol=1e-6)
            np.testing.assert_allclose(array(weights), array(a)[:, t], atol=1e-6)
        assert array(states[-1]).tolist() == [[0, 4], [0, 4]]  # the number of the next step


def test_a_monotonic_window_goes_on_beyond_256_words():
    cell = SearchCell([keras.layers.SimpleRNNCell(2)], Alignment("scaled", "local_m", width=1))
    layer = AttentionRNN(cell, return_sequences=True, dtype="bfloat16")
    memory = DRAW.normal(size=(1, 300, 3)).astype("float32")
    _, a = layer(np.zeros((1, 300, 1), "float32"), memory, return_attention_scores=True)
    looks = [np.flatnonzero(row).tolist() for row in array(a)[0]]
    assert looks[0] == [0, 1] and looks[255:258] == [
        [254, 255, 256],
        [255, 256, 257],
        [256, 257, 258],
    ]


def test_alignments_are_in_the_order_of_the_words(kind):
    model = drawn(kind)
    ((_, found),) = alignment(model, SOURCE, TARGET).items()
    assert found.shape == (3, 5, 6) and found.dtype == np.float32
    assert not found[0, :, 4:].any() and not found[0, 3:].any()
    sums = found.sum(axis=-1)[TARGET > 0]
    if kind == "luong":
        assert (sums <= 1 + 1e-5).all() and sums.max() > 0.3
    else:  # a monotonic window of the last words may lie beyond a short source
        assert np.allclose(sums[sums > 0], 1, atol=1e-5) and (sums > 0).mean() > 0.7
    one = alignment(model, SOURCE[:1, :4], TARGET[:1, :3])
    np.testing.assert_allclose(next(iter(one.values()))[0], found[0, :3, :4], atol=1e-5)


def test_a_reversed_source_is_looked_at_where_its_words_are():
    options = dict(SMALL, merge=None, attend="after", input_feeding=False, score="dot")
    plain, turned = attention_seq2seq(**options), attention_seq2seq(reverse=True, **options)
    for model in (plain, turned):
        draw = np.random.default_rng(2)
        for variable in model.weights:
            variable.assign(draw.normal(0, 0.8, variable.shape))
    backwards = SOURCE[2:, ::-1]
    (one,) = alignment(plain, backwards, TARGET[2:]).values()
    (other,) = alignment(turned, SOURCE[2:], TARGET[2:]).values()
    np.testing.assert_allclose(other, one[:, :, ::-1], atol=1e-5)
    assert one.std() > 0.02


def test_half_precision_has_no_nan():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        models = [drawn(kind) for kind in ("bahdanau", "luong")]
    finally:
        keras.config.set_dtype_policy("float32")
    source, target = np.pad(SOURCE, ((0, 0), (0, 30))), np.pad(TARGET, ((0, 0), (0, 30)))
    for model in models:
        found = run(model, source, target)
        assert np.isfinite(found).all() and found.dtype == np.float32 and np.ptp(found) > 0.1


def test_files_and_copies_are_the_same(kind, tmp_path):
    model = drawn(kind)
    expected = run(model, SOURCE, TARGET)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for each in (loaded, copy):
        np.testing.assert_allclose(run(each, SOURCE, TARGET), expected, atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["hard", "luong"])
def test_training_with_dropout_lowers_the_loss(kind):
    model = attention_seq2seq(**SMALL, **KINDS[kind], dropout=0.1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(keras.optimizers.Adam(0.05), loss, jit_compile=False)
    losses = [float(model.train_on_batch([SOURCE, TARGET], TARGET)) for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    "options, says",
    [
        (dict(attend="beside"), 'attends "before" its step or "after" it, not \'beside\''),
        (dict(score="dot"), "queries as wide as the memory, not 4 and 8"),
        (dict(window="local"), "window is one of global, local_m, local_p, hard, not 'local'"),
        (dict(cell="grru"), "there is no cell 'grru'. Did you mean"),
    ],
)
def test_refusals_say_what_is_allowed(options, says):
    with pytest.raises(ValueError, match=says):
        attention_seq2seq(**{**SMALL, **options})
