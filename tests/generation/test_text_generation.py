"""Text generation against the whole model, and beam search against all continuations."""

import itertools
import math

import keras
import numpy as np
import pytest

from kapps import families
from kapps.generation import samplers, step_models, text_generation

SIZE = 9


@pytest.fixture(scope="module")
def model():
    """A language model with weights so large that its probabilities differ."""
    keras.utils.set_random_seed(3)
    model = families.rnn_lm(units=(7, 6), embedding=5, vocabulary=SIZE)
    for variable in model.trainable_variables:
        variable.assign(variable * 4)
    return model


def log_probabilities(model, tokens):
    """log P of the next token by the whole model, without padding and the unknown token."""
    result = keras.ops.convert_to_numpy(model(np.array([tokens]))).astype("float64")[0, -1, 2:]
    return np.log(result / result.sum())


def test_greedy_decoding_equals_the_whole_model(model):
    prompts = np.array([[3, 4, 2], [5, 0, 0], [6, 7, 0]])
    result = text_generation.generate(model, prompts, 12, temperature=0)
    for prompt, row in zip(prompts, result, strict=True):
        tokens = prompt[prompt > 0].tolist()
        for token in row:
            assert token == np.argmax(log_probabilities(model, tokens)) + 2
            tokens.append(token)
    first = text_generation.generate(step_models.step_model(model), [3, 4, 2], 12, temperature=0)
    np.testing.assert_array_equal(first, result[:1])


@pytest.mark.long
def test_samples_follow_the_probabilities(model):
    prompt = np.tile([3, 4], (4000, 1))
    for temperature, top_k in ((1.0, None), (0.5, None), (2.0, 3)):
        tokens = text_generation.generate(
            model, prompt, 1, temperature=temperature, top_k=top_k, seed=0
        )
        fractions = np.bincount(tokens[:, 0], minlength=SIZE)[2:] / 4000
        expected = np.exp(log_probabilities(model, [3, 4]) / temperature)
        if top_k:
            expected[np.argsort(expected)[:-top_k]] = 0
            assert (fractions > 0).sum() <= top_k
        np.testing.assert_allclose(fractions, expected / expected.sum(), atol=0.03)


@pytest.mark.long
def test_a_seed_repeats(model):
    options = dict(prompt=[3], length=20, temperature=3.0)
    one, same, other = (text_generation.generate(model, **options, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert one.min() > 1, "neither padding nor the unknown token"


@pytest.mark.long
def test_a_beam_of_all_texts_finds_the_best(model):
    second = {token: log_probabilities(model, [3, 4, token]) for token in range(2, SIZE)}
    start = log_probabilities(model, [3, 4])

    def score(tokens):
        if len(tokens) == 2:
            return start[tokens[0] - 2] + second[tokens[0]][tokens[1] - 2]
        return sum(
            log_probabilities(model, [3, 4, *tokens[:i]])[token - 2]
            for i, token in enumerate(tokens)
        )

    best = max(itertools.product(range(2, SIZE), repeat=2), key=score)
    result = text_generation.generate(model, [3, 4], 2, beam=SIZE**2)
    assert tuple(result[0]) == best
    greedy = text_generation.generate(model, [3, 4], 8, temperature=0)
    np.testing.assert_array_equal(text_generation.generate(model, [3, 4], 8, beam=1), greedy)
    wide = text_generation.generate(model, [3, 4], 8, beam=4)
    assert score(wide[0]) >= score(greedy[0]) - 1e-9


def test_outputs_without_a_logits_layer_allow_greedy_decoding_only(model):
    probabilities = keras.layers.Dense(SIZE, "softmax")(model.get_layer("head_logits").input)
    unnamed = keras.Model(model.input, probabilities)
    result = text_generation.generate(unnamed, [3], 4, temperature=0)
    tokens = [3]
    for token in result[0]:
        scores = keras.ops.convert_to_numpy(unnamed(np.array([tokens])))
        assert token == np.argmax(scores[0, -1, 2:]) + 2
        tokens.append(token)
    for options in (dict(temperature=0.5), dict(beam=2)):
        with pytest.raises(ValueError, match="head_logits"):
            text_generation.generate(unnamed, [3], 4, **options)


@pytest.mark.long
def test_texts_finish(model):
    free = text_generation.generate(model, [3, 4], 8, temperature=0)[0]
    end = int(free[2])
    first = free.tolist().index(end)
    result = text_generation.generate(model, [3, 4], 8, temperature=0, end=end)[0]
    np.testing.assert_array_equal(result[: first + 1], free[: first + 1])
    assert not result[first + 1 :].any()
    # With alpha = 0, log P decides; it only falls with each token, so a short text is never worse.
    early = text_generation.generate(model, [3, 4], 8, beam=4, end=end, length_penalty=0)[0]
    late = text_generation.generate(model, [3, 4], 8, beam=4, end=end, length_penalty=3)[0]
    assert (early > 0).sum() <= (late > 0).sum()


def test_length_penalties_by_hand():
    """log P / L**alpha of two tokens with log P = -1.0, of four with -1.5; Wu's penalty of 7 tokens is 2**alpha."""
    length, wu = samplers.length_penalty, samplers.wu_penalty
    assert -1.0 / length(2.0, 0) > -1.5 / length(4.0, 0)
    assert length(2.0, 0.75) == pytest.approx(2**0.75)
    assert -1.5 / length(4.0, 0.75) > -1.0 / length(2.0, 0.75)
    assert math.isclose(-1.5 / length(4.0, 1), -0.375)
    assert wu(1.0, 0.6) == 1 and wu(7.0, 0.6) == pytest.approx(2**0.6)


def test_values_outside_their_ranges(model):
    for options in (
        dict(prompt=[], length=3),
        dict(prompt=[0, 3], length=3),
        dict(prompt=[3], length=0),
        dict(prompt=[3], length=3, temperature=-1),
        dict(prompt=[3], length=3, beam=0),
    ):
        with pytest.raises(ValueError):
            text_generation.generate(model, **options)


LIMITED = dict(layers=1, d_model=8, ffn=8, heads=2, vocabulary=SIZE)
"""Options of the models below, which read at most 6 tokens."""


@pytest.mark.long
def test_a_text_has_at_most_the_steps_that_the_model_reads():
    model = families.sparse_transformer(**LIMITED, positions=(2, 3), stride=2, summary=1)
    assert step_models.longest_sequence(model) == 6
    assert text_generation.generate(model, [3, 4], 5).shape == (1, 5)
    with pytest.raises(ValueError, match=r"at most 6 .*7"):
        text_generation.generate(model, [3, 4], 6)
    with pytest.raises(ValueError, match=r"at most 6 .*7"):
        step_models.step_model(model, length=7)


def test_a_translation_has_at_most_the_steps_that_the_model_reads():
    model = families.synthesizer(**LIMITED, length=6)
    both = step_models.encoder_and_step(model)
    tokens = dict(start=1, end=2, beam=None)
    assert text_generation.translate(both, [[3, 4, 5], [6, 7, 0]], **tokens).shape == (2, 6)
    with pytest.raises(ValueError, match=r"at most 6 .*7"):
        text_generation.translate(both, [[3, 4]], steps=7, **tokens)
    with pytest.raises(ValueError, match=r"at most 6 .*7"):
        text_generation.translate(both, [[3] * 7], steps=6, **tokens)
    with pytest.raises(ValueError, match=r"at most 6 .*7"):
        step_models.encoder_and_step(model, length=7)
