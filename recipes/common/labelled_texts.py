"""Lines of a label and a text, such as those of rt-polarity and TREC, and what self_attentive.py measures on them."""

import dataclasses

import keras
import numpy as np

import kapps
from kapps.data import text, text_files


def read_lines(path):
    """Returns the labels, strings, and the texts of lines with a label, a space and a text; empty lines do not count.

    Raises:
        DataError: if the file cannot be read.
        ValueError: if it has no line, or a line without a label or a text.
    """
    lines = text_files.read_lines(path, fallback="latin-1")  # the encoding of rt-polarity.all
    labels, texts = [], []
    for number, line in enumerate(lines, start=1):
        label, _, words = line.partition(" ")
        if line and not (label.isdecimal() and words.strip()):
            raise ValueError(
                f"{path}, line {number:,}: {line[:40]!r} is not a number of a class, a space and a text"
            )
        if line:
            labels.append(label)
            texts.append(words)
    if len(texts) < 20 or len({*labels}) < 2:
        raise ValueError(
            f"{path} has {len(texts)} lines of {len({*labels})} classes: pass 20 or more, of two classes or more, such "
            "as TREC.train.all"
        )
    return labels, texts


@dataclasses.dataclass(frozen=True)
class Sentences:
    """Texts and classes; a random tenth is the test split.

    Args:
        train, test: (tokens int32 (n, words), 0 for padding; classes int32 (n,)) each.
        texts: the words of each test text, as the vocabulary has them.
        vocabulary: number of tokens.
        classes: number of classes.
    """

    train: tuple
    test: tuple
    texts: list
    vocabulary: int
    classes: int

    def batch(self, random, size):
        """Returns `size` random examples of the training, and None for their weights."""
        rows = random.integers(0, len(self.train[1]), size)
        return self.train[0][rows], self.train[1][rows], None


def read_sentences(path, longest, seed):
    """Reads lines of a label and a text.

    Args:
        path: the file.
        longest: number of words of the longest text that is read whole.
        seed: seed of the split.
    """
    labels, texts = read_lines(path)
    names = sorted({*labels}, key=int)
    classes = np.array([names.index(label) for label in labels], "int32")
    order = np.random.default_rng([seed, 2]).permutation(len(texts))
    test, train = order[: len(order) // 10], order[len(order) // 10 :]
    vocabulary = text.words("\n".join(texts[i] for i in train), size=10_000)
    rows = [vocabulary.encode(line)[:longest] for line in texts]
    tokens = keras.utils.pad_sequences(rows, padding="post")
    words = [vocabulary.decode(rows[i]).split() for i in test]
    return Sentences(
        (tokens[train], classes[train]), (tokens[test], classes[test]), words, vocabulary.size, len(names)
    )  # fmt: skip


def measure_rows(model, tokens):
    """Returns the mean of ||A A^T - I||^2, and of the products of two different rows of A (arXiv:1703.03130, 2.2)."""
    penalties, products = [], []
    for start in range(0, len(tokens), 100):
        (a,) = kapps.attention_weights(model, tokens[start : start + 100]).values()
        of_rows = a @ a.transpose(0, 2, 1)
        hops = a.shape[1]
        penalties.append(((of_rows - np.eye(hops)) ** 2).sum(axis=(1, 2)))
        products.append(of_rows[:, ~np.eye(hops, dtype=bool)].mean(axis=1))
    return float(np.concatenate(penalties).mean()), float(np.concatenate(products).mean())


def choose_texts(sentences, count):
    """Returns the indices of the first test texts of 6 to 14 words, at most one of each class."""
    chosen = {}
    for i, words in enumerate(sentences.texts):
        if 6 <= len(words) <= 14:
            chosen.setdefault(int(sentences.test[1][i]), i)
    return list(chosen.values())[:count]
