"""The translators of Britz's comparison: their equations step by step in NumPy, and the parameters of their code."""

import numpy as np
import pytest
from small_translators import (
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


def lstm(x, states, w, name):
    """One step of an LSTM; `states` becomes [h, c]."""
    h, c = states
    z = x @ w[f"{name}/kernel"] + h @ w[f"{name}/recurrent_kernel"] + w[f"{name}/bias"]
    i, f, g, o = np.split(z, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    states[:] = sigmoid(o) * np.tanh(c), c
    return states[0]


def zeros(layers):
    return [[np.zeros(UNITS), np.zeros(UNITS)] for _ in range(layers)]


def encode(words, w, cells):
    """The outputs of a stack of cells for a sequence of vectors."""
    states, outputs = zeros(len(cells)), []
    for x in words:
        for state, cell in zip(states, cells, strict=True):
            x = lstm(x, state, w, cell)
        outputs.append(x)
    return outputs


@pytest.mark.parametrize("score", ["additive", "multiplicative"])
def test_logits_are_the_equations(score):
    model = build("britz", score=score)
    w, sides = weights_by_name(model), ("forward", "backward")
    for side in sides:
        cells = getattr(model.get_layer("encoder1"), f"{side}_layer").cell.cells
        for i, layer in enumerate(cells):
            w.update({f"{side}{i}/{v.name}": array(v) for v in layer.weights})
    cell = model.get_layer("decoder").cell
    w_c, b_c = array(cell.attentional_kernel), array(cell.attentional_bias)
    logits = run(model, SOURCE, TARGET)
    for number, (source, target) in enumerate(zip(SOURCE, TARGET, strict=True)):
        words = w["encoder_embedding/embeddings"][source[source > 0]]
        forward, backward = (
            encode(sequence, w, [f"{side}{i}" for i in range(2)])
            for side, sequence in zip(sides, (words, words[::-1]), strict=True)
        )
        memory = np.concatenate([forward, backward[::-1]], axis=1)
        states, context = zeros(2), np.zeros(2 * UNITS)
        for i, y in enumerate(w["decoder_embedding/embeddings"][target[target > 0]]):
            h = np.concatenate([y, context])
            for j in range(2):
                h = lstm(h, states[j], w, f"cell{j}")
            query = h @ w["attention/query_kernel"] + w["attention/query_bias"]
            keys = memory @ w["attention/memory_kernel"] + w["attention/memory_bias"]
            e = keys @ query
            if score == "additive":
                e = np.tanh(query + keys) @ w["attention/v"][:, 0]
            context = softmax(e) @ memory
            x = np.tanh(np.concatenate([h, context]) @ w_c + b_c)
            expected = x @ w["head_logits/kernel"] + w["head_logits/bias"]
            np.testing.assert_allclose(logits[number, i], expected, atol=1e-4)


def test_parameters_are_those_of_the_configurations():
    """[2] with 37,000 tokens of each language; without embeddings and logits as listed."""
    inner = {"nmt_small": 493_056, "nmt_medium": 2_363_392, "nmt_large": 20_465_664}
    sizes = {
        "nmt_small": (128, 3, 1, 1, 0), "nmt_medium": (256, 3, 1, 2, 1), "nmt_large": (512, 4, 2, 4, 1)
    }  # fmt: skip
    for name, (n, gates, encoder, decoder, v) in sizes.items():
        layer = gates * n * (n + n + 1)
        first = gates * n * (n + 2 * n + n + 1)
        scores = (2 * n + 1) * n + (n + 1) * n + v * n
        attentional = (n + 2 * n + 1) * n
        total = 2 * encoder * layer + first + (decoder - 1) * layer + scores + attentional
        assert total == inner[name]
        assert kapps.card(name).params == total + 2 * 37_000 * n + 37_000 * (n + 1)


def test_the_decoder_starts_from_zeros():
    encoder, step = kapps.generation.encoder_and_step(build("britz"))
    assert not [
        name for name in encoder.output if name.startswith("decoder_") and name in step.output
    ]
    shapes = {name: x.shape[1:] for name, x in step.input.items() if name in step.output}
    assert sorted(shapes.values()) == [(UNITS,)] * 4 + [(2 * UNITS,)]
