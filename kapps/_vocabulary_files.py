"""The vocabularies that the recipes write as JSON: of characters, words or subwords, or of two languages."""

import dataclasses
import functools
import json
from collections.abc import Callable

import numpy as np

from kapps._log_lines import without_log_lines


@dataclasses.dataclass(frozen=True)
class FileVocabulary:
    """A vocabulary of a file.

    Args:
        encode: returns the numbers of a text's tokens, int (time,).
        texts: text of each number.
    """

    encode: Callable[[str], np.ndarray]
    texts: list[str]


def read_vocabularies(path: str) -> tuple[FileVocabulary, FileVocabulary]:
    """Returns the vocabularies of the input, or source, and of the target; they are the same in most files.

    Args:
        path: of a `vocabulary.json` of `language_model.py`, `translation.py` or an export.

    Raises:
        ValueError: if the file holds something else.
    """
    with without_log_lines():
        from kapps.data.text import SubwordVocabulary, Vocabulary
        from kapps.data.text_files import read_text_file
        from kapps.data.translation import VocabularyPair
    try:
        content = json.loads(read_text_file(path))
        if isinstance(content, dict):  # of the library `tokenizers`
            subwords = SubwordVocabulary(json.dumps(content))
            texts = [subwords.decode(np.array([i])) for i in range(subwords.size)]
            return (FileVocabulary(subwords.encode, texts),) * 2
        if len(content) < 3:
            pair = VocabularyPair.load(path)
            sides = zip((pair.source_vocabulary, pair.vocabulary), (False, True), strict=True)
            source, target = (
                pair.token_texts(np.arange(size), target=is_target) for size, is_target in sides
            )
            return FileVocabulary(pair.source.encode, source), FileVocabulary(
                functools.partial(_encode_target, pair), target
            )
        tokens = tuple(content[2:])
        kind = "characters" if all(len(token) == 1 for token in tokens) else "words"
        return (FileVocabulary(Vocabulary(kind, tokens).encode, content),) * 2
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no vocabulary of a recipe: {error}") from error


def _encode_target(pair, text):
    """Returns the tokens of a target after its start."""
    return np.concatenate([[pair.start], pair.target.encode(text)])
