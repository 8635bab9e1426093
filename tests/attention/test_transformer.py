"""The Transformer: the papers' sizes, its equations in NumPy, PyTorch's, padding, causality, precision, files."""

import math

import keras
import numpy as np
import pytest

from kapps import (
    attention_weights,
    transformer_base,
    transformer_big,
    transformer_iwslt,
    transformer_tiny,
)
from kapps.families import transformer, transformer_decoder, transformer_encoder

VOCABULARY, D, HEADS = 13, 8, 2
SMALL = dict(vocabulary=VOCABULARY, layers=2, d_model=D, ffn=12, heads=HEADS, dropout=0.0)
LOGITS = dict(SMALL, classifier_activation=None)
RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.integers(1, VOCABULARY, (3, 7)).astype("int32")
TARGET = RANDOM.integers(1, VOCABULARY, (3, 5)).astype("int32")
SOURCE[0, 4:] = TARGET[0, 3:] = SOURCE[1, 6:] = 0


def array(x):
    return keras.ops.convert_to_numpy(x)


def run(model, *inputs):
    return array(model(list(inputs) if len(inputs) > 1 else inputs[0], training=False))


def build(**options):
    """A small model of logits with random weights, biases and norms included."""
    return randomise(transformer(**{**LOGITS, **options}))


def randomise(model):
    random = np.random.default_rng(2)
    for variable in model.weights:
        variable.assign(
            random.normal(1.0 if variable.name == "gamma" else 0.0, 0.4, variable.shape)
        )
    return model


def pair(d_model, ffn, attention_bias=0):
    """Parameters of a layer of the encoder and one of the decoder: W^Q, W^K, W^V, W^O, the two dense, the norms."""
    attends = 4 * d_model * (d_model + attention_bias)
    dense = 2 * d_model * ffn + ffn + d_model
    return attends + dense + 2 * 2 * d_model + 2 * attends + dense + 3 * 2 * d_model


# Table 3 of Vaswani 2017: N, d_model, d_ff and millions of parameters, of models that share one vocabulary.
TABLE = [
    (6, 512, 2048, 65), (2, 512, 2048, 36), (4, 512, 2048, 50), (8, 512, 2048, 80), (6, 256, 2048, 28),
    (6, 1024, 2048, 168), (6, 512, 1024, 53), (6, 512, 4096, 90),
]  # fmt: skip


def test_parameters_are_the_papers():
    """The paper has "about" 37,000 tokens, for which base has 63.0M parameters and big 214.2M; it prints 65M and 213M.

    With 41,000 tokens, base and all rows of Table 3 have the printed millions, to the last digit.
    """
    assert transformer_base.card.params == 6 * pair(512, 2048) + 37_000 * 512 == 63_045_632
    assert transformer_big.card.params == 6 * pair(1024, 4096) + 37_000 * 1024 == 214_171_648
    words = (8_848 + 6_632) * 512  # of German, and of English in the decoder and before the softmax
    assert transformer_iwslt.card.params == 6 * pair(512, 1024, 1) + words == 39_469_056
    assert transformer_tiny.card.params == 4 * pair(128, 256, 1) + 10_000 * 128 == 2_605_056
    for n, d_model, ffn, printed in TABLE:
        assert n * pair(d_model, ffn) + 41_000 * d_model == pytest.approx(printed * 1e6, abs=0.51e6)
    base, tiny = transformer_base(vocabulary=50), transformer_tiny(vocabulary=50)
    assert base.count_params() == 6 * pair(512, 2048) + 50 * 512
    assert tiny.count_params() == 4 * pair(128, 256, 1) + 50 * 128


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def norm(x, w, name):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * w[f"{name}/gamma"] + w[f"{name}/beta"]


