"""Luong's encoder-decoder: the equations of the paper step by step in NumPy, its parameters, and reversed sources."""

import numpy as np
import pytest
from small_translators import (
    SMALL,
    SOURCE,
    TARGET,
    UNITS,
    array,
    build,
    run,
    sigmoid,
    softmax,
    weights_by_name,
)

import kapps
from kapps.families import luong


def lstm(x, h, c, w, name):
    z = x @ w[f"{name}/kernel"] + h @ w[f"{name}/recurrent_kernel"] + w[f"{name}/bias"]
    i, f, g, o = np.split(z, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def test_luongs_logits_are_the_equations():
    model = build("luong")
    w = weights_by_name(model)
    logits = run(model, SOURCE, TARGET)
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
            np.testing.assert_allclose(logits[number, i], expected, atol=1e-4)


def test_parameters_are_the_sums_of_the_papers_matrices():
    n, k = 1000, 50_000
    lstm, first = 4 * n * (n + n + 1), 4 * n * (2 * n + n + 1)
    local = n * n + n * n + n  # W_a, and W_p and v_p
    total = 2 * k * n + 4 * lstm + first + 3 * lstm + local + 2 * n * n + k * (n + 1)
    assert kapps.luong2015.card.params == total == 222_083_000


def test_weights_of_a_reversed_source_are_in_the_order_of_its_words():
    plain = build("luong without input feeding", cell="gru", score="dot", reverse=False)
    turned = build("luong without input feeding", cell="gru", score="dot", reverse=True)
    (expected,) = kapps.attention_weights(
        plain, [SOURCE[2:, ::-1], TARGET[2:]], cross_only=True
    ).values()
    (weights,) = kapps.attention_weights(turned, [SOURCE[2:], TARGET[2:]], cross_only=True).values()
    np.testing.assert_allclose(weights, expected[:, :, ::-1], rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.02


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(window="local"), ["window", "global, local_m, local_p, hard", "'local'"]),
        (dict(score="dott"), ["score", "additive, dot, general, concat, scaled", "'dott'"]),
        (dict(cell="grru"), ["cell", "'grru'", "gru?"]),
    ],
)
def test_errors_name_what_is_allowed(options, words):
    with pytest.raises(ValueError) as error:
        luong(**{**SMALL, **options})
    assert all(word in str(error.value) for word in words)
