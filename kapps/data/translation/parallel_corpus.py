"""Sentences in two languages, line by line: from two files, or from a translation data set of TFDS."""

import gzip
import os
import pathlib
import zlib

from kapps.data.errors import DataError
from kapps.data.tfds_builder import prepared_tfds_builder


def read_sentences(
    source: str | os.PathLike, target: str | os.PathLike
) -> tuple[list[str], list[str]]:
    """Returns the lines of two files, of which each line of one translates the same of the other.

    Args:
        source: a UTF-8 text, a sentence a line; compressed by gzip where its name ends in ".gz".
        target: as many lines.

    Raises:
        DataError: where a file is missing, is no UTF-8 or no gzip, and where one has more lines.
    """
    found = read_lines(source), read_lines(target)
    if len(found[0]) != len(found[1]):
        raise DataError(
            f"{source} has {len(found[0]):,} lines and {target} {len(found[1]):,}: each line of one translates the"
            " same of the other, so give as many"
        )
    if not found[0]:
        raise DataError(f"{source} and {target} hold no line")
    return found


def read_lines(path: str | os.PathLike) -> list[str]:
    """Returns the lines of a UTF-8 text, without space around them; `DataError` where there is none to read."""
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
            f"{path} is not UTF-8 (byte {error.start:,}): convert it, as with iconv -t utf-8"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    # Not splitlines(), for which a line also ends at U+2028 and other signs that sentences may hold.
    found = text.removesuffix("\n").split("\n") if text else []
    return [line.strip() for line in found]


def load_tfds_sentences(
    name: str,
    languages: tuple[str, str],
    split: str = "train",
    data_dir: str | os.PathLike | None = None,
) -> tuple[list[str], list[str]]:
    """Returns the sentences of a translation data set of TFDS, such as "wmt14_translate/de-en".

    Args:
        name: TFDS's; it is prepared (and downloaded, where it must be) under `data_dir`.
        languages: names of two of its features, the source's first.
        split: TFDS's, such as "train[:10%]".
        data_dir: TFDS's own for None.

    Raises:
        DataError: for a data set that cannot be had, and a feature or split that it lacks.
    """
    builder = prepared_tfds_builder(name, data_dir)
    features = list(builder.info.features or ())
    missing = [language for language in languages if language not in features]
    if missing:
        raise DataError(
            f"{name} has no language {missing[0]!r}: it has {', '.join(features) or 'none'}"
        )
    try:
        examples = builder.as_dataset(split=split, shuffle_files=False)
    except (ValueError, KeyError) as error:
        reason = str(error).strip("'\"").splitlines()[0]
        raise DataError(f"{name} has no split {split!r}: {reason}") from None
    found = [[], []]
    for example in examples.as_numpy_iterator():
        for language, sentences in zip(languages, found, strict=True):
            sentences.append(example[language].decode("utf-8").strip())
    return found[0], found[1]