def multi_head(x, memory, w, name, causal):
    """MultiHead(Q, K, V) of one sequence, for each head, with Keras's weights of all heads."""
    y = 0
    for i in range(HEADS):
        q, k, v = (
            inputs @ w[f"{name}/{part}/kernel"][:, i] + w[f"{name}/{part}/bias"][i]
            for part, inputs in (("query", x), ("key", memory), ("value", memory))
        )
        scores = q @ k.T / np.sqrt(D // HEADS)
        if causal:
            scores[np.triu_indices(len(x), 1)] = -np.inf
        y += softmax(scores) @ v @ w[f"{name}/attention_output/kernel"][i]
    return y + w[f"{name}/attention_output/bias"]


def embedded(tokens, w):
    pos, i = np.arange(len(tokens))[:, None], np.arange(D) // 2
    angles = pos / 10000 ** (2 * i / D)
    return w["embedding/embeddings"][tokens] * np.sqrt(D) + np.where(
        np.arange(D) % 2, np.cos(angles), np.sin(angles)
    )


def part(y, memory, w, name, kind):
    """The output of one part of a layer."""
    if kind == "ffn":
        return dense(np.maximum(dense(y, w, f"{name}_ffn1"), 0), w, f"{name}_ffn2")
    causal = kind == "attention" and name.startswith("decoder")
    return multi_head(y, memory if kind == "cross" else y, w, f"{name}_{kind}", causal)


def stacked(x, memory, w, name, norm_first):
    kinds = ("attention", "ffn") if memory is None else ("attention", "cross", "ffn")
    for layer in (f"{name}1", f"{name}2"):
        for kind in kinds:
            last = f"{layer}_{kind}_norm"
            if norm_first:
                x = x + part(norm(x, w, last), memory, w, layer, kind)
            else:
                x = norm(x + part(x, memory, w, layer, kind), w, last)
    return norm(x, w, f"{name}_norm") if norm_first else x


def dense(x, w, name):
    return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]


@pytest.mark.parametrize("norm_first", [False, True])
def test_logits_are_the_equations(norm_first):
    model = build(norm_first=norm_first)
    w = {v.path: array(v).astype("float64") for v in model.weights}
    result = run(model, SOURCE, TARGET)
    for i, (source, target) in enumerate(zip(SOURCE, TARGET, strict=True)):
        source, target = source[source > 0], target[target > 0]
        memory = stacked(embedded(source, w), None, w, "encoder", norm_first)
        x = stacked(embedded(target, w), memory, w, "decoder", norm_first)
        expected = x @ w["embedding/embeddings"].T
        np.testing.assert_allclose(result[i, : len(target)], expected, atol=1e-4)
    assert result.shape == (3, 5, VOCABULARY) and np.ptp(result) > 3


@pytest.mark.peers
@pytest.mark.parametrize("norm_first", [False, True])
def test_logits_are_pytorchs(norm_first):
    import torch

    model = build(norm_first=norm_first)
    w = {v.path: torch.tensor(array(v)) for v in model.weights}
    options = dict(
        dim_feedforward=12,
        dropout=0.0,
        batch_first=True,
        norm_first=norm_first,
        layer_norm_eps=1e-6,
    )
    kinds = torch.nn.TransformerEncoderLayer, torch.nn.TransformerDecoderLayer
    parts = []
    for kind, stack, name in zip(
        kinds, (torch.nn.TransformerEncoder, torch.nn.TransformerDecoder), ("encoder", "decoder"),
        strict=True,
    ):  # fmt: skip
        last = torch.nn.LayerNorm(D, eps=1e-6) if norm_first else None
        more = {"enable_nested_tensor": False} if name == "encoder" else {}
        parts.append(stack(kind(D, HEADS, **options), 2, last, **more))
    theirs = torch.nn.Transformer(
        D, HEADS, custom_encoder=parts[0], custom_decoder=parts[1], **options
    ).eval()
    theirs.load_state_dict(state(w, norm_first))
    scale, pad = math.sqrt(D), torch.nn.Transformer.generate_square_subsequent_mask(5)
    embeddings = w["embedding/embeddings"]
    encodings = {
        len(tokens[0]): torch.tensor(
            embedded(np.zeros(len(tokens[0]), int), _no_embedding(w))
        ).float()
        for tokens in (SOURCE, TARGET)
    }
    x, y = (
        embeddings[torch.tensor(tokens).long()] * scale + encodings[tokens.shape[1]]
        for tokens in (SOURCE, TARGET)
    )
    hidden = torch.tensor(SOURCE == 0)
    with torch.no_grad():
        logits = theirs(
            x, y, tgt_mask=pad, tgt_is_causal=True, src_key_padding_mask=hidden, memory_key_padding_mask=hidden
        ) @ embeddings.T  # fmt: skip
    is_token = TARGET > 0
    np.testing.assert_allclose(
        run(model, SOURCE, TARGET)[is_token], logits.numpy()[is_token], atol=1e-4
    )
    ours = sum(v.numel() for v in w.values()) - embeddings.numel()
    assert ours == sum(p.numel() for p in theirs.parameters())


