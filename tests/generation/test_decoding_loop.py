"""Translation by greedy decoding, sampling and beam search, against the whole model and all possible texts."""

import itertools

import keras
import numpy as np
import pytest

from kapps import families
from kapps.generation import samplers, step_models, text_generation

START, END = 1, 2
SOURCE = np.array([[3, 4, 5, 6], [7, 2, 3, 0], [5, 0, 0, 0]])


def array(x):
    return keras.ops.convert_to_numpy(x)


@pytest.fixture(scope="module", params=["transformer", "recurrent"])
def model(request):
    keras.utils.set_random_seed(5)
    if request.param == "transformer":
        model = families.transformer(
            vocabulary=6, source_vocabulary=8, layers=1, d_model=8, ffn=16, heads=2
        )
    else:
        model = families.encoder_decoder(vocabulary=6, source_vocabulary=8, embedding=5, units=6)
    for variable in model.trainable_variables:
        variable.assign(variable * 3)
    return model


@pytest.fixture(scope="module")
def both(model):
    return step_models.encoder_and_step(model)


def scores(model, source, tokens):
    """log P of log_p next token after [start, *tokens], by the whole model."""
    result = array(model([source[source > 0][None], np.array([[START, *tokens]])]))[0].astype(
        "float64"
    )
    return np.log(result[:, 1:] / result[:, 1:].sum(-1, keepdims=True))


def test_greedy_decoding_equals_the_whole_model(model, both):
    result = text_generation.translate(both, SOURCE, start=START, end=END, steps=6, beam=None)
    np.testing.assert_array_equal(
        result, text_generation.translate(both, SOURCE, start=START, end=END, steps=6, beam=1)
    )
    for source, row in zip(SOURCE, result, strict=True):
        tokens = []
        while len(tokens) < 6:
            tokens.append(1 + int(scores(model, source, tokens)[-1].argmax()))
            if tokens[-1] == END:
                tokens.pop()
                break
        assert row.tolist() == tokens + [0] * (6 - len(tokens))


@pytest.mark.long
@pytest.mark.parametrize("penalty, alpha", [("length", 0.75), ("wu", 0.6)])
def test_a_wide_beam_finds_the_best_of_all(model, both, penalty, alpha):
    """Of all texts of up to three tokens, ended or as long as allowed, log_p source of the batch its own."""
    writer = text_generation.translator(
        both, end=END, beam=30, length_penalty=alpha, penalty=penalty
    )
    result = text_generation.translate(writer, SOURCE, start=START, end=END, steps=3)
    words = [token for token in range(1, 6) if token != END]
    texts = np.array(list(itertools.product(words, repeat=3)))
    starts = np.pad(texts[:, :2], ((0, 0), (1, 0)), constant_values=START)
    for source, row in zip(SOURCE, result, strict=True):
        read = np.tile(source[source > 0], (len(texts), 1))
        every = array(model([read, starts])).astype("float64")[..., 1:]
        every = np.log(every / every.sum(-1, keepdims=True))
        ranked = {}
        for tokens, log_p in zip(texts.tolist(), every, strict=True):
            for n in range(4):
                whole = [*tokens[:n], END][:3]
                total = sum(log_p[i, token - 1] for i, token in enumerate(whole))
                ranked[tuple(tokens[:n])] = total / samplers.PENALTIES[penalty](len(whole), alpha)
        best = max(ranked, key=ranked.get)
        assert tuple(row[row > 0]) == best


@pytest.mark.long
def test_the_default_limit_is_the_papers(both):
    """50 tokens more than each source has."""
    writer = text_generation.translator(both, end=99, beam=2)
    result = text_generation.translate(writer, SOURCE, start=START, end=99)
    assert (result > 0).sum(axis=1).tolist() == [54, 53, 51]


@pytest.mark.long
def test_samples_follow_the_probabilities(model, both):
    source = np.tile(SOURCE[:1], (3000, 1))
    result = text_generation.translate(
        both, source, start=START, end=END, steps=1, beam=None, temperature=2.0, top_k=3, seed=0
    )
    fractions = np.bincount(np.where(result[:, 0] == 0, END, result[:, 0]), minlength=6)[1:] / len(
        source
    )
    expected = np.exp(scores(model, SOURCE[0], [])[0] / 2)
    expected[np.argsort(expected)[:-3]] = 0
    np.testing.assert_allclose(fractions, expected / expected.sum(), atol=0.03)


def test_errors_name_what_is_too_long_or_wrong(model):
    fixed = step_models.encoder_and_step(model, length=4, source_length=3)
    if "decoder1_attention_keys" in fixed.step.input:
        with pytest.raises(ValueError, match=r"at most 4 tokens.* 5 are needed"):
            text_generation.translate(fixed, SOURCE[1:], start=START, end=END, steps=5)
    with pytest.raises(ValueError, match="the encoder reads 3 tokens, but a source has 4"):
        text_generation.translate(fixed, SOURCE, start=START, end=END, steps=4)
    assert text_generation.translate(fixed, SOURCE[1:], start=START, end=END, steps=4).shape == (
        2,
        4,
    )
    for wrong in (dict(beam=0), dict(penalty="none"), dict(beam=None, top_k=0)):
        with pytest.raises(ValueError):
            text_generation.translator(model, end=END, **wrong)
