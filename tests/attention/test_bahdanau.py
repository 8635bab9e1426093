"""RNNsearch: the equations of the paper step by step in NumPy, and its number of parameters."""

import numpy as np
from small_translators import SOURCE, TARGET, UNITS, build, run, sigmoid, softmax, weights_by_name

import kapps


def gru(x, s, w, name):
    """One step of [1, A.1.1]: the reset gate comes before U, and the update gate is the fraction that is new."""
    kernel, u, bias = (w[f"{name}/{weight}"] for weight in ("kernel", "recurrent_kernel", "bias"))
    parts = [slice(i * UNITS, (i + 1) * UNITS) for i in range(3)]
    z, r = (sigmoid(x @ kernel[:, p] + s @ u[:, p] + bias[p]) for p in parts[:2])
    p = parts[2]
    return (1 - z) * s + z * np.tanh(x @ kernel[:, p] + (r * s) @ u[:, p] + bias[p])


def test_bahdanaus_logits_are_the_equations():
    model = build("bahdanau")
    w = weights_by_name(model)
    logits = run(model, SOURCE, TARGET)
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
                np.tanh(s @ w["attention/query_kernel"] + h_j @ w["attention/memory_kernel"])
                @ w["attention/v"][:, 0]
                for h_j in h
            ]  # fmt: skip
            c = softmax(np.array(e)) @ h
            t = np.concatenate([s, c, y]) @ w["readout/kernel"] + w["readout/bias"]
            t = t.reshape(-1, 2).max(axis=1)
            expected = t @ w["head_logits/kernel"] + w["head_logits/bias"]
            np.testing.assert_allclose(logits[number, i], expected, atol=1e-4)
            s = gru(np.concatenate([y, c]), s, w, "cell0")


def test_parameters_are_the_sums_of_the_papers_matrices():
    n, m, l, k, attention = 1000, 620, 500, 30_000, 1000  # noqa: E741
    gru = 3 * n * (m + n + 1)
    searching = 3 * n * (m + 2 * n + n + 1)
    scores = attention * (n + 2 * n + 1)
    readout = 2 * l * (n + m + 2 * n + 1)
    total = 2 * k * m + 2 * gru + searching + scores + n * (n + 1) + readout + k * (l + 1)
    assert kapps.bahdanau2015.card.params == total == 80_442_000
