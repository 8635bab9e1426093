"""The words of captions as tokens, with tokens for the start and the end.

Tokens are those of a `kapps.data.text.Vocabulary` of words: 0 is padding, 1 an unknown word, words are 2 to V - 1. V is
the start of a caption and V + 1 its end, so that a model has V + 2 tokens.
"""

import dataclasses
import json
import os
import re
from collections.abc import Sequence

import numpy as np

from kapps._checked import checked
from kapps._files import write_atomically
from kapps._local_paths import local_path
from kapps.data.errors import DataError
from kapps.data.text.vocabulary import PADDING, Vocabulary, words
from kapps.data.text_files import read_text_file

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")


def split_words(caption: str) -> list[str]:
    """Returns the words of a caption in lower case, without punctuation."""
    return _WORD.findall(caption.lower())


@dataclasses.dataclass(frozen=True)
class CaptionWords:
    """The words of captions as tokens.

    Args:
        vocabulary: a `kapps.data.text.Vocabulary` of words.
    """

    vocabulary: Vocabulary

    @property
    def start(self) -> int:
        """The token before a caption."""
        return self.vocabulary.size

    @property
    def end(self) -> int:
        """The token after a caption."""
        return self.vocabulary.size + 1

    @property
    def size(self) -> int:
        """Number of tokens of a model."""
        return self.vocabulary.size + 2

    def encode(self, caption: str) -> np.ndarray:
        """Returns the tokens of a caption, int32 [time], without start and end."""
        return self.vocabulary.encode(" ".join(split_words(caption)))

    def decode(self, tokens: np.ndarray) -> str:
        """Returns the text of tokens, int [time], up to the end or padding. A start token is skipped."""
        tokens = np.asarray(tokens).reshape(-1)
        tokens = tokens[1:] if len(tokens) and tokens[0] == self.start else tokens
        stops = np.flatnonzero((tokens == self.end) | (tokens == PADDING))
        return self.vocabulary.decode(tokens[: stops[0]] if len(stops) else tokens)

    def save(self, path: str | os.PathLike) -> None:
        """Writes the words to a JSON file, which `load` reads."""
        with write_atomically(path) as temporary:
            content = json.dumps(list(self.vocabulary.tokens), ensure_ascii=False)
            temporary.write_text(content, encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike) -> "CaptionWords":
        """Returns the words that `save` wrote.

        Raises:
            DataError: the file does not exist or holds something else.
        """
        path = local_path(path)
        try:
            tokens = json.loads(read_text_file(path))
        except json.JSONDecodeError:
            tokens = None
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise DataError(
                f"{path} holds no list of words: pass a file that CaptionWords.save wrote"
            )
        return cls(Vocabulary("words", tuple(tokens)))


@checked
def learn_words(
    captions: Sequence[str], *, size: int | None = None, min_count: int = 1
) -> CaptionWords:
    """Returns the words of captions, the most frequent first.

    Args:
        captions: the captions.
        size: largest number of tokens of a model, with padding, unknown, start and end. `None` keeps all words.
        min_count: how often a word must occur.

    Raises:
        DataError: as `kapps.data.text.words`.
    """
    text = " ".join(word for caption in captions for word in split_words(caption))
    return CaptionWords(words(text, size=None if size is None else size - 2, min_count=min_count))
