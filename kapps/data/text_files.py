"""`read_text_file`: reads text files of users, in UTF-8 or with a byte order mark, whatever the locale is."""

import codecs
import gzip
import os
import pathlib
import zlib
from collections.abc import Sequence

from kapps._local_paths import local_path
from kapps.data.errors import DataError

MAX_BYTES = 2**30
"""Largest size of a text file, also after decompression."""
_BYTE_ORDER_MARKS = {  # UTF-32 first: its mark starts with that of UTF-16
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_OTHER_FILES = {
    b"PK\x03\x04": "a ZIP archive or an Office document",
    b"\xd0\xcf\x11\xe0": "an Office document",
    b"%PDF": "a PDF document",
    b"\xfd7zXZ\x00": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"BZh91AY&SY": "compressed by bzip2",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89HDF": "an HDF5 file",
}
_GZIP = b"\x1f\x8b"
_MOST_EXPANSION, _SMALL_BYTES = 100, 2**26
"""A compressed file may hold `_SMALL_BYTES`, or so many times its own size."""


def read_text_file(path: str | os.PathLike, *, fallback: str | None = None) -> str:
    r"""Returns the text of a file. Every line end, also "\r\n" and "\r", becomes "\n".

    A byte order mark names UTF-8, UTF-16 or UTF-32; a file without one is UTF-8. A file that gzip compressed is
    decompressed, whatever its name is.

    Args:
        path: the file.
        fallback: encoding of files that are not UTF-8, for file formats older than UTF-8. `None` accepts no such file.

    Raises:
        DataError: the file does not exist or cannot be read, is larger than `MAX_BYTES`, is in another encoding, or
            holds a NUL character. The message names the line.
    """
    content = _read_bytes(local_path(path))
    for start, description in _OTHER_FILES.items():
        if content.startswith(start):
            raise DataError(f"{path} is {description}: pass a text file")
    encoding = next((e for mark, e in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), None)
    text = _decode(path, content, encoding, fallback).replace("\r\n", "\n").replace("\r", "\n")
    position = text.find("\0")
    if position >= 0:
        line = text.count("\n", 0, position) + 1
        raise DataError(
            f"{path}, line {line:,}: a NUL character: remove it (tr -d '\\000'), or save the file as UTF-8 text"
            " if it is UTF-16 or no text"
        )
    return text


def read_lines(path: str | os.PathLike, *, fallback: str | None = None) -> list[str]:
    """Returns the lines of a text file without surrounding white space. The last line may have no line end.

    Arguments and errors are those of `read_text_file`.
    """
    text = read_text_file(path, fallback=fallback)
    # `str.splitlines` would also split at U+2028 and other characters that a line may hold.
    return [line.strip() for line in text.removesuffix("\n").split("\n")] if text else []


def read_class_names(path: str | os.PathLike) -> tuple[str, ...]:
    """Returns the class names of a text file, one per line, or with their numbers: "0:daisy", "1:rose", ....

    Blank lines at the end are left out.

    Raises:
        DataError: as for `read_text_file`; there are no names, or a line between them is blank.
    """
    names = read_lines(path)
    while names and not names[-1]:
        names.pop()
    if not names:
        raise DataError(f"{path} is empty: write one class name per line to it")
    if "" in names:
        raise DataError(
            f"{path}, line {names.index('') + 1:,}: a blank line: the number of a line is the class, so"
            " write the name of the class, or delete the line"
        )
    numbers, _, rest = zip(*(name.partition(":") for name in names), strict=True)
    if all(rest) and list(numbers) == [str(number) for number in range(len(names))]:
        names = [name.strip() for name in rest]
    return tuple(names)


def file_name_text(name: str) -> str:
    """Returns the name of a file or folder as text: UTF-8 if its bytes are, whatever the locale is."""
    try:
        return os.fsencode(name).decode("utf-8")
    except UnicodeError:  # another encoding, which the locale may name
        return name


def check_class_names(names: Sequence[str], source: str) -> None:
    """Raises `DataError` for class names that no export can hold: empty ones, line ends, NUL, and no characters.

    Args:
        names: the class names.
        source: where they come from, for the error.
    """
    for name in names:
        reason = None
        if not name.strip():
            reason = "is empty"
        elif any(character in name for character in "\n\r\0"):
            reason = "has a line end or a NUL character"
        elif not name.isascii() and any("\ud800" <= character <= "\udfff" for character in name):
            reason = "is not UTF-8"
        if reason:
            raise DataError(f"{source}: the class name {name!a} {reason}: rename it")


def _read_bytes(path: pathlib.Path) -> bytes:
    if not path.exists():
        raise DataError(f"there is no file {path}")
    if not path.is_file():
        raise DataError(
            f"{path} is {'a directory' if path.is_dir() else 'no regular file'}: pass a file"
        )
    try:
        limit = MAX_BYTES
        with path.open("rb") as file:
            content = file.read(limit + 1)
            if content.startswith(_GZIP):
                limit = min(limit, max(_SMALL_BYTES, _MOST_EXPANSION * len(content)))
                file.seek(0)
                with gzip.open(file) as decompressed:
                    content = decompressed.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read: {reason}") from None
    if len(content) > limit:
        raise DataError(
            f"{path} holds more than {limit:,} bytes of text, which kapps does not read: pass a part of it"
        )
    return content


def _decode(path, content: bytes, encoding: str | None, fallback: str | None) -> str:
    try:
        return content.decode(encoding or "utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        if encoding is None and fallback is not None:
            return content.decode(fallback)
        good = content[: error.start].decode(encoding or "utf-8", "ignore")
        line = good.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
        advice = "" if encoding else ", for example with iconv -f latin1 -t utf-8"
        name = (encoding or "utf-8").upper()
        raise DataError(
            f"{path}, line {line:,}: byte {error.start:,} is not {name}: save the file as UTF-8{advice}"
        ) from None
