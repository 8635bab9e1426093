"""Subword vocabularies of two languages, with tokens for the start and the end of a target.

    sentences = read_sentences("train.en.gz", "train.de.gz")
    vocabularies = learn_vocabularies(*sentences, size=8000)
    pairs = vocabularies.encode(*sentences, max_length=100)
    batches = TokenBatches(pairs, tokens=4096)

[1] Sutskever 2014, arXiv:1409.3215, section 2: an end-of-sentence token after each target
[2] Vaswani 2017, arXiv:1706.03762, section 5.1: one vocabulary of byte pairs for both languages

Tokens are those of `kapps.data.text.SubwordVocabulary`: 0 is padding, 1 is not used, subwords are 2 to V - 1. V is the
start of a target and V + 1 its end, so that a model has V + 2 tokens. A source has neither.
"""

import dataclasses
import json
import os
from collections.abc import Sequence

import numpy as np

from kapps._checked import checked
from kapps._files import write_atomically
from kapps._local_paths import local_path
from kapps.data.errors import DataError
from kapps.data.text.subword_vocabulary import SubwordVocabulary, subwords
from kapps.data.text.vocabulary import PADDING
from kapps.data.text_files import read_text_file


@dataclasses.dataclass(frozen=True)
class EncodedPairs:
    """Tokens of pairs of sentences, stored one after another.

    Args:
        source: tokens of all sources, int32 [source tokens].
        source_ends: end of each source in `source`, int [pairs].
        target: tokens of all targets, without start and end, int32 [target tokens].
        target_ends: end of each target in `target`, int [pairs].
        start: the token before a target.
        end: the token after a target.
        empty: number of pairs that were left out because a sentence is empty.
        long: number of pairs that were left out or cut because a sentence is too long.
    """

    source: np.ndarray = dataclasses.field(repr=False)
    source_ends: np.ndarray = dataclasses.field(repr=False)
    target: np.ndarray = dataclasses.field(repr=False)
    target_ends: np.ndarray = dataclasses.field(repr=False)
    start: int
    end: int
    empty: int = 0
    long: int = 0

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return len(self.source_ends)

    @property
    def lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """Number of tokens of each source, and of each target with its end: int [pairs], int [pairs]."""
        sources = np.diff(self.source_ends, prepend=0)
        targets = np.diff(self.target_ends, prepend=0)
        return sources, targets + 1


