"""Lightweight and dynamic convolutions in the Transformer: the published sizes, the sub-layer, and decoding."""

import keras
import numpy as np
import pytest

import kapps
from kapps import generation
from kapps.families import lightconv
from kapps.generation import step_models

ENCODER, DECODER = (3, 7, 15, 31, 31, 31, 31), (3, 7, 15, 31, 31, 31)
SMALL = dict(
    vocabulary=13, encoder_kernels=(3, 5), decoder_kernels=(3, 4), d_model=8, ffn=12, heads=2, dropout=0.0,
    kernel_dropout=0.0, classifier_activation=None,
)  # fmt: skip
RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.integers(1, 13, (3, 7)).astype("int32")
TARGET = RANDOM.integers(1, 13, (3, 6)).astype("int32")
SOURCE[0, 4:] = 0


def array(x):
    return keras.ops.convert_to_numpy(x)


def build(**options):
    """A small model with random weights."""
    model = lightconv(**{**SMALL, **options})
    random = np.random.default_rng(2)
    for variable in model.weights:
        scale = 1.0 if variable.name == "gamma" else 0.0
        variable.assign(random.normal(scale, 0.4, variable.shape))
    return model


def count(d, ffn, heads, words, dynamic, glu, encoder=ENCODER, decoder=DECODER):
    """Parameters of the dense layers, the kernels, the feed-forward networks, the norms and the cross-attention."""
    around = d * d * (2 if glu else 1) + d * (2 if glu else 1) + d * d + d
    layer = around + 2 * d * ffn + ffn + d + 2 * 2 * d
    kernels = heads * (sum(encoder) + sum(decoder)) * (d if dynamic else 1)
    cross = 4 * (d * d + d) + 2 * d
    return len(encoder) * layer + len(decoder) * (layer + cross) + kernels + words * d


def params(name):
    return kapps.card(name).params


def test_parameters_are_the_papers():
    """[1] prints 213M for the dynamic network; without gated linear units, 200M and 195M."""
    for dynamic, name in ((False, "lightconv"), (True, "dynamicconv")):
        assert params(f"{name}_big") == count(1024, 4096, 16, 32_768, dynamic, True)
        assert params(f"{name}_base") == count(512, 2048, 8, 32_768, dynamic, True)
        assert params(f"{name}_iwslt") == count(512, 1024, 4, 8_848 + 6_632, dynamic, False)
        for glu in (True, False):
            model = lightconv(**{**SMALL, "dynamic": dynamic, "glu": glu})
            expected = count(8, 12, 2, 13, dynamic, glu, (3, 5), (3, 4))
            assert model.count_params() == expected
    assert round(params("dynamicconv_big") / 1e6) == 213
    assert count(1024, 4096, 16, 32_768, True, False) == 199_592_960
    assert count(1024, 4096, 16, 32_768, False, False) == 195_222_704


@pytest.mark.parametrize("glu", [True, False])
def test_the_part_before_the_feed_forward_network_is_the_equation(glu):
    model = build(glu=glu)
    before = model.get_layer("encoder1_attention1")
    after = model.get_layer("encoder1_attention2")
    part = keras.Model(before.input, after.output)
    x = RANDOM.normal(size=(1, 7, 8)).astype("float32")
    w, b = (array(v) for v in before.weights)
    y = x[0] @ w + b
    if glu:
        y = y[:, :8] / (1 + np.exp(-y[:, 8:]))
    kernel = np.exp(array(model.get_layer("encoder1_attention_conv").kernel))
    kernel = np.repeat(kernel / kernel.sum(axis=1, keepdims=True), 4, axis=0)
    y = np.pad(y, ((1, 1), (0, 0)))
    y = sum(kernel[:, k] * y[k : k + 7] for k in range(3))
    w, b = (array(v) for v in after.weights)
    np.testing.assert_allclose(array(part(x))[0], y @ w + b, atol=1e-4)


@pytest.mark.parametrize("dynamic", [False, True])
def test_single_steps_equal_the_whole_pass_and_keep_k_minus_1_inputs(dynamic):
    model = build(dynamic=dynamic)
    encoder, step = generation.encoder_and_step(model)
    states = step_models.initial_states(step, 3)
    sizes = {name: x.shape for name, x in states.items()}
    assert sizes == {
        "decoder1_attention_conv_window": (3, 2, 8),
        "decoder2_attention_conv_window": (3, 3, 8),
        "position": (3, 1),
    }
    inputs = {**states, **encoder({"source": keras.ops.convert_to_tensor(SOURCE)}, training=False)}
    logits = []
    for column in TARGET.T:
        step_inputs = {"target": column[:, None], **inputs}
        step_inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, step_inputs)
        outputs = step(step_inputs, training=False)
        inputs.update({name: outputs[name] for name in states})
        logits.append(array(outputs["logits"])[:, 0])
    expected = array(model([SOURCE, TARGET], training=False))
    np.testing.assert_allclose(np.stack(logits, axis=1), expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(expected) > 1


@pytest.mark.long
def test_generated_tokens_are_the_most_likely():
    model = build()
    greedy = kapps.translate(model, SOURCE[1:], start=1, end=2, steps=4, beam=None)
    for source, tokens in zip(SOURCE[1:], greedy, strict=True):
        target = [1]
        for token in tokens[tokens > 0]:
            logits = array(model([source[None], np.array([target])]))[0, -1]
            assert token == 1 + np.argmax(logits[1:])  # padding is never generated
            target.append(int(token))
        assert len(target) == 5 or logits_end(model, source, target) == 2


def logits_end(model, source, target):
    """Returns the most likely token after a target."""
    return 1 + np.argmax(array(model([source[None], np.array([target])]))[0, -1, 1:])
