"""Subwords: pairs of bytes that are merged, the most frequent first, until there are as many tokens as asked for.

[1] Sennrich 2016, arXiv:1508.07909    [2] Radford 2019, "Language models are unsupervised multitask learners", 2.2

Bytes are where it begins [2], so that every text can be written and none is unknown. It is done by the library
`tokenizers`, which is looked for only here.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from kapps.data.errors import DataError
from kapps.data.text.vocabulary import RESERVED, UNKNOWN, check_tokens

BYTES = 256


@dataclasses.dataclass(frozen=True)
class SubwordVocabulary:
    """Byte pairs by number: 0 is padding, 1 stays free, as in `kapps.data.text.Vocabulary`.

    Args:
        merges: the library's own JSON, which holds the merges.
    """

    merges: str = dataclasses.field(repr=False)
    kind: str = "subwords"

    @property
    def size(self) -> int:
        """How many numbers there are, with padding and the unknown."""
        return len(RESERVED) + self._pairs.get_vocab_size()

    def encode(self, text: str) -> np.ndarray:
        """Returns the tokens of text, int32 [time]."""
        return np.array(self._pairs.encode(text).ids, "int32") + len(RESERVED)

    def encode_all(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the tokens of each of many texts, int32 [time], as `encode`, on all cores."""
        found = self._pairs.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(one.ids, "int32") + len(RESERVED) for one in found]

    def decode(self, numbers: np.ndarray) -> str:
        """Returns the text of tokens, int [time]; bytes that are no UTF-8, as when a character was cut, become U+FFFD.

        Raises:
            DataError: for a number that is none of the vocabulary's.
        """
        numbers = check_tokens(numbers, self.size)
        return self._pairs.decode((numbers[numbers > UNKNOWN] - len(RESERVED)).tolist())

    def json(self) -> str:
        """Returns the library's own JSON; its numbers are lower by the two that are reserved."""
        return self.merges

    @functools.cached_property
    def _pairs(self):
        return _library().Tokenizer.from_str(self.merges)


def subwords(text: str, size: int = 1000) -> SubwordVocabulary:
    """Returns the byte pairs that are learned from a text [1].

    Args:
        text: what they are counted in.
        size: how many numbers there are, with padding and the unknown; fewer where the text has fewer pairs.

    Raises:
        DataError: where `tokenizers` is not installed, the text is empty, or the size leaves no room for bytes.
    """
    if size < len(RESERVED) + BYTES:
        raise DataError(
            f"size={size}: {len(RESERVED)} reserved numbers and {BYTES} bytes need more"
        )
    if not text.strip():
        raise DataError("the text is empty")
    library = _library()
    from tokenizers import decoders, models, pre_tokenizers, trainers

    pairs = library.Tokenizer(models.BPE())
    pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pairs.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(RESERVED),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pairs.train_from_iterator(text.splitlines(keepends=True), trainer)
    return SubwordVocabulary(pairs.to_str())


def _library():
    try:
        import tokenizers
    except ImportError:
        raise DataError("subwords need the library tokenizers: pip install tokenizers") from None
    return tokenizers
