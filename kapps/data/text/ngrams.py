"""n-gram models: unigrams, bigrams and trigrams with Laplace smoothing; perplexity; Zipf's law.

[1] https://d2l.ai/chapter_recurrent-neural-networks/language-model.html, which has these formulas

P(x) = (n(x) + e1 / m) / (n + e1)                            for m tokens in the vocabulary and n in the text
P(x' | x) = (n(x, x') + e2 P(x')) / (n(x) + e2)
P(x'' | x, x') = (n(x, x', x'') + e3 P(x'')) / (n(x, x') + e3)

Departure: in the denominators n(x) and n(x, x') count only occurrences that another token follows. No token follows the
end of the text. If it were counted, the probabilities of the next token would not sum to one.
"""

import dataclasses

import numpy as np

from kapps._arrays import as_array
from kapps._checked import checked
from kapps.data.errors import DataError

SMOOTHING_CONSTANTS = tuple(float(10.0**i) for i in np.arange(-2, 5.1, 0.25))
"""The constants that `fit_ngram_model` compares."""


@checked
def count_ngrams(tokens: np.ndarray, n: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct n-grams of a text, sorted, and how often each occurs.

    Args:
        tokens: int [time], each less than `size`.
        n: 1 or more.
        size: size of the vocabulary. `size` to the power n must fit in 63 bits.

    Returns:
        (int64 [distinct, n], int64 [distinct]).

    Raises:
        DataError: n is less than 1 or too large for the vocabulary.
    """
    keys, counts = np.unique(_ngram_keys(tokens, n, size), return_counts=True)
    columns = [keys // size**power % size for power in range(n - 1, -1, -1)]
    return np.stack(columns, axis=-1), counts


@checked
def ngram_frequencies(tokens: np.ndarray, n: int, size: int) -> np.ndarray:
    """Returns how often each distinct n-gram occurs, in decreasing order, int64 [distinct]."""
    return np.sort(count_ngrams(tokens, n, size)[1])[::-1]


@checked
def fit_zipf(counts: np.ndarray, first: int = 10) -> tuple[float, float]:
    """Fits Zipf's law, log n_i = -alpha log i + c, where n_i is the count of the n-gram of rank i.

    Fits by least squares over ranks that are evenly spaced on the logarithmic axis. Over all ranks, the n-grams that
    occur once would dominate.

    Args:
        counts: counts in decreasing order, from `ngram_frequencies`.
        first: the first rank. [1] leaves out the most frequent tokens, which do not lie on the line.

    Returns:
        (alpha, c).

    Raises:
        DataError: there are fewer than two ranks.
    """
    if len(counts) <= first:
        raise DataError(f"{len(counts)} n-grams are too few to fit a line from rank {first}")
    ranks = np.unique(np.geomspace(first, len(counts), 200).astype(int))
    slope, constant = np.polyfit(np.log(ranks), np.log(counts[ranks - 1]), 1)
    return -float(slope), float(constant)


@checked
def perplexity(probabilities: np.ndarray) -> float:
    """Returns exp(-1/n sum log P) for the probabilities P that a model assigns to the n tokens of a text.

    It is 1 if all P are 1, infinity if one P is 0, and the size of the vocabulary if all tokens are equally likely.
    """
    with np.errstate(divide="ignore", over="ignore"):
        return float(np.exp(-np.mean(np.log(np.asarray(probabilities, "float64")))))


@dataclasses.dataclass(frozen=True)
class _Counts:
    """Counts of n-grams by key. A key that does not occur has count 0."""

    keys: np.ndarray  # sorted
    counts: np.ndarray

    def __getitem__(self, keys: np.ndarray) -> np.ndarray:
        positions = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[positions] == keys, self.counts[positions], 0)


class NGramModel:
    """Probabilities of the next token from the counts of a text, with Laplace smoothing [1].

    Args:
        tokens: the text, int [time], three tokens or more.
        size: m, size of the vocabulary.
        e1: smoothing constant of unigrams, 0 or more. 0 uses only counts; a large constant makes all tokens equally
            likely.
        e2: smoothing constant of bigrams, which are smoothed by unigrams.
        e3: smoothing constant of trigrams, which are smoothed by unigrams.

    Raises:
        DataError: there are fewer than three tokens, a token is not less than `size`, or a constant is negative.
    """

    def __init__(
        self, tokens: np.ndarray, size: int, e1: float = 1.0, e2: float = 1.0, e3: float = 1.0
    ):
        tokens = as_array("tokens", tokens, error=DataError)
        if len(tokens) < 3 or tokens.min() < 0 or tokens.max() >= size or min(e1, e2, e3) < 0:
            raise DataError(
                f"n-grams need three or more tokens in 0..{size - 1} and constants of 0 or more, not"
                f" {len(tokens)} tokens, e1={e1:g}, e2={e2:g}, e3={e3:g}"
            )
        self.size, self.e1, self.e2, self.e3 = size, e1, e2, e3
        self._unigrams = np.bincount(tokens, minlength=size)
        self._bigrams = self._count(tokens, 2)
        self._trigrams = self._count(tokens, 3)
        # Occurrences that another token follows.
        self._followed_unigrams = np.bincount(tokens[:-1], minlength=size)
        self._followed_bigrams = self._count(tokens[:-1], 2)

    def unigram(self, x: np.ndarray) -> np.ndarray:
        """Returns P(x), float64, of tokens x of any shape."""
        return (self._unigrams[x] + self.e1 / self.size) / (self._unigrams.sum() + self.e1)

    def bigram(self, x: np.ndarray, x1: np.ndarray) -> np.ndarray:
        """Returns P(x' | x), float64, of tokens x' = `x1`."""
        count = self._bigrams[np.int64(x) * self.size + x1]
        return _divide(
            count + self.e2 * self.unigram(x1),
            self._followed_unigrams[x] + self.e2,
        )

    def trigram(self, x: np.ndarray, x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
        """Returns P(x'' | x, x'), float64, of tokens x' = `x1` and x'' = `x2`."""
        bigram = np.int64(x) * self.size + x1
        count = self._trigrams[bigram * self.size + x2]
        return _divide(
            count + self.e3 * self.unigram(x2),
            self._followed_bigrams[bigram] + self.e3,
        )

    def probabilities(self, tokens: np.ndarray, n: int) -> np.ndarray:
        """Returns the probability of each token of a text after the n - 1 tokens before it, float64 [time - 2].

        The first two tokens are left out for every n, so that perplexities of different n can be compared.

        Raises:
            DataError: n is not 1, 2 or 3.
        """
        tokens = np.asarray(tokens, "int64")
        if n == 1:
            return self.unigram(tokens[2:])
        if n == 2:
            return self.bigram(tokens[1:-1], tokens[2:])
        if n == 3:
            return self.trigram(tokens[:-2], tokens[1:-1], tokens[2:])
        raise DataError(f"n={n}: choose 1, 2 or 3")

    def _count(self, tokens: np.ndarray, n: int) -> _Counts:
        return _Counts(*np.unique(_ngram_keys(tokens, n, self.size), return_counts=True))


@checked
def fit_ngram_model(tokens: np.ndarray, size: int, held_out: float = 0.1) -> NGramModel:
    """Returns the n-gram model of a text, with smoothing constants that are chosen on the end of the text.

    Args:
        tokens: the text, int [time].
        size: size of the vocabulary.
        held_out: fraction of the text on which `SMOOTHING_CONSTANTS` are compared. The model that is returned counts
            the whole text.
    """
    cut = len(tokens) - max(3, int(held_out * len(tokens)))
    trial, rest = NGramModel(tokens[:cut], size), tokens[cut:]
    model = NGramModel(tokens, size)
    for name, n in (("e1", 1), ("e2", 2), ("e3", 3)):
        perplexities = {}
        for constant in SMOOTHING_CONSTANTS:
            setattr(trial, name, constant)
            perplexities[constant] = perplexity(trial.probabilities(rest, n))
        best = min(perplexities, key=perplexities.get)
        setattr(trial, name, best)
        setattr(model, name, best)
    return model


def _ngram_keys(tokens: np.ndarray, n: int, size: int) -> np.ndarray:
    """Returns one number for each n-gram of a text, int64 [time - n + 1]."""
    if n < 1 or size**n >= 2**63:
        raise DataError(f"n={n}: choose 1 or more, with size**n = {size:,}**{n} below 2**63")
    tokens = np.asarray(tokens, "int64")
    count = max(0, len(tokens) - n + 1)
    keys = np.zeros(count, "int64")
    for i in range(n):
        keys = keys * size + tokens[i : i + count]
    return keys


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Returns numerator / denominator, and 0 where the denominator is 0."""
    quotient = np.zeros_like(numerator, "float64")
    return np.divide(numerator, denominator, out=quotient, where=denominator > 0)
