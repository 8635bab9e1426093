"""Text to tokens and back: characters and words here, subwords in `kapps.data.subwords`.

    corpus = read("book.txt")
    vocabulary = characters(corpus)
    numbers = vocabulary.encode(corpus)  # int32, 0 for padding, 1 for what is unknown
    vocabulary.decode(numbers) == corpus

The numbers are those of `keras.layers.TextVectorization`, which `vectorization` gives, so that an exported model takes
text and answers with text.
"""

import collections
import dataclasses
import functools
import json
import re

import keras
import numpy as np

from kapps.data.errors import DataError
from kapps.data.text.corpus import keep_letters, keep_letters_in_graph

PADDING, UNKNOWN = 0, 1
"""The tokens that no text has."""
RESERVED = ("", "[UNK]")
"""Their names, which are `keras.layers.TextVectorization`'s."""
_SPACE = r"[ \t\n\v\f\r]+"
_CODE_POINTS = 0x110000


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Tokens by number: 0 is padding, 1 stands for what is unknown.

    Args:
        kind: "characters", that is Unicode's code points, or "words", that is what stands between space.
        tokens: by number, from number 2 on.
        only_letters: whether `keep_letters` comes first.

    Raises:
        DataError: where a token is there twice, or is not of that kind.
    """

    kind: str
    tokens: tuple[str, ...]
    only_letters: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("characters", "words"):
            raise DataError(f'a vocabulary is of "characters" or "words", not {self.kind!r}')
        if not self.tokens or len(set(self.tokens)) != len(self.tokens):
            raise DataError("a vocabulary has tokens, each of them once")
        wrong = [token for token in self.tokens if self._split(token) != [token]]
        if wrong or set(RESERVED) & set(self.tokens):
            raise DataError(f"{(wrong or RESERVED)[0]!r} is no token of {self.kind}")

    @property
    def size(self) -> int:
        """How many numbers there are, with padding and the unknown."""
        return len(RESERVED) + len(self.tokens)

    def encode(self, text: str) -> np.ndarray:
        """Returns the tokens of text, int32 [time]."""
        if self.only_letters:
            text = keep_letters(text)
        if self.kind == "characters":
            return self._numbers[_points(text)]
        found = self._split(text)
        return np.fromiter(
            (self._numbers.get(token, UNKNOWN) for token in found), "int32", len(found)
        )

    def decode(self, numbers: np.ndarray) -> str:
        """Returns the text of tokens, int [time]: no character is lost, of words their space is; padding is nothing.

        Raises:
            DataError: for a number that is none of the vocabulary's.
        """
        numbers = check_tokens(numbers, self.size)
        named = np.array([*RESERVED, *self.tokens], object)
        separator = "" if self.kind == "characters" else " "
        return separator.join(named[numbers[numbers != PADDING]])

    def vectorization(self, length: int | None = None) -> keras.layers.TextVectorization:
        """Returns the layer that does the same to string tensors [batch], padded on the right.

        Args:
            length: how many tokens a text has, cut or padded; the longest one's number for None.
        """
        layer = keras.layers.TextVectorization(
            standardize=keep_letters_in_graph if self.only_letters else None,
            split="character" if self.kind == "characters" else "whitespace",
            output_sequence_length=length,
            vocabulary=list(self.tokens),
        )
        layer.build((None,))  # so that it may be saved and exported before it is called
        return layer

    def json(self) -> str:
        """Returns the tokens by number, for programs that have no kapps: a list of strings in JSON."""
        return json.dumps([*RESERVED, *self.tokens], ensure_ascii=False)

    def _split(self, text):
        return (
            list(text)
            if self.kind == "characters"
            else [token for token in re.split(_SPACE, text) if token]
        )

    @functools.cached_property
    def _numbers(self):
        if self.kind == "words":
            return {token: i for i, token in enumerate(self.tokens, len(RESERVED))}
        table = np.full(_CODE_POINTS, UNKNOWN, "int32")
        table[[ord(token) for token in self.tokens]] = np.arange(len(RESERVED), self.size)
        return table


def characters(text: str, *, only_letters: bool = False) -> Vocabulary:
    """Returns the vocabulary of a text's characters, in their order.

    Args:
        text: all that is to be known.
        only_letters: see `keep_letters`: 26 letters and the space are left.

    Raises:
        DataError: where nothing is left of the text.
    """
    found = np.unique(_points(keep_letters(text) if only_letters else text))
    if not found.size:
        raise DataError("the text is empty")
    return Vocabulary("characters", tuple(map(chr, found)), only_letters)


def words(
    text: str, *, size: int | None = None, least: int = 1, only_letters: bool = False
) -> Vocabulary:
    """Returns the vocabulary of a text's words, the most frequent first.

    Args:
        text: what they are counted in.
        size: how many numbers there are at most, with padding and the unknown; None for all.
        least: how often a word must be there.
        only_letters: see `keep_letters`.

    Raises:
        DataError: where no word is left.
    """
    if size is not None and size <= len(RESERVED):
        raise DataError(f"size={size}: {len(RESERVED)} numbers are reserved, and words need more")
    found = re.split(_SPACE, keep_letters(text) if only_letters else text)
    counted = collections.Counter(token for token in found if token not in RESERVED)
    # Words that are there equally often stand in their own order, not in the text's.
    order = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    kept = [token for token, count in order if count >= least]
    if not kept:
        raise DataError(f"the text has no word that is there {least} times or more")
    room = None if size is None else size - len(RESERVED)
    return Vocabulary("words", tuple(kept[:room]), only_letters)


def _points(text):
    """Returns the code points of text; halves of surrogate pairs, which no file holds, are refused by Python."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def check_tokens(numbers, size):
    """Returns numbers that are all below `size`, as an array."""
    numbers = np.asarray(numbers)
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < size):
        raise DataError(
            f"tokens lie from 0 to {size - 1}, and there are some from {numbers.min()} to {numbers.max()}"
        )
    return numbers.reshape(-1)
