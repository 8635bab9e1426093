"""Sentences in two languages: from two text files, or from a translation dataset of TFDS."""

import os

from kapps._checked import checked
from kapps.data.errors import DataError
from kapps.data.text_files import read_lines
from kapps.data.tfds_builder import load_tfds_builder


@checked
def read_sentences(
    source: str | os.PathLike, target: str | os.PathLike
) -> tuple[list[str], list[str]]:
    """Returns the lines of two files, where line i of the target is the translation of line i of the source.

    Args:
        source: a text file with one sentence per line, in UTF-8, or in UTF-16 with a byte order mark. It may be
            compressed by gzip.
        target: such a file with as many lines.

    Raises:
        DataError: a file does not exist or cannot be read, or the numbers of lines differ.
    """
    sources, targets = read_lines(source), read_lines(target)
    if len(sources) != len(targets):
        raise DataError(
            f"{source} has {len(sources):,} lines and {target} {len(targets):,}: each line of one is the"
            " translation of the same line of the other, so pass files of as many lines"
        )
    if not sources:
        raise DataError(f"{source} and {target} hold no line")
    return sources, targets


@checked
def load_tfds_sentences(
    name: str,
    languages: tuple[str, str],
    split: str = "train",
    data_dir: str | os.PathLike | None = None,
) -> tuple[list[str], list[str]]:
    """Returns the sentences of a translation dataset of TFDS, such as "wmt14_translate/de-en".

    Args:
        name: name in TFDS. The dataset is downloaded and prepared if necessary.
        languages: names of two of its features, source and target.
        split: a split of TFDS, such as "train[:10%]".
        data_dir: directory where TFDS keeps its datasets. `None` is TFDS's default.

    Returns:
        (source sentences, target sentences).

    Raises:
        DataError: the dataset cannot be read, or lacks a language or the split.
    """
    builder = load_tfds_builder(name, data_dir)
    features = list(builder.info.features or ())
    for language in languages:
        if language not in features:
            raise DataError(
                f"{name} has no language {language!r}: it has {', '.join(features) or 'none'}"
            )
    try:
        examples = builder.as_dataset(split=split, shuffle_files=False)
    except (ValueError, KeyError) as error:
        reason = str(error).strip("'\"").splitlines()[0]
        raise DataError(f"{name} has no split {split!r}: {reason}") from None
    sources, targets = [], []
    for example in examples.as_numpy_iterator():
        for language, sentences in zip(languages, (sources, targets), strict=True):
            sentences.append(example[language].decode("utf-8").strip())
    return sources, targets
