"""Sentences in two languages to numbers and back: subwords, with a start and an end.

    lines = read_sentences("train.en.gz", "train.de.gz")
    tokens = learn_vocabularies(*lines, size=8000)
    encoded = tokens.encode(*lines, longest=100)  # TokenBatches makes batches of it

[1] Sutskever 2014, arXiv:1409.3215, section 2: an end-of-sentence token after each target
[2] Vaswani 2017, arXiv:1706.03762, section 5.1: one vocabulary of byte pairs for both languages

Numbers are those of `kapps.data.text.subword_vocabulary`: 0 is padding, 1 stays free, subwords go on from 2 to V - 1. V is the start
of a target and V + 1 its end, so that a model has V + 2; a source is its subwords alone.
"""

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from kapps._files import write_atomically
from kapps.data.errors import DataError
from kapps.data.text.subword_vocabulary import SubwordVocabulary, subwords


@dataclasses.dataclass(frozen=True)
class EncodedPairs:
    """Pairs as numbers, one after another.

    Args:
        source: all sources' tokens, int32 [all].
        source_ends: where each ends, int [pairs].
        target: all targets' tokens, without start and end, int32 [all].
        target_ends: where each ends, int [pairs].
        start: the number before a target.
        end: the number after a target.
        empty: pairs that are left out since a side holds nothing.
        long: pairs that are left out, or cut, since a side is too long.
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
        """How many there are."""
        return len(self.source_ends)

    @property
    def lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """How many tokens each source has, and each target with its end: int [pairs], twice."""
        sources, targets = (
            np.diff(ends, prepend=0) for ends in (self.source_ends, self.target_ends)
        )
        return sources, targets + 1


@dataclasses.dataclass(frozen=True)
class VocabularyPair:
    """The subwords of two languages.

    Args:
        source: of the language that is translated.
        target: of the one that it is translated to; the same object where both share one vocabulary.
    """

    source: SubwordVocabulary
    target: SubwordVocabulary

    @property
    def joint(self) -> bool:
        """Whether both languages have the same numbers."""
        return self.source.merges == self.target.merges

    @property
    def start(self) -> int:
        """The number that a target begins with: V."""
        return self.target.size

    @property
    def end(self) -> int:
        """The number after a target: V + 1."""
        return self.target.size + 1

    @property
    def source_vocabulary(self) -> int:
        """How many numbers a model has to know of the source: as of the target, where both share them."""
        return self.vocabulary if self.joint else self.source.size

    @property
    def vocabulary(self) -> int:
        """How many numbers a model has to know of the target: V + 2."""
        return self.target.size + 2

    def encode(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        *,
        longest: int = 100,
        cut: bool = False,
    ) -> EncodedPairs:
        """Returns pairs as numbers; pairs of which a side holds nothing are left out, and counted.

        Args:
            sources: sentences.
            targets: as many.
            longest: how many subwords a sentence may have.
            cut: whether of a pair that has more the first `longest` of each side are kept; else it is left out.

        Raises:
            DataError: where no pair is left.
        """
        x, y = self.source.encode_all(sources), self.target.encode_all(targets)
        whole = [len(one) > 0 and len(other) > 0 for one, other in zip(x, y, strict=True)]
        long = [
            full and max(len(one), len(other)) > longest
            for one, other, full in zip(x, y, whole, strict=True)
        ]
        kept = [i for i, full in enumerate(whole) if full and (cut or not long[i])]
        if not kept:
            raise DataError(
                f"of {len(x):,} pairs none is left: {whole.count(False):,} are empty, {sum(long):,} have more than"
                f" {longest} subwords a side"
            )
        flat = []
        for sentences in (x, y):
            sentences = [sentences[i][:longest] for i in kept]
            flat += [np.concatenate(sentences), np.cumsum([len(one) for one in sentences])]
        return EncodedPairs(*flat, self.start, self.end, whole.count(False), sum(long))

    def rows(self, sentences: Sequence[str], longest: int | None = None) -> np.ndarray:
        """Returns sources as int32 [batch, time], padded on the right by 0, as a model reads them.

        Args:
            sentences: of the source's language; of one that holds nothing the row is padding.
            longest: how many subwords are kept of each; all for None.
        """
        found = [one[:longest] for one in self.source.encode_all(sentences)]
        rows = np.zeros((len(found), max([1, *map(len, found)])), "int32")
        for row, one in zip(rows, found, strict=True):
            row[: len(one)] = one
        return rows

    def sentence(self, numbers: np.ndarray) -> str:
        """Returns the text of a target, int [time], to its end or its padding; without its start."""
        numbers = np.asarray(numbers).reshape(-1)
        numbers = numbers[1:] if len(numbers) and numbers[0] == self.start else numbers
        stops = np.flatnonzero((numbers == self.end) | (numbers == 0))
        numbers = numbers[: stops[0]] if len(stops) else numbers
        return self.target.decode(numbers[numbers != self.start]).strip()

    def pieces(self, numbers: np.ndarray, *, target: bool) -> list[str]:
        """Returns the text of each number, for images; start, end and padding are "<s>", "</s>" and ""."""
        named = {0: ""} | ({self.start: "<s>", self.end: "</s>"} if target or self.joint else {})
        language = self.target if target else self.source
        return [
            named[number] if number in named else language.decode(np.array([number]))
            for number in map(int, numbers)
        ]

    def save(self, path: str | os.PathLike) -> None:
        """Writes both vocabularies, JSON, where a run finds them again."""
        both = [self.source.merges] if self.joint else [self.source.merges, self.target.merges]
        with write_atomically(path) as written:
            written.write_text(json.dumps(both), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike) -> "VocabularyPair":
        """Returns the vocabularies that `save` wrote.

        Raises:
            DataError: the file does not exist or holds something else.
        """
        try:
            merges = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {error}") from None
        if not isinstance(merges, list) or len(merges) not in (1, 2):
            raise DataError(f"{path} holds no vocabularies")
        vocabularies = [SubwordVocabulary(merges_of_one) for merges_of_one in merges]
        return cls(vocabularies[0], vocabularies[-1])


def learn_vocabularies(
    sources: Sequence[str], targets: Sequence[str], size: int = 8000, *, joint: bool = True
) -> VocabularyPair:
    """Returns subwords that are learned from pairs.

    Args:
        sources: sentences.
        targets: as many.
        size: how many numbers a vocabulary has at most, start and end not counted.
        joint: whether both languages share one [2], learned from both; else each has its own.

    Raises:
        DataError: as `kapps.data.text.subwords`.
    """
    learn = functools.partial(subwords, size=size)
    if joint:
        both = learn("\n".join([*sources, *targets]))
        return VocabularyPair(both, both)
    return VocabularyPair(learn("\n".join(sources)), learn("\n".join(targets)))