@dataclasses.dataclass(frozen=True)
class VocabularyPair:
    """The subword vocabularies of two languages.

    Args:
        source: vocabulary of the language that is translated.
        target: vocabulary of the language that it is translated to. It is `source` if both share one vocabulary.
    """

    source: SubwordVocabulary
    target: SubwordVocabulary

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return self.source.merges == self.target.merges

    @property
    def start(self) -> int:
        """The token before a target: V."""
        return self.target.size

    @property
    def end(self) -> int:
        """The token after a target: V + 1."""
        return self.target.size + 1

    @property
    def source_vocabulary(self) -> int:
        """Number of source tokens of a model: `vocabulary` if both languages share one vocabulary."""
        return self.vocabulary if self.joint else self.source.size

    @property
    def vocabulary(self) -> int:
        """Number of target tokens of a model: V + 2."""
        return self.target.size + 2

    def encode(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        *,
        max_length: int = 100,
        truncate: bool = False,
    ) -> EncodedPairs:
        """Encodes pairs of sentences. Pairs with an empty sentence are left out and counted.

        Args:
            sources: sentences.
            targets: their translations.
            max_length: largest number of subwords of a sentence.
            truncate: whether longer sentences are cut to `max_length`. By default their pairs are left out.

        Raises:
            DataError: no pair is left.
        """
        source_rows, target_rows = self.source.encode_all(sources), self.target.encode_all(targets)
        rows, empty, long = [], 0, 0
        for source, target in zip(source_rows, target_rows, strict=True):
            if not len(source) or not len(target):
                empty += 1
                continue
            is_long = max(len(source), len(target)) > max_length
            long += is_long
            if truncate or not is_long:
                rows.append((source[:max_length], target[:max_length]))
        if not rows:
            raise DataError(
                f"no pair is left of {len(source_rows):,}: {empty:,} are empty, {long:,} have more than"
                f" max_length={max_length} subwords in a sentence"
            )
        sides = []
        for side in zip(*rows, strict=True):
            sides += [np.concatenate(side), np.cumsum([len(row) for row in side])]
        return EncodedPairs(*sides, self.start, self.end, empty, long)

    def encode_sources(self, sentences: Sequence[str], max_length: int | None = None) -> np.ndarray:
        """Encodes source sentences as the input of a model.

        Args:
            sentences: sentences in the source language. An empty sentence becomes a row of padding.
            max_length: number of subwords that a sentence is cut to. `None` keeps all.

        Returns:
            int32 [batch, time], padded on the right with 0.
        """
        rows = [row[:max_length] for row in self.source.encode_all(sentences)]
        batch = np.full((len(rows), max([1, *map(len, rows)])), PADDING, "int32")
        for number, row in enumerate(rows):
            batch[number, : len(row)] = row
        return batch

    def decode_target(self, tokens: np.ndarray) -> str:
        """Returns the text of a target, int [time], up to its end or padding. A start token is skipped."""
        tokens = np.asarray(tokens).reshape(-1)
        tokens = tokens[1:] if len(tokens) and tokens[0] == self.start else tokens
        stops = np.flatnonzero((tokens == self.end) | (tokens == PADDING))
        tokens = tokens[: stops[0]] if len(stops) else tokens
        return self.target.decode(tokens[tokens != self.start]).strip()

    def token_texts(self, tokens: np.ndarray, *, target: bool) -> list[str]:
        """Returns the text of each token, for plots. Start, end and padding are "<s>", "</s>" and ""."""
        special = {PADDING: ""}
        if target or self.joint:
            special |= {self.start: "<s>", self.end: "</s>"}
        vocabulary = self.target if target else self.source
        return [
            special[token] if token in special else vocabulary.decode(np.array([token]))
            for token in map(int, tokens)
        ]

    def save(self, path: str | os.PathLike) -> None:
        """Writes the vocabularies to a JSON file, which `load` reads."""
        merges = [self.source.merges] if self.joint else [self.source.merges, self.target.merges]
        with write_atomically(path) as temporary:
            temporary.write_text(json.dumps(merges), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike) -> "VocabularyPair":
        """Returns the vocabularies that `save` wrote.

        Raises:
            DataError: the file does not exist or holds something else.
        """
        path = local_path(path)
        try:
            merges = json.loads(read_text_file(path))
            if not isinstance(merges, list) or len(merges) not in (1, 2):
                raise ValueError("it is not a list of one or two")
            pair = cls(SubwordVocabulary(merges[0]), SubwordVocabulary(merges[-1]))
            pair.source.size, pair.target.size  # noqa: B018  # the library `tokenizers` reads them
        except DataError:
            raise
        except Exception as error:  # of JSON, or of `tokenizers`, which has no class of its own
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise DataError(
                f"{path} holds no vocabularies ({reason}): pass a file that VocabularyPair.save wrote"
            ) from None
        return pair


@checked
def learn_vocabularies(
    sources: Sequence[str], targets: Sequence[str], size: int = 8000, *, joint: bool = True
) -> VocabularyPair:
    """Learns subword vocabularies from pairs of sentences.

    Args:
        sources: sentences.
        targets: their translations.
        size: largest number of tokens of a vocabulary, without start and end.
        joint: whether both languages share one vocabulary [2]. Otherwise each has its own.

    Raises:
        DataError: as `kapps.data.text.subwords`.
    """
    if joint:
        vocabulary = subwords("\n".join([*sources, *targets]), size)
        return VocabularyPair(vocabulary, vocabulary)
    return VocabularyPair(subwords("\n".join(sources), size), subwords("\n".join(targets), size))
