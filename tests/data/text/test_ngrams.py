"""n-grams: counts and formulas compared with loops, and the perplexities of d2l.ai."""

import collections
import itertools
import math
import time

import numpy as np
import pytest

from kapps import visualize
from kapps.data import DataError
from kapps.data.text import ngrams

SIZE = 4


@pytest.fixture
def tokens():
    return np.random.default_rng(0).choice(SIZE, 60, p=[0.5, 0.3, 0.15, 0.05])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_counts_are_those_of_a_loop(tokens, n):
    expected = collections.Counter(zip(*(tokens[i:].tolist() for i in range(n)), strict=False))
    rows, counts = ngrams.count_ngrams(tokens, n, SIZE)
    assert dict(zip(map(tuple, rows.tolist()), counts.tolist(), strict=True)) == expected
    frequencies = ngrams.ngram_frequencies(tokens, n, SIZE).tolist()
    assert frequencies == sorted(expected.values(), reverse=True)


def test_probabilities_follow_the_formulas(tokens):
    e1, e2, e3 = 0.5, 2.0, 7.0
    model = ngrams.NGramModel(tokens, SIZE, e1, e2, e3)
    text = tokens.tolist()

    def count(*gram, followed=False):
        """Returns how often an n-gram occurs, optionally only where another token follows."""
        ends = len(text) - len(gram) + (0 if followed else 1)
        return sum(text[i : i + len(gram)] == list(gram) for i in range(ends))

    for x, y, z in itertools.product(range(SIZE), repeat=3):
        p = {token: (count(token) + e1 / SIZE) / (len(text) + e1) for token in (y, z)}
        assert model.unigram(y) == pytest.approx(p[y])
        bigram = (count(x, y) + e2 * p[y]) / (count(x, followed=True) + e2)
        assert model.bigram(x, y) == pytest.approx(bigram)
        trigram = (count(x, y, z) + e3 * p[z]) / (count(x, y, followed=True) + e3)
        assert model.trigram(x, y, z) == pytest.approx(trigram)


@pytest.mark.parametrize("constants", [(1, 1, 1), (0.1, 30, 4), (1e9, 1e-9, 1e9)])
def test_probabilities_of_the_next_token_sum_to_one(tokens, constants):
    model, next_tokens = ngrams.NGramModel(tokens, SIZE, *constants), np.arange(SIZE)
    assert model.unigram(next_tokens).sum() == pytest.approx(1)
    for x in range(SIZE):
        assert model.bigram(x, next_tokens).sum() == pytest.approx(1)
        for y in range(SIZE):
            assert model.trigram(x, y, next_tokens).sum() == pytest.approx(1)


def test_smoothing_ranges_from_counts_to_equal_probabilities(tokens):
    unsmoothed = ngrams.NGramModel(tokens, SIZE, 0, 0, 0)
    assert unsmoothed.unigram(0) == (tokens == 0).mean()
    unseen = ngrams.NGramModel([0, 1, 0, 1], 3, 0, 0, 0)
    assert unseen.bigram(0, 1) == 1 and unseen.bigram(0, 2) == unseen.trigram(2, 2, 1) == 0
    smoothed = ngrams.NGramModel(tokens, SIZE, 1e12, 1e12, 1e12)
    assert smoothed.trigram(0, 1, 2) == pytest.approx(1 / SIZE)


def test_perplexities_of_d2l():
    assert ngrams.perplexity([1, 1, 1]) == 1
    assert ngrams.perplexity([1, 0, 1]) == math.inf
    uniform = ngrams.NGramModel(np.arange(27), 27)
    assert ngrams.perplexity(uniform.probabilities(np.arange(27), 1)) == pytest.approx(27)
    assert ngrams.perplexity(np.full(9, 1 / 4)) == pytest.approx(4)


def test_bigrams_reach_the_entropy_of_a_chain_of_order_one():
    random = np.random.default_rng(1)
    chain = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]])
    text = [0]
    for _ in range(6000):
        text.append(random.choice(3, p=chain[text[-1]]))
    model = ngrams.fit_ngram_model(text[:4000], 3)
    assert {model.e1, model.e2, model.e3} <= set(ngrams.SMOOTHING_CONSTANTS)
    one, two, three = (ngrams.perplexity(model.probabilities(text[4000:], n)) for n in (1, 2, 3))
    entropy = -(chain * np.log(chain)).sum(axis=1).mean()
    assert two == pytest.approx(math.exp(entropy), rel=0.02)
    assert two < 1.01 * three and 1.3 * two < one == pytest.approx(3, rel=0.02)


def test_zipf_is_fitted_and_plotted(tmp_path):
    counts = (1e6 / np.arange(1, 5001) ** 0.8).astype(int)
    alpha, c = ngrams.fit_zipf(counts)
    assert alpha == pytest.approx(0.8, abs=0.01) and c == pytest.approx(math.log(1e6), abs=0.05)
    visualize.plot_zipf({"unigrams": (counts, alpha, c)}, tmp_path / "zipf.png")
    assert (tmp_path / "zipf.png").stat().st_size > 10_000
    with pytest.raises(ValueError):
        visualize.plot_zipf({}, tmp_path / "none.png")


def test_a_million_tokens_take_less_than_ten_seconds():
    text = np.random.default_rng(0).zipf(1.3, 1_000_000) % 10_000
    start = time.process_time()
    ngrams.perplexity(ngrams.NGramModel(text, 10_000).probabilities(text, 3))
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda tokens: ngrams.NGramModel(tokens, 3), "0..2"),
        (lambda tokens: ngrams.NGramModel([0, 1], 3), "2 tokens"),
        (lambda tokens: ngrams.NGramModel(tokens, SIZE, e2=-1), "e2=-1"),
        (lambda tokens: ngrams.NGramModel(tokens, SIZE).probabilities(tokens, 4), "n=4"),
        (lambda tokens: ngrams.count_ngrams(tokens, 3, 10_000_000), "n=3"),
        (lambda tokens: ngrams.fit_zipf(np.arange(5)), "5 n-grams"),
    ],
    ids=["size", "length", "constant", "n", "keys", "ranks"],
)
def test_an_error_names_the_value(tokens, call, words):
    with pytest.raises(DataError) as error:
        call(tokens)
    assert words in str(error.value)