def _no_embedding(w):
    return {"embedding/embeddings": np.zeros(w["embedding/embeddings"].shape)}


def state(w, norm_first):
    """Returns Keras's weights under PyTorch's names: transposed matrices, and query, key and value in one."""
    import torch

    result = {}
    names = {"attention": "self_attn", "cross": "multihead_attn"}
    norms = {"encoder": ("attention", "ffn"), "decoder": ("attention", "cross", "ffn")}
    for side, parts in norms.items():
        for i in (1, 2):
            here, there = f"{side}{i}_", f"{side}.layers.{i - 1}."
            for j, part in enumerate(parts, start=1):
                for ours, theirs in (("gamma", "weight"), ("beta", "bias")):
                    result[f"{there}norm{j}.{theirs}"] = w[f"{here}{part}_norm/{ours}"]
                if part == "ffn":
                    for k in (1, 2):
                        result[f"{there}linear{k}.weight"] = w[f"{here}ffn{k}/kernel"].T
                        result[f"{there}linear{k}.bias"] = w[f"{here}ffn{k}/bias"]
                    continue
                three = [f"{here}{part}/{projection}/" for projection in ("query", "key", "value")]
                name = there + names[part]
                result[f"{name}.in_proj_weight"] = torch.cat(
                    [w[f"{path}kernel"].reshape(D, D).T for path in three]
                )
                result[f"{name}.in_proj_bias"] = torch.cat(
                    [w[f"{path}bias"].reshape(D) for path in three]
                )
                last = f"{here}{part}/attention_output/"
                result[f"{name}.out_proj.weight"] = w[f"{last}kernel"].reshape(D, D).T
                result[f"{name}.out_proj.bias"] = w[f"{last}bias"]
        if norm_first:
            result[f"{side}.norm.weight"] = w[f"{side}_norm/gamma"]
            result[f"{side}.norm.bias"] = w[f"{side}_norm/beta"]
    return result


@pytest.mark.parametrize("options", [{}, {"norm_first": True, "chunk": 2}, {"positions": 20}])
def test_padding_changes_no_logit_and_no_step_depends_on_a_later_one(options):
    model = build(**options)
    result = run(model, SOURCE, TARGET)
    longer = run(model, *(np.pad(x, ((0, 0), (0, 4))) for x in (SOURCE, TARGET)))
    first_row = run(model, SOURCE[:1, :4], TARGET[:1, :3])
    is_token = TARGET > 0
    np.testing.assert_allclose(longer[:, :5][is_token], result[is_token], atol=1e-4)
    np.testing.assert_allclose(result[0, :3], first_row[0], atol=1e-4)
    changed = TARGET.copy()
    changed[1:, 3:] = 1 + changed[1:, 3:] % (VOCABULARY - 1)
    after = run(model, SOURCE, changed)
    np.testing.assert_allclose(after[1:, :3], result[1:, :3], rtol=1e-5, atol=1e-5)
    assert np.abs(after[1:, 3:] - result[1:, 3:]).max() > 0.1


