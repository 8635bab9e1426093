"""Subwords by byte pair encoding: the most frequent pairs of tokens are merged until the vocabulary has its size.

[1] Sennrich 2016, arXiv:1508.07909    [2] Radford 2019, "Language models are unsupervised multitask learners", 2.2

The first tokens are bytes [2], so that every text can be encoded and no token is unknown. The library `tokenizers`
learns and applies the merges. It is imported on first use.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from kapps._checked import checked
from kapps.data.errors import DataError
from kapps.data.text.vocabulary import RESERVED, UNKNOWN, check_text, check_tokens

BYTES = 256


@dataclasses.dataclass(frozen=True)
class SubwordVocabulary:
    """A vocabulary of byte pairs. Token 0 is padding and token 1 is not used, as in `kapps.data.text.Vocabulary`.

    Args:
        merges: JSON of the library `tokenizers`, which holds the merges.
    """

    merges: str = dataclasses.field(repr=False)
    kind: str = "subwords"

    @property
    def size(self) -> int:
        """Number of tokens, with the reserved ones."""
        return len(RESERVED) + self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> np.ndarray:
        """Returns the tokens of text, int32 [time]."""
        return np.array(self._tokenizer.encode(text).ids, "int32") + len(RESERVED)

    def encode_all(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the tokens of each text, int32 [time], as `encode` does, on all cores."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, "int32") + len(RESERVED) for encoding in encodings]

    def decode(self, tokens: np.ndarray) -> str:
        """Returns the text of tokens, int [time]. Bytes that are not UTF-8, such as half a character, become U+FFFD.

        Raises:
            DataError: a token is not in the vocabulary.
        """
        tokens = check_tokens(tokens, self.size)
        return self._tokenizer.decode((tokens[tokens > UNKNOWN] - len(RESERVED)).tolist())

    def to_json(self) -> str:
        """Returns the JSON of the library `tokenizers`. Its numbers are smaller by the two reserved tokens."""
        return self.merges

    @functools.cached_property
    def _tokenizer(self):
        return _import_tokenizers().Tokenizer.from_str(self.merges)


@checked
def subwords(text: str, size: int = 1000) -> SubwordVocabulary:
    """Learns a vocabulary of byte pairs from a text [1].

    Args:
        text: the text.
        size: number of tokens, with the reserved ones. A short text may give fewer.

    Raises:
        DataError: `tokenizers` is not installed, the text is empty, or the size is too small for all bytes.
    """
    minimum = len(RESERVED) + BYTES
    if size < minimum:
        raise DataError(
            f"size={size}: choose {minimum} or more, for {len(RESERVED)} reserved tokens and {BYTES} bytes"
        )
    check_text(text)
    if not text.strip():
        raise DataError("the text is empty")
    library = _import_tokenizers()
    from tokenizers import decoders, models, pre_tokenizers, trainers

    tokenizer = library.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(RESERVED),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    return SubwordVocabulary(tokenizer.to_str())


def _import_tokenizers():
    try:
        import tokenizers
    except ImportError:
        raise DataError("subwords need the library tokenizers: pip install tokenizers") from None
    return tokenizers
