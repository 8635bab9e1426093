"""What precedes counts: unigrams, bigrams, trigrams, their probabilities by Laplace smoothing, perplexity, Zipf's law.

[1] https://d2l.ai/chapter_recurrent-neural-networks/language-model.html, whose formulas these are

P(x) = (n(x) + e1 / m) / (n + e1)                            for m tokens in the vocabulary, n in the text
P(x' | x) = (n(x, x') + e2 P(x')) / (n(x) + e2)
P(x'' | x, x') = (n(x, x', x'') + e3 P(x'')) / (n(x, x') + e3)

Departure: n(x) and n(x, x') below the line count only what another token follows. The text's end is followed by none,
and with it counted the probabilities of what follows would not sum to one.
"""

import dataclasses

import numpy as np

from kapps.data.errors import DataError

SMOOTHING_CONSTANTS = tuple(float(10.0**i) for i in np.arange(-2, 5.1, 0.25))
"""The smoothing constants that `fit_ngram_model` tries."""


def count_ngrams(tokens: np.ndarray, n: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the n-grams that are there, int64 [found, n] in the order of their numbers, and how often, int64 [found].

    Args:
        tokens: int [time], each below `size`.
        n: 1 or more.
        size: of the vocabulary; size to the n must fit in 63 bits.
    """
    keys, counts = np.unique(_keys(tokens, n, size), return_counts=True)
    columns = [keys // size**power % size for power in range(n - 1, -1, -1)]
    return np.stack(columns, axis=-1), counts


def ngram_frequencies(tokens: np.ndarray, n: int, size: int) -> np.ndarray:
    """Returns how often each n-gram is there, the most frequent first, int64 [found]."""
    return np.sort(count_ngrams(tokens, n, size)[1])[::-1]


def fit_zipf(counts: np.ndarray, first: int = 10) -> tuple[float, float]:
    """Returns (alpha, c) of Zipf's law, log n_i = -alpha log i + c, for n-grams that are there n_i times, i from 1.

    Least squares over ranks that are evenly spaced on the logarithmic axis, as the eye fits a line: of all ranks
    nearly all are n-grams that are there once.

    Args:
        counts: as `ngram_frequencies` returns them.
        first: the rank to begin with; [1] leaves out the first few, which do not lie on the line.

    Raises:
        DataError: for fewer than two ranks, which make no line.
    """
    if len(counts) <= first:
        raise DataError(f"{len(counts)} n-grams are too few for a line from rank {first} on")
    ranks = np.unique(np.geomspace(first, len(counts), 200).astype(int))
    slope, constant = np.polyfit(np.log(ranks), np.log(counts[ranks - 1]), 1)
    return -float(slope), float(constant)


def perplexity(probabilities: np.ndarray) -> float:
    """Returns exp(-1/n sum log P) of the probabilities that a model gave to the n tokens that came.

    1 where each was certain, infinity where one was held impossible, the size of the vocabulary where all were held
    equally likely: the number of choices that were left.
    """
    with np.errstate(divide="ignore", over="ignore"):
        return float(np.exp(-np.mean(np.log(np.asarray(probabilities, "float64")))))


@dataclasses.dataclass(frozen=True)
class Table:
    """How often n-grams are there, by number: numbers in order, and their counts."""

    keys: np.ndarray
    counts: np.ndarray

    def __getitem__(self, keys: np.ndarray) -> np.ndarray:
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[places] == keys, self.counts[places], 0)


class NGramModel:
    """Probabilities of what comes next by the counts of a text and Laplace smoothing [1].

    Args:
        tokens: the text, int [time], three or more.
        size: m, of the vocabulary.
        e1: the smoothing constant of unigrams; from 0, where the counts alone hold, to infinity, where all tokens are
            equally likely.
        e2: of bigrams, which are smoothed by unigrams.
        e3: of trigrams, which are too.

    Raises:
        DataError: for fewer tokens, one that is not below `size`, or a constant below 0.
    """

    def __init__(
        self, tokens: np.ndarray, size: int, e1: float = 1.0, e2: float = 1.0, e3: float = 1.0
    ):
        tokens = np.asarray(tokens)
        if len(tokens) < 3 or tokens.min() < 0 or tokens.max() >= size or min(e1, e2, e3) < 0:
            raise DataError(
                f"n-grams take three or more tokens from 0 to {size - 1} and constants from 0 up, not"
                f" {len(tokens)} tokens, e1={e1:g}, e2={e2:g}, e3={e3:g}"
            )
        self.size, self.e1, self.e2, self.e3 = size, e1, e2, e3
        self.unigrams = np.bincount(tokens, minlength=size)
        self.followed = np.bincount(tokens[:-1], minlength=size)
        self.bigrams, self.pairs_followed, self.trigrams = (
            Table(*np.unique(_keys(some, n, size), return_counts=True))
            for some, n in ((tokens, 2), (tokens[:-1], 2), (tokens, 3))
        )

    def unigram(self, x: np.ndarray) -> np.ndarray:
        """Returns P(x), float64, of tokens of any shape."""
        return (self.unigrams[x] + self.e1 / self.size) / (self.unigrams.sum() + self.e1)

    def bigram(self, x: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Returns P(x' | x) of the tokens x' `after` x."""
        smooth = self.e2 * self.unigram(after)
        together = self.bigrams[np.int64(x) * self.size + after]
        return _ratio(together + smooth, self.followed[x] + self.e2)

    def trigram(self, x: np.ndarray, between: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Returns P(x'' | x, x') of the tokens x'' `after` x and x' `between`."""
        smooth = self.e3 * self.unigram(after)
        pair = np.int64(x) * self.size + between
        together = self.trigrams[pair * self.size + after]
        return _ratio(together + smooth, self.pairs_followed[pair] + self.e3)

    def probabilities(self, tokens: np.ndarray, n: int) -> np.ndarray:
        """Returns the probability of each token of a text after the n - 1 before it, float64 [time - 2].

        The first two tokens are left out for every n, so that perplexities are of the same tokens.

        Raises:
            DataError: where n is not 1, 2 or 3.
        """
        tokens = np.asarray(tokens, "int64")
        if n == 1:
            return self.unigram(tokens[2:])
        if n == 2:
            return self.bigram(tokens[1:-1], tokens[2:])
        if n == 3:
            return self.trigram(tokens[:-2], tokens[1:-1], tokens[2:])
        raise DataError(f"n-grams are of 1, 2 or 3 tokens, not {n}")


def fit_ngram_model(tokens: np.ndarray, size: int, held_out: float = 0.1) -> NGramModel:
    """Returns the n-grams of a text with the constants of `SMOOTHING_CONSTANTS` that suit the text's own end best.

    Args:
        tokens: the text, int [time]; no other text is looked at.
        size: of the vocabulary.
        held_out: the share of the text that the constants are chosen on; all of it is counted in the end.
    """
    cut = len(tokens) - max(3, int(held_out * len(tokens)))
    counts, rest = NGramModel(tokens[:cut], size), tokens[cut:]
    chosen = NGramModel(tokens, size)
    for name, n in (("e1", 1), ("e2", 2), ("e3", 3)):
        found = {}
        for constant in SMOOTHING_CONSTANTS:
            setattr(counts, name, constant)
            found[constant] = perplexity(counts.probabilities(rest, n))
        setattr(counts, name, min(found, key=found.get))
        setattr(chosen, name, getattr(counts, name))
    return chosen


def _keys(tokens, n, size):
    """Returns a number for each n-gram of the text, int64 [time - n + 1]."""
    if n < 1 or size**n >= 2**63:
        raise DataError(
            f"n={n}: n-grams of a vocabulary of {size:,} have no number of 63 bits; choose from 1 up to what has"
        )
    tokens = np.asarray(tokens, "int64")
    count = max(0, len(tokens) - n + 1)
    keys = np.zeros(count, "int64")
    for i in range(n):
        keys = keys * size + tokens[i : i + count]
    return keys


def _ratio(above, below):
    """Returns above / below, and 0 where nothing was ever counted or smoothed."""
    return np.divide(above, below, out=np.zeros_like(above, "float64"), where=below > 0)
