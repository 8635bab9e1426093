"""Tokens one after the other: by the whole model run anew, by hand-made chains, by all continuations there are."""

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
    """Weights large enough for decided answers."""
    keras.utils.set_random_seed(3)
    model = families.rnn_lm(units=(7, 6), embedding=5, vocabulary=SIZE)
    for variable in model.trainable_variables:
        variable.assign(variable * 4)
    return model


def chances(model, tokens):
    """log P of what comes next, by the whole model, without padding and the unknown."""
    found = keras.ops.convert_to_numpy(model(np.array([tokens]))).astype("float64")[0, -1, 2:]
    return np.log(found / found.sum())


def test_greedy_is_the_whole_models_run(model):
    prompts = np.array([[3, 4, 2], [5, 0, 0], [6, 7, 0]])
    found = text_generation.generate(model, prompts, 12, temperature=0)
    for prompt, row in zip(prompts, found, strict=True):
        tokens = prompt[prompt > 0].tolist()
        for token in row:
            assert token == np.argmax(chances(model, tokens)) + 2
            tokens.append(token)
    alone = text_generation.generate(step_models.step_model(model), [3, 4, 2], 12, temperature=0)
    np.testing.assert_array_equal(alone, found[:1])


def test_draws_follow_the_probabilities(model):
    prompt = np.tile([3, 4], (4000, 1))
    for temperature, top_k in ((1.0, None), (0.5, None), (2.0, 3)):
        drawn = text_generation.generate(
            model, prompt, 1, temperature=temperature, top_k=top_k, seed=0
        )
        share = np.bincount(drawn[:, 0], minlength=SIZE)[2:] / 4000
        expected = np.exp(chances(model, [3, 4]) / temperature)
        if top_k:
            expected[np.argsort(expected)[:-top_k]] = 0
            assert (share > 0).sum() <= top_k
        np.testing.assert_allclose(share, expected / expected.sum(), atol=0.03)


def test_a_seed_repeats(model):
    given = dict(prompt=[3], length=20, temperature=3.0)
    one, same, other = (text_generation.generate(model, **given, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert one.min() > 1, "neither padding nor the unknown"


def test_a_beam_as_wide_as_all_finds_the_best(model):
    every = {token: chances(model, [3, 4, token]) for token in range(2, SIZE)}
    begun = chances(model, [3, 4])

    def score(tokens):
        if len(tokens) == 2:
            return begun[tokens[0] - 2] + every[tokens[0]][tokens[1] - 2]
        return sum(chances(model, [3, 4, *tokens[:i]])[token - 2] for i, token in enumerate(tokens))

    best = max(itertools.product(range(2, SIZE), repeat=2), key=score)
    found = text_generation.generate(model, [3, 4], 2, beam=SIZE**2)
    assert tuple(found[0]) == best
    greedy = text_generation.generate(model, [3, 4], 8, temperature=0)
    np.testing.assert_array_equal(text_generation.generate(model, [3, 4], 8, beam=1), greedy)
    wide = text_generation.generate(model, [3, 4], 8, beam=4)
    assert score(wide[0]) >= score(greedy[0]) - 1e-9


def test_scores_of_no_known_scale_give_the_likeliest_alone(model):
    chances = keras.layers.Dense(SIZE, "softmax")(model.get_layer("head_logits").input)
    unnamed = keras.Model(model.input, chances)
    found = text_generation.generate(unnamed, [3], 4, temperature=0)
    tokens = [3]
    for token in found[0]:
        scores = keras.ops.convert_to_numpy(unnamed(np.array([tokens])))
        assert token == np.argmax(scores[0, -1, 2:]) + 2
        tokens.append(token)
    for choice in (dict(temperature=0.5), dict(beam=2)):
        with pytest.raises(ValueError, match="head_logits"):
            text_generation.generate(unnamed, [3], 4, **choice)


def test_texts_end(model):
    free = text_generation.generate(model, [3, 4], 8, temperature=0)[0]
    end = int(free[2])
    first = free.tolist().index(end)
    found = text_generation.generate(model, [3, 4], 8, temperature=0, end=end)[0]
    np.testing.assert_array_equal(found[: first + 1], free[: first + 1])
    assert not found[first + 1 :].any()
    # With alpha = 0 the sum of logarithms counts, which only falls: a text that ends early is never worse.
    early = text_generation.generate(model, [3, 4], 8, beam=4, end=end, length_penalty=0)[0]
    late = text_generation.generate(model, [3, 4], 8, beam=4, end=end, length_penalty=3)[0]
    assert (early > 0).sum() <= (late > 0).sum()


def test_length_penalties_by_hand():
    """Of the lectures' 1 / L**alpha log P: two tokens of log P -1.0, four of -1.5; Wu's of 7 tokens is 2**alpha."""
    length, wu = samplers.length_penalty, samplers.wu_penalty
    assert -1.0 / length(2.0, 0) > -1.5 / length(4.0, 0)
    assert length(2.0, 0.75) == pytest.approx(2**0.75)
    assert -1.5 / length(4.0, 0.75) > -1.0 / length(2.0, 0.75)
    assert math.isclose(-1.5 / length(4.0, 1), -0.375)
    assert wu(1.0, 0.6) == 1 and wu(7.0, 0.6) == pytest.approx(2**0.6)


def test_refusals(model):
    for given in (
        dict(prompt=[], length=3),
        dict(prompt=[0, 3], length=3),
        dict(prompt=[3], length=0),
        dict(prompt=[3], length=3, temperature=-1),
        dict(prompt=[3], length=3, beam=0),
    ):
        with pytest.raises(ValueError):
            text_generation.generate(model, **given)