def test_the_decoder_is_causal_and_the_encoder_is_not():
    tokens, changed = TARGET[1:], TARGET[1:].copy()
    changed[:, 3:] = 1 + changed[:, 3:] % (VOCABULARY - 1)
    decoder, encoder = (
        randomise(transformer_decoder(**LOGITS)),
        randomise(transformer_encoder(**LOGITS)),
    )
    moved = [np.abs(run(m, tokens) - run(m, changed))[:, :3].max() for m in (decoder, encoder)]
    assert moved[0] < 1e-5 and moved[1] > 0.1
    padded = np.pad(tokens, ((0, 0), (0, 3)))
    for model in (decoder, encoder):
        np.testing.assert_allclose(run(model, padded)[:, :5], run(model, tokens), atol=1e-4)
    vectors = transformer_encoder(include_top=False, pooling="avg", **SMALL)
    np.testing.assert_allclose(run(vectors, padded), run(vectors, tokens), rtol=1e-5, atol=1e-5)
    assert vectors.output_shape == (None, D)


def test_one_matrix_or_three():
    size = VOCABULARY * D
    whole = transformer(**SMALL).count_params()
    assert transformer(tied=False, **SMALL).count_params() == whole + 2 * size + VOCABULARY
    model = transformer(source_vocabulary=20, **SMALL)
    assert model.count_params() == whole + 20 * D
    names = [layer.name for layer in transformer(**SMALL).layers]
    assert names[-2:] == ["head_logits", "predictions"] and "embedding" in names
    np.testing.assert_allclose(
        run(transformer(**SMALL), SOURCE, TARGET).sum(-1), 1, rtol=1e-5, atol=1e-5
    )


def test_half_precision_with_long_masks_has_no_nan():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy("float32")
    source, target = np.pad(SOURCE, ((0, 0), (0, 60))), np.pad(TARGET, ((0, 0), (0, 60)))
    source[2] = 0
    result = run(model, source, target)
    assert np.isfinite(result).all() and str(result.dtype) == "float32"
    exact = run(build(), SOURCE, TARGET)
    np.testing.assert_allclose(result[:2, :5][TARGET[:2] > 0], exact[:2][TARGET[:2] > 0], atol=0.1)


def test_files_and_copies_are_the_same(tmp_path):
    model = build(positions=9)
    expected = run(model, SOURCE, TARGET)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for other in (loaded, copy):
        np.testing.assert_allclose(run(other, SOURCE, TARGET), expected, atol=1e-6)
        assert other.count_params() == model.count_params()


def test_attention_weights_are_distributions_over_the_source():
    model = build()
    result = attention_weights(model, [SOURCE, TARGET], cross_only=True)
    assert list(result) == ["decoder1_cross", "decoder2_cross"]
    for weights in result.values():
        assert weights.shape == (3, HEADS, 5, 7) and weights.dtype == np.float32
        sums = np.repeat((TARGET > 0)[:, None], HEADS, axis=1)
        np.testing.assert_allclose(weights.sum(axis=-1), sums, rtol=1e-5, atol=1e-5)
        assert not weights[0, :, :, 4:].any() and weights[1].std() > 0.05
    everything = attention_weights(model, [SOURCE, TARGET])
    assert len(everything) == 6 and everything["encoder2_attention"].shape == (3, HEADS, 7, 7)
    above = np.triu_indices(5, 1)
    assert not everything["decoder1_attention"][:, :, *above].any()
    with pytest.raises(ValueError, match="no layer that attends from a target to a source"):
        attention_weights(transformer_decoder(**SMALL), TARGET, cross_only=True)


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(heads=3), ["heads=3", "d_model=8"]),
        (dict(classes=4), ["classes=4", "classes=13", "tied=False"]),
        (dict(positions=3, input_shape=(5,)), ["5", "3"]),
        (dict(chunk=0), ["chunk", "0"]),
    ],
)
def test_errors_name_what_is_allowed(options, words):
    with pytest.raises(ValueError) as error:
        transformer(**{**SMALL, **options})
    assert all(word in str(error.value) for word in words)
