"""Counts beside a loop's, the lectures' formulas beside the same written out, and their perplexities."""

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
def test_counts(tokens, n):
    expected = collections.Counter(zip(*(tokens[i:].tolist() for i in range(n)), strict=False))
    found, counts = ngrams.count_ngrams(tokens, n, SIZE)
    assert dict(zip(map(tuple, found.tolist()), counts.tolist(), strict=True)) == expected
    assert ngrams.ngram_frequencies(tokens, n, SIZE).tolist() == sorted(expected.values(), reverse=True)


def test_formulas(tokens):
    e1, e2, e3 = 0.5, 2.0, 7.0
    model = ngrams.NGramModel(tokens, SIZE, e1, e2, e3)
    text = tokens.tolist()

    def n(*gram):
        """How often it is there, before another token where it has one or two."""
        ends = len(text) - len(gram) + (1 if len(gram) == 3 else 0)
        return sum(text[i : i + len(gram)] == list(gram) for i in range(ends))

    for x, y, z in itertools.product(range(SIZE), repeat=3):
        p = {t: (text.count(t) + e1 / SIZE) / (len(text) + e1) for t in (y, z)}
        assert model.unigram(y) == pytest.approx(p[y])
        both = sum(text[i : i + 2] == [x, y] for i in range(len(text) - 1))
        assert model.bigram(x, y) == pytest.approx((both + e2 * p[y]) / (n(x) + e2))
        together = n(x, y, z) + e3 * p[z]
        assert model.trigram(x, y, z) == pytest.approx(together / (n(x, y) + e3))


@pytest.mark.parametrize("constants", [(1, 1, 1), (0.1, 30, 4), (1e9, 1e-9, 1e9)])
def test_sums_to_one(tokens, constants):
    model, after = ngrams.NGramModel(tokens, SIZE, *constants), np.arange(SIZE)
    assert model.unigram(after).sum() == pytest.approx(1)
    for x in range(SIZE):
        assert model.bigram(x, after).sum() == pytest.approx(1)
        for y in range(SIZE):
            assert model.trigram(x, y, after).sum() == pytest.approx(1)


def test_limits(tokens):
    """Without smoothing the counts alone hold, with much of it all tokens are equally likely."""
    known = ngrams.NGramModel(tokens, SIZE, 0, 0, 0)
    assert known.unigram(0) == (tokens == 0).mean()
    unseen = ngrams.NGramModel([0, 1, 0, 1], 3, 0, 0, 0)
    assert unseen.bigram(0, 1) == 1 and unseen.bigram(0, 2) == unseen.trigram(2, 2, 1) == 0
    even = ngrams.NGramModel(tokens, SIZE, 1e12, 1e12, 1e12)
    assert even.trigram(0, 1, 2) == pytest.approx(1 / SIZE)


def test_perplexities_of_the_lectures():
    """Certain and right, certain and wrong, all of a vocabulary equally likely, four choices that are."""
    assert ngrams.perplexity([1, 1, 1]) == 1
    assert ngrams.perplexity([1, 0, 1]) == math.inf
    nothing_known = ngrams.NGramModel(np.arange(27), 27)
    assert ngrams.perplexity(nothing_known.probabilities(np.arange(27), 1)) == pytest.approx(27)
    assert ngrams.perplexity(np.full(9, 1 / 4)) == pytest.approx(4)


def test_fitted_by_the_training_text():
    """Of a chain of order one, bigrams know as much as there is to know."""
    draw = np.random.default_rng(1)
    chain = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]])
    text = [0]
    for _ in range(6000):
        text.append(draw.choice(3, p=chain[text[-1]]))
    model = ngrams.fit_ngram_model(text[:4000], 3)
    assert {model.e1, model.e2, model.e3} <= set(ngrams.SMOOTHING_CONSTANTS)
    one, two, three = (ngrams.perplexity(model.probabilities(text[4000:], n)) for n in (1, 2, 3))
    entropy = -(chain * np.log(chain)).sum(axis=1).mean()
    assert two == pytest.approx(math.exp(entropy), rel=0.02)
    assert two < 1.01 * three and 1.3 * two < one == pytest.approx(3, rel=0.02)


def test_zipf(tmp_path):
    counts = (1e6 / np.arange(1, 5001) ** 0.8).astype(int)
    alpha, c = ngrams.fit_zipf(counts)
    assert alpha == pytest.approx(0.8, abs=0.01) and c == pytest.approx(math.log(1e6), abs=0.05)
    visualize.plot_zipf({"unigrams": (counts, alpha, c)}, tmp_path / "zipf.png")
    assert (tmp_path / "zipf.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="no line"):
        visualize.plot_zipf({}, tmp_path / "none.png")


def test_a_million_tokens_take_seconds():
    text = np.random.default_rng(0).zipf(1.3, 1_000_000) % 10_000
    start = time.process_time()
    ngrams.perplexity(ngrams.NGramModel(text, 10_000).probabilities(text, 3))
    assert time.process_time() - start < 10


def test_refusals(tokens):
    for made in (
        lambda: ngrams.NGramModel(tokens, 3),
        lambda: ngrams.NGramModel([0, 1], 3),
        lambda: ngrams.NGramModel(tokens, SIZE, e2=-1),
        lambda: ngrams.NGramModel(tokens, SIZE).probabilities(tokens, 4),
        lambda: ngrams.count_ngrams(tokens, 3, 10_000_000),
        lambda: ngrams.fit_zipf(np.arange(5)),
    ):
        with pytest.raises(DataError):
            made()
