"""The Evolved Transformer: the published sizes, its cells in NumPy, padding, causality, and decoding."""

import keras
import numpy as np
import pytest

import kapps
from kapps import generation
from kapps.families import evolved_transformer
from kapps.generation import step_models

D, HEADS, WORDS = 8, 2, 13
SMALL = dict(
    vocabulary=WORDS, encoder_cells=1, decoder_cells=1, d_model=D, heads=HEADS, dropout=0.0,
    classifier_activation=None,
)  # fmt: skip
RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.integers(1, WORDS, (2, 7)).astype("int32")
TARGET = RANDOM.integers(1, WORDS, (2, 12)).astype("int32")
SOURCE[0, 4:] = 0


def array(x):
    return keras.ops.convert_to_numpy(x)


def run(model, *inputs):
    return array(model(list(inputs), training=False))


@pytest.fixture(scope="module")
def model():
    """A small model with random weights."""
    model = evolved_transformer(**SMALL)
    random = np.random.default_rng(2)
    for variable in model.weights:
        scale = 1.0 if variable.name == "gamma" else 0.0
        variable.assign(random.normal(scale, 0.4, variable.shape))
    return model


def test_parameters_are_the_papers():
    """Of a cell, as in attention.md; with 33,288 tokens all five printed sizes come out."""

    def norm(width):
        return 2 * width

    def dense(n, m):
        return n * m + m

    def separable(k, n, m):
        return k * n + dense(n, m)

    def count(d, encoder, decoder):
        attention = norm(d) + 4 * d * d
        convolutions = (
            norm(d) + dense(d, 4 * d) + dense(3 * d, d // 2) + norm(4 * d) + separable(9, 4 * d, d // 2)
        )  # fmt: skip
        network = norm(d) + dense(d, 4 * d) + dense(4 * d, d)
        first = norm(d) + 2 * dense(d, d) + convolutions + attention + network
        causal = (
            norm(d) + separable(11, d, 2 * d) + separable(7, d, d // 2) + norm(2 * d) + separable(7, 2 * d, d)
        )  # fmt: skip
        second = attention + 4 * d * d + causal + 2 * attention + network + norm(4 * d)
        return encoder * first + decoder * second + 2 * norm(d)

    assert count(512, 1, 0) - 4 * 512 == 5_668_864 and count(512, 0, 1) - 4 * 512 == 7_503_104
    printed = {"tiny": 7.2, "base": 64.1, "big": 221.7, "deep": 218.1}
    sizes = {"tiny": (128, 3, 4), "base": (512, 3, 4), "big": (1024, 3, 4), "deep": (640, 9, 10)}
    for name, millions in printed.items():
        params = kapps.card(f"evolved_transformer_{name}").params
        assert params == count(*sizes[name]) + 33_288 * sizes[name][0]
        assert round(params / 1e6, 1) == millions
    assert evolved_transformer(**SMALL).count_params() == count(D, 1, 1) + WORDS * D


class Equations:
    """The parts of the cells in NumPy, for one sequence without padding."""

    def __init__(self, model):
        self.w = {v.path: array(v).astype("float64") for v in model.weights}

    def embed(self, tokens):
        positions, i = np.arange(len(tokens))[:, None], np.arange(D) // 2
        angles = positions / 10000 ** (2 * i / D)
        waves = np.where(np.arange(D) % 2, np.cos(angles), np.sin(angles))
        return self.w["embedding/embeddings"][tokens] * np.sqrt(D) + waves

    def norm(self, x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return x * self.w[f"{name}_norm/gamma"] + self.w[f"{name}_norm/beta"]

    def dense(self, x, name):
        return x @ self.w[f"{name}/kernel"] + self.w[f"{name}/bias"]

    def conv(self, x, name):
        """A convolution of 3 steps, one of them before and one after."""
        kernel, x = self.w[f"{name}/kernel"], np.pad(x, ((1, 1), (0, 0)))
        return sum(x[k : k + len(x) - 2] @ kernel[k] for k in range(3)) + self.w[f"{name}/bias"]

    def separable(self, x, name, causal):
        depthwise = self.w[f"{name}/depthwise_kernel"][..., 0]
        k = len(depthwise)
        before = k - 1 if causal else k // 2
        padded = np.pad(x, ((before, k - 1 - before), (0, 0)))
        y = sum(padded[i : i + len(x)] * depthwise[i] for i in range(k))
        return y @ self.w[f"{name}/pointwise_kernel"][0] + self.w[f"{name}/bias"]

    def attend(self, x, memory, name, causal=False):
        y = 0
        for head in range(self.w[f"{name}/query/kernel"].shape[1]):
            q, k, v = (
                inputs @ self.w[f"{name}/{part}/kernel"][:, head]
                for part, inputs in (("query", x), ("key", memory), ("value", memory))
            )
            scores = q @ k.T / np.sqrt(q.shape[-1])
            if causal:
                scores[np.triu_indices(len(x), 1)] = -np.inf
            a = np.exp(scores - scores.max(axis=-1, keepdims=True))
            a /= a.sum(axis=-1, keepdims=True)
            y = y + a @ v @ self.w[f"{name}/attention_output/kernel"][head]
        return y

    def encoder(self, x, name="encoder1"):
        y = self.norm(x, f"{name}_glu")
        y = self.dense(y, f"{name}_glu1")
        x = x + y[:, :D] / (1 + np.exp(-y[:, D:]))
        y = self.norm(x, f"{name}_conv")
        left = np.maximum(self.dense(y, f"{name}_conv_left"), 0)
        left[:, : D // 2] += np.maximum(self.conv(y, f"{name}_conv_right"), 0)
        y = self.separable(
            self.norm(left, f"{name}_conv_sum"), f"{name}_conv_separable", causal=False
        )
        x = x + np.pad(y, ((0, 0), (0, D // 2)))
        y = self.norm(x, f"{name}_attention")
        x = x + self.attend(y, y, f"{name}_attention")
        y = np.maximum(self.dense(self.norm(x, f"{name}_ffn"), f"{name}_ffn1"), 0)
        return self.norm(x + self.dense(y, f"{name}_ffn2"), "encoder")

    def decoder(self, x, memory, name="decoder1"):
        y = self.norm(x, f"{name}_parallel")
        x = x + self.attend(y, y, f"{name}_attention_many", causal=True)
        x = x + self.attend(y, memory, f"{name}_cross_first")
        y = self.norm(x, f"{name}_conv")
        left = np.maximum(self.separable(y, f"{name}_conv_left", causal=True), 0)
        left[:, : D // 2] += self.separable(y, f"{name}_conv_right", causal=True)
        left = self.norm(left, f"{name}_conv_sum")
        x = x + self.separable(left, f"{name}_conv_separable", causal=True)
        y = self.norm(x, f"{name}_attention")
        x = x + self.attend(y, y, f"{name}_attention", causal=True)
        x = x + self.attend(self.norm(x, f"{name}_cross"), memory, f"{name}_cross")
        y = self.dense(self.norm(x, f"{name}_ffn"), f"{name}_ffn1")
        y = self.norm(y / (1 + np.exp(-y)), f"{name}_ffn_hidden")
        return self.norm(x + self.dense(y, f"{name}_ffn2"), "decoder")


def test_logits_are_the_equations(model):
    cells = Equations(model)
    result = run(model, SOURCE, TARGET)
    for source, target, logits in zip(SOURCE, TARGET, result, strict=True):
        memory = cells.encoder(cells.embed(source[source > 0]))
        x = cells.decoder(cells.embed(target), memory)
        np.testing.assert_allclose(logits, x @ cells.w["embedding/embeddings"].T, atol=1e-3)
    assert np.ptp(result) > 3
    assert model.get_layer("decoder1_attention_many").num_heads == 2 * HEADS


def test_padding_changes_no_logit_and_no_step_depends_on_a_later_one(model):
    result = run(model, SOURCE, TARGET)
    longer = run(model, *(np.pad(x, ((0, 0), (0, 4))) for x in (SOURCE, TARGET)))
    np.testing.assert_allclose(longer[:, :12], result, atol=1e-4)
    changed = TARGET.copy()
    changed[:, 8:] = 1 + changed[:, 8:] % (WORDS - 1)
    after = run(model, SOURCE, changed)
    np.testing.assert_allclose(after[:, :8], result[:, :8], rtol=1e-5, atol=1e-5)
    assert np.abs(after[:, 8:] - result[:, 8:]).max() > 0.1


def test_single_steps_keep_three_windows_and_the_caches_and_equal_the_whole_pass(model):
    encoder, step = generation.encoder_and_step(model)
    states = step_models.initial_states(step, 2, length=12)
    sizes = {name.removeprefix("decoder1_"): x.shape[1:] for name, x in states.items()}
    caches = {
        f"{name}_{part}": (12, heads, D // heads)
        for name, heads in (("attention_many", 2 * HEADS), ("attention", HEADS))
        for part in ("keys", "values")
    }
    assert sizes == caches | {
        "conv_left_window": (10, D),
        "conv_right_window": (6, D),
        "conv_separable_window": (6, 2 * D),
        "position": (1,),
    }
    inputs = {**states, **encoder({"source": keras.ops.convert_to_tensor(SOURCE)}, training=False)}
    logits = []
    for column in TARGET.T:
        step_inputs = {"target": column[:, None], **inputs}
        step_inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, step_inputs)
        outputs = step(step_inputs, training=False)
        inputs.update({name: outputs[name] for name in states})
        logits.append(array(outputs["logits"])[:, 0])
    expected = run(model, SOURCE, TARGET)
    np.testing.assert_allclose(np.stack(logits, axis=1), expected, atol=1e-4)


def test_more_than_sixteen_heads_are_never_used():
    model = evolved_transformer(**{**SMALL, "d_model": 48, "heads": 12})
    assert model.get_layer("decoder1_attention_many").num_heads == 16
    with pytest.raises(ValueError, match="d_model=7"):
        evolved_transformer(**{**SMALL, "d_model": 7})
