"""Gated convolutional language models: the equations in NumPy, the sizes of fairseq's networks, and decoding."""

import keras
import numpy as np
import pytest

import kapps
from kapps import generation
from kapps.families import gated_conv_lm
from kapps.generation import step_models
from kapps.recurrent.gated_conv_lm import GCNN_13, GCNN_14, GCNN_14B, bottleneck

ROWS = ((6, 3, 1), *bottleneck(4, 6), (8, 2, 1), (8, 1, 0))
SMALL = dict(vocabulary=13, embedding=5, convolutions=ROWS, dropout=0.0)
TOKENS = np.random.default_rng(0).integers(1, 13, (2, 12)).astype("int32")


def array(x):
    return keras.ops.convert_to_numpy(x)


def build(**options):
    """A small model of logits with random weights."""
    model = gated_conv_lm(**{**SMALL, "classifier_activation": None, **options})
    random = np.random.default_rng(1)
    model.set_weights([random.normal(0, 0.7, w.shape) for w in model.get_weights()])
    return model


def weight_norm(model, name, x):
    """A causal convolution of one sequence with w = g v / ||v||."""
    v, b, g = model.get_layer(name).get_weights()
    w = v * g / np.sqrt((v**2).sum(axis=(0, 1)))
    x = np.pad(x, ((len(w) - 1, 0), (0, 0)))
    return sum(x[k : k + len(x) - len(w) + 1] @ w[k] for k in range(len(w))) + b


def test_logits_are_the_equations():
    model = build()
    for tokens, logits in zip(TOKENS, array(model(TOKENS)), strict=True):
        x = model.get_layer("embedding").get_weights()[0][tokens].astype("float64")
        inputs = [weight_norm(model, "embedding_product", x)]
        for i, (filters, _, residual) in enumerate(ROWS, start=1):
            y = weight_norm(model, f"layer{i}_conv", inputs[-1])
            y = y[:, :filters] / (1 + np.exp(-y[:, filters:]))
            if residual:
                x = inputs[-residual]
                if x.shape[-1] != filters:
                    x = weight_norm(model, f"layer{i}_shortcut", x)
                y = (x + y) * np.sqrt(0.5)
            inputs.append(y)
        w, b = model.get_layer("head_logits").get_weights()
        np.testing.assert_allclose(logits, inputs[-1] @ w + b, atol=1e-4)


def body(convolutions, embedding):
    """Parameters of the convolutions and products: directions, gains and biases."""
    widths, total = [convolutions[0][0]], embedding * convolutions[0][0] + 2 * convolutions[0][0]
    for filters, k, residual in convolutions:
        total += k * widths[-1] * 2 * filters + 4 * filters
        if residual and widths[-residual] != filters:
            total += widths[-residual] * filters + 2 * filters
        widths.append(filters)
    return total


def softmax(d, words, cutoffs):
    """Parameters of the adaptive softmax."""
    sizes = [end - start for start, end in zip(cutoffs, (*cutoffs[1:], words), strict=True)]
    clusters = ((d // 4**i, size) for i, size in enumerate(sizes, start=1))
    return d * (cutoffs[0] + len(cutoffs)) + sum(
        d * width + width * size for width, size in clusters
    )


def test_parameters_are_those_of_fairseqs_networks():
    product = 280 * 850 + 2 * 850
    assert body(GCNN_14, 280) - product == 101_907_200
    assert softmax(2048, 267_744, (10_000, 20_000, 200_000)) == 52_190_208
    rows = {
        "gcnn14_wikitext103": (GCNN_14, 280, 267_744, (10_000, 20_000, 200_000)),
        "gcnn14b_billion_word": (GCNN_14B, 128, 793_472, (10_000, 50_000, 200_000)),
        "gcnn13_billion_word": (GCNN_13, 128, 793_472, (10_000, 50_000, 200_000)),
    }
    for name, (convolutions, embedding, words, cutoffs) in rows.items():
        head = softmax(convolutions[-1][0], words, cutoffs)
        assert kapps.card(name).params == words * embedding + body(convolutions, embedding) + head
    assert build().count_params() == 13 * 5 + body(ROWS, 5) + (8 + 1) * 13


def test_padding_changes_nothing_and_no_step_reads_a_later_one():
    model = build()
    logits = array(model(TOKENS))
    padded = np.pad(TOKENS, ((0, 0), (0, 4)))
    np.testing.assert_allclose(array(model(padded))[:, :12], logits, atol=1e-4)
    changed = TOKENS.copy()
    changed[:, 7:] = 1 + changed[:, 7:] % 12
    after = array(model(changed))
    np.testing.assert_allclose(after[:, :7], logits[:, :7], rtol=1e-5, atol=1e-5)
    assert np.abs(after[:, 7:] - logits[:, 7:]).max() > 0.1


def test_single_steps_keep_k_minus_1_inputs_and_equal_the_whole_pass():
    model = build()
    step = generation.step_model(model)
    states = step_models.initial_states(step, 2)
    assert {name: x.shape[1:] for name, x in states.items()} == {
        "layer1_conv_window": (2, 6),
        "layer3_conv_window": (4, 4),
        "layer5_conv_window": (1, 6),
    }
    logits = []
    for column in TOKENS.T:
        inputs = {"tokens": column[:, None], **states}
        inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
        outputs = step(inputs, training=False)
        states = {name: outputs[name] for name in states}
        logits.append(array(outputs["logits"])[:, 0])
    np.testing.assert_allclose(np.stack(logits, axis=1), array(model(TOKENS)), rtol=1e-5, atol=1e-5)


def test_an_adaptive_softmax_decodes():
    body = build(include_top=False, classifier_activation="softmax")
    y = kapps.heads.adaptive_softmax(body.output, 13, "softmax", cutoffs=(4, 9), div_value=2.0)
    model = keras.Model(body.input, y, name="net")
    np.testing.assert_allclose(array(model(TOKENS)).sum(axis=-1), 1, rtol=1e-5, atol=1e-5)
    step = generation.step_model(model)
    states = step_models.initial_states(step, 2)
    for column in TOKENS.T:
        inputs = {"tokens": column[:, None], **states}
        inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
        outputs = step(inputs, training=False)
        states = {name: outputs[name] for name in states}
    expected = np.log(array(model(TOKENS))[:, -1])
    np.testing.assert_allclose(array(outputs["logits"])[:, 0], expected, atol=1e-4)


@pytest.mark.parametrize(
    "convolutions, words",
    [
        (((6, 3, 2),), ["row 1", "(6, 3, 2)"]),
        (((6, 3),), ["row 1", "(6, 3)"]),
        ((), ["convolutions"]),
    ],
)
def test_errors_name_the_row(convolutions, words):
    with pytest.raises(ValueError) as error:
        gated_conv_lm(**{**SMALL, "convolutions": convolutions})
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)
