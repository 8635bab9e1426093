"""Vocabularies of characters and of words. `kapps.data.text.subword_vocabulary` holds those of subwords.

    corpus = read_text("book.txt")
    vocabulary = characters(corpus)
    tokens = vocabulary.encode(corpus)  # int32; 0 is padding, 1 an unknown token
    vocabulary.decode(tokens) == corpus

A vocabulary numbers its tokens as the `keras.layers.TextVectorization` that `text_vectorization` returns, so that an
exported model can read and write text.
"""

import collections
import dataclasses
import functools
import json
import re

import keras
import numpy as np

from kapps._arrays import as_array
from kapps._checked import checked
from kapps.data.errors import DataError
from kapps.data.text.corpus import keep_letters, keep_letters_in_graph

PADDING, UNKNOWN = 0, 1
"""The reserved tokens. No text is encoded to padding."""
RESERVED = ("", "[UNK]")
"""Their texts, as `keras.layers.TextVectorization` has them."""
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_SPACE = r"[ \t\n\v\f\r]+"
_CODE_POINTS = 0x110000


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """A vocabulary of characters or words. Token 0 is padding and token 1 an unknown character or word.

    Args:
        kind: "characters" (Unicode code points) or "words" (separated by white space).
        tokens: texts of the tokens from number 2.
        only_letters: whether `keep_letters` is applied to text first.

    Raises:
        DataError: a token is repeated or is not of that kind.
    """

    kind: str
    tokens: tuple[str, ...]
    only_letters: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("characters", "words"):
            raise DataError(f'a vocabulary holds "characters" or "words", not {self.kind!r}')
        if not self.tokens:
            raise DataError("a vocabulary needs at least one token")
        repeated = [token for token, n in collections.Counter(self.tokens).items() if n > 1]
        if repeated:
            raise DataError(f"token {repeated[0]!r} is repeated: pass each token once")
        invalid = [token for token in self.tokens if self._split(token) != [token]]
        invalid += [token for token in RESERVED if token in self.tokens]
        # `keras.layers.TextVectorization` cuts a NUL off, and TensorFlow has no single surrogates.
        invalid += [token for token in self.tokens if _NO_TEXT.search(token)]
        if invalid:
            raise DataError(f"{invalid[0]!a} is not a token of {self.kind}")

    @property
    def size(self) -> int:
        """Number of tokens, with the reserved ones."""
        return len(RESERVED) + len(self.tokens)

    def encode(self, text: str) -> np.ndarray:
        """Returns the tokens of text, int32 [time]."""
        if self.only_letters:
            text = keep_letters(text)
        if self.kind == "characters":
            return self._numbers[_code_points(text)]
        words = self._split(text)
        return np.fromiter(
            (self._numbers.get(word, UNKNOWN) for word in words), "int32", len(words)
        )

    def decode(self, tokens: np.ndarray) -> str:
        """Returns the text of tokens, int [time], without padding.

        Characters are restored exactly. Words are joined by one space.

        Raises:
            DataError: a token is not in the vocabulary.
        """
        tokens = check_tokens(tokens, self.size)
        texts = np.array([*RESERVED, *self.tokens], object)
        separator = "" if self.kind == "characters" else " "
        return separator.join(texts[tokens[tokens != PADDING]])

    def text_vectorization(self, length: int | None = None) -> keras.layers.TextVectorization:
        """Returns a layer that encodes string tensors [batch] in the same way, padded on the right.

        Args:
            length: number of tokens that a text is cut or padded to. `None` pads to the longest text of the batch.
        """
        layer = keras.layers.TextVectorization(
            standardize=keep_letters_in_graph if self.only_letters else None,
            split="character" if self.kind == "characters" else "whitespace",
            output_sequence_length=length,
            vocabulary=list(self.tokens),
        )
        layer.build((None,))  # so that the layer can be saved and exported before it is called
        return layer

    def to_json(self) -> str:
        """Returns the texts of all tokens as a list in JSON, for programs without kapps."""
        return json.dumps([*RESERVED, *self.tokens], ensure_ascii=False)

    def _split(self, text: str) -> list[str]:
        if self.kind == "characters":
            return list(text)
        return [word for word in re.split(_SPACE, text) if word]

    @functools.cached_property
    def _numbers(self):
        """Number of each token: a dictionary of words, or an array over all code points."""
        if self.kind == "words":
            return {word: number for number, word in enumerate(self.tokens, len(RESERVED))}
        numbers = np.full(_CODE_POINTS, UNKNOWN, "int32")
        numbers[[ord(token) for token in self.tokens]] = np.arange(len(RESERVED), self.size)
        return numbers


@checked
def characters(text: str, *, only_letters: bool = False) -> Vocabulary:
    """Returns the vocabulary of the characters of a text, in the order of their code points.

    Args:
        text: the text.
        only_letters: whether `keep_letters` is applied first, which leaves 26 letters and the space.

    Raises:
        DataError: the text is empty.
    """
    code_points = np.unique(_code_points(keep_letters(text) if only_letters else text))
    if not code_points.size:
        raise DataError("the text is empty")
    return Vocabulary("characters", tuple(map(chr, code_points)), only_letters)


@checked
def words(
    text: str, *, size: int | None = None, min_count: int = 1, only_letters: bool = False
) -> Vocabulary:
    """Returns the vocabulary of the words of a text, the most frequent first.

    Args:
        text: the text.
        size: largest number of tokens, with the reserved ones. `None` keeps all words.
        min_count: how often a word must occur.
        only_letters: whether `keep_letters` is applied first.

    Raises:
        DataError: the vocabulary would have no word.
    """
    if size is not None and size <= len(RESERVED):
        raise DataError(
            f"size={size}: choose {len(RESERVED) + 1} or more, since {len(RESERVED)} tokens are reserved"
        )
    check_text(text)
    all_words = re.split(_SPACE, keep_letters(text) if only_letters else text)
    counts = collections.Counter(word for word in all_words if word not in RESERVED)
    # Words of equal frequency are in alphabetical order, so that the order of the text does not matter.
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    frequent = [word for word, count in ordered if count >= min_count]
    if not frequent:
        raise DataError(f"the text has no word that occurs min_count={min_count} times or more")
    limit = None if size is None else size - len(RESERVED)
    return Vocabulary("words", tuple(frequent[:limit]), only_letters)


def check_text(text: str) -> None:
    """Raises `DataError` for text with a NUL character or a single surrogate, which no export can hold."""
    match = _NO_TEXT.search(text)
    if match:
        raise DataError(
            f"character {match.start():,} of the text is {match[0]!a}: remove NUL characters and single"
            " surrogates"
        )


def check_tokens(tokens: np.ndarray, size: int) -> np.ndarray:
    """Returns tokens as an array [time].

    Raises:
        DataError: a token is negative or not less than `size`.
    """
    tokens = as_array("tokens", tokens, error=DataError)
    if tokens.size and not (tokens.min() >= 0 and tokens.max() < size):
        raise DataError(
            f"tokens must be in 0..{size - 1}, and these are in {tokens.min()}..{tokens.max()}"
        )
    return tokens.reshape(-1)


def _code_points(text: str) -> np.ndarray:
    """Returns the code points of text.

    Raises:
        DataError: the text has a single surrogate, half a character, which no file holds.
    """
    check_text(text)
    return np.frombuffer(text.encode("utf-32-le"), "<u4")
