"""Sentences in two languages: from two text files, or from a translation dataset of TFDS."""

import gzip
import os
import pathlib
import zlib

from kapps.data.errors import DataError
from kapps.data.tfds_builder import load_tfds_builder


def read_sentences(
    source: str | os.PathLike, target: str | os.PathLike
) -> tuple[list[str], list[str]]:
    """Returns the lines of two files, where line i of the target is the translation of line i of the source.

    Args:
        source: a UTF-8 text file with one sentence per line. It is decompressed if its name ends in ".gz".
        target: such a file with as many lines.

    Raises:
        DataError: a file does not exist or cannot be read, or the numbers of lines differ.
    """
    sources, targets = _read_lines(source), _read_lines(target)
    if len(sources) != len(targets):
        raise DataError(
            f"{source} has {len(sources):,} lines and {target} {len(targets):,}: each line of one is the"
            " translation of the same line of the other, so pass files of as many lines"
        )
    if not sources:
        raise DataError(f"{source} and {target} hold no line")
    return sources, targets


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


def _read_lines(path: str | os.PathLike) -> list[str]:
    """Returns the lines of a UTF-8 text file, without surrounding white space."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 (byte {error.start:,}): convert it, for example with iconv -t utf-8"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    # `str.splitlines` would also split at U+2028 and other characters that a sentence may hold.
    lines = text.removesuffix("\n").split("\n") if text else []
    return [line.strip() for line in lines]
