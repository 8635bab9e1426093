"""Published files of weights: fetched once, checked every time, before anything is built of them."""

import hashlib
import os
import pathlib
import sys
import urllib.request

from kapps import cards
from kapps._files import write_atomically

CHUNK = 2**20
TIMEOUT = 30
"""Seconds that a server may stay silent."""
ROUNDED = 1.1e-3 * 2**20
"""Bytes that a size in megabytes of three decimals may be off by."""


def folder() -> pathlib.Path:
    """Returns where published weights lie: `weights` in $KAPPS_HOME, by default in ~/.cache/kapps."""
    home = os.environ.get("KAPPS_HOME") or pathlib.Path.home() / ".cache" / "kapps"
    return pathlib.Path(home) / "weights"


def fetched(row: cards.Checkpoint) -> pathlib.Path:
    """Returns the path of a published file: what lies in `folder()` already, else what its address gives.

    A download is written aside and checked before it has the file's name, so that no half file is ever found. A file
    put into the folder by hand goes through the same checks.

    Args:
        row: of the manifest.

    Raises:
        ValueError: in one line, for a file of another size or hash than the publisher's, and without a network, with
            the file's address and where to put it.
    """
    path = folder() / row.file
    if not path.is_file():
        with write_atomically(path) as written:
            _download(row, written)
            check(written, row, f"what {row.url} gave")
    else:
        check(path, row, f"{path}")
    return path


def check(path: pathlib.Path, row: cards.Checkpoint, what: str) -> None:
    """Compares a file with the publisher's size, where it states one, and hash.

    Raises:
        ValueError: in one line that begins with `what`.
    """
    size = path.stat().st_size
    if row.megabytes and abs(size - row.megabytes * 2**20) > ROUNDED:
        raise ValueError(
            f"{row.name}: {what} is refused: it has {size / 2**20:.3f} MB, and {row.source}'s {row.file} has "
            f"{row.megabytes:.3f}; it is cut short or another file"
        )
    algorithm, expected = row.digest.split(":")
    with open(path, "rb") as file:
        given = hashlib.file_digest(file, algorithm).hexdigest()
    if not given.startswith(expected):
        raise ValueError(
            f"{row.name}: {what} is refused: its {algorithm.upper()} begins with {given[: len(expected)]}, and that of "
            f"{row.source}'s {row.file} with {expected}; it is damaged or another file"
        )


def _download(row, path):
    """Writes what the row's address gives, no more than the file may have, and shows how far it is."""
    most = int(row.megabytes * 2**20 + ROUNDED) if row.megabytes else _most(row)
    try:
        with urllib.request.urlopen(row.url, timeout=TIMEOUT) as answer, open(path, "wb") as file:
            print(f"{row.name}: fetching {row.url} into {folder()}", file=sys.stderr)
            total = int(answer.headers.get("Content-Length") or 0)
            done = 0
            while done <= most and (chunk := answer.read(CHUNK)):
                done += file.write(chunk)
                _show(done, total)
    except OSError as error:  # of the network or of the disk
        reason = getattr(error, "reason", None) or error.strerror or error
        raise ValueError(
            f"{row.name}: {row.url} cannot be fetched ({reason}); fetch it elsewhere and put it into {folder()}"
        ) from error


def _most(row):
    """Bytes that a file without a stated size may have: its values in float64, and something for its names."""
    return 8 * cards.card(row.name).params + 2**24


def _show(done, total):
    if total and sys.stderr.isatty():
        end = "\n" if done >= total else ""
        print(
            f"\r{done / 2**20:,.0f} of {total / 2**20:,.0f} MB",
            end=end,
            file=sys.stderr,
            flush=True,
        )
