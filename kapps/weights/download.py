"""Downloads pretrained weights once, resumes interrupted downloads, and verifies files before any model is built."""

import contextlib
import hashlib
import os
import pathlib
import re
import sys

from kapps import cards
from kapps._files import flush, open_exclusively, sync, write_atomically
from kapps.weights import _transfer
from kapps.weights._transfer import reason

SIZE_TOLERANCE = 1.1e-3 * 2**20
"""Bytes: a publisher's size in megabytes has three decimals."""


def weights_folder() -> pathlib.Path:
    """Returns the folder of downloaded weights: `weights` in $KAPPS_HOME, by default in ~/.cache/kapps."""
    home = os.environ.get("KAPPS_HOME") or pathlib.Path.home() / ".cache" / "kapps"
    return pathlib.Path(home).expanduser() / "weights"


def download(checkpoint: cards.Checkpoint) -> pathlib.Path:
    """Returns the path of pretrained weights, and downloads them if they are not in `weights_folder()`.

    A download is written to `.partial-<file>`, verified and then renamed. An interrupted download is resumed by the
    next call, and a second process waits for the first one. A file that the user put into the folder is verified in
    the same way. Publishers give an MD5, or only the first digits of a SHA-256. The full SHA-256 of a verified file is
    written next to it, as `<file>.sha256`, and later calls compare all of it.

    Args:
        checkpoint: the row of the manifest.

    Raises:
        ValueError: in one line, if the size or the hash differs from the publisher's, if the file cannot be written,
            or if there is no network, with the URL and the folder to put the file into.
    """
    path = weights_folder() / checkpoint.file
    record = path.with_name(f"{path.name}.sha256")
    try:
        recorded = _read_record(record)
        if path.is_dir():
            raise ValueError(
                f"{checkpoint.name}: {path} is a directory; remove it, and the file is downloaded"
            )
        if path.is_file():
            verify(path, checkpoint, str(path), recorded)
        else:
            _download(checkpoint, path, recorded)
    except OSError as error:
        raise ValueError(
            f"{checkpoint.name}: {path} cannot be read or written ({reason(error)}); "
            "set KAPPS_HOME to a directory that can"
        ) from error
    if recorded is None:
        with (
            contextlib.suppress(OSError),
            write_atomically(record) as temporary,
        ):  # a folder may be read-only
            temporary.write_text(f"{_hash(path, 'sha256')}  {path.name}\n", encoding="utf-8")
    return path


def _read_record(record):
    """Returns the SHA-256 in a file `<file>.sha256`, or `None` if there is no such file."""
    if not record.is_file():
        return None
    digits = re.match(rb"[0-9a-f]{64}\b", record.read_bytes()[:100])
    if digits is None:
        raise ValueError(
            f"{record} does not start with a SHA-256; remove it, and it is written again"
        )
    return digits[0].decode()


def verify(
    path: pathlib.Path, checkpoint: cards.Checkpoint, description: str, recorded: str | None = None
) -> None:
    """Compares the size and the hash of a file with the publisher's, and with the recorded SHA-256 if there is one.

    Args:
        path: of the file.
        checkpoint: the row of the manifest.
        description: of the file, in the error.
        recorded: full SHA-256 of the file when it was downloaded.

    Raises:
        ValueError: in one line, with what is expected, what the file has, and what to do.
    """
    prefix = f"{checkpoint.name}: {description} fails verification:"
    advice = "it is incomplete, corrupt or another file; remove it, and it is downloaded again"
    size = path.stat().st_size
    if checkpoint.megabytes and abs(size - checkpoint.megabytes * 2**20) > SIZE_TOLERANCE:
        raise ValueError(
            f"{prefix} expected {checkpoint.megabytes:.3f} MB, as {checkpoint.source} states for {checkpoint.file}, "
            f"but it has {size / 2**20:.3f} MB; {advice}"
        )
    algorithm, expected = checkpoint.digest.split(":")
    actual = _hash(path, algorithm)
    if not actual.startswith(expected):
        raise ValueError(
            f"{prefix} expected {algorithm}:{expected}, as {checkpoint.source} states for {checkpoint.file}, "
            f"but it has {algorithm}:{actual}; {advice}"
        )
    actual = actual if algorithm == "sha256" else _hash(path, "sha256")
    if recorded and actual != recorded:
        raise ValueError(
            f"{prefix} expected sha256:{recorded}, as when it was downloaded, but it has sha256:{actual}; {advice}"
        )


def _hash(path, algorithm):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _download(checkpoint, path, recorded):
    """Writes the file at a checkpoint's URL to a path, after it is verified."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    with open_exclusively(partial) as file:
        try:
            if not path.is_file():  # otherwise another process has downloaded it
                _fetch_and_verify(checkpoint, partial, file, recorded)
                flush(partial)
                os.replace(partial, path)
                sync(path.parent)
        finally:
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() or not partial.stat().st_size:
                    os.unlink(partial)


def _fetch_and_verify(checkpoint, partial, file, recorded):
    """Completes a partial file. One that fails verification is emptied, and downloaded again if it was resumed."""
    largest = checkpoint.megabytes and checkpoint.megabytes * 2**20 + SIZE_TOLERANCE
    largest = largest or _largest_size(checkpoint)
    for size in {file.seek(0, os.SEEK_END): None, 0: None}:
        resumed = f", resumed at {size / 2**20:,.1f} MB" if size else ""
        print(
            f"{checkpoint.name}: downloading {checkpoint.url} to {partial.parent}{resumed}",
            file=sys.stderr,
        )
        try:
            _transfer.fetch(checkpoint.url, file, largest)
        except (
            OSError,
            ValueError,
        ) as error:  # of the network, of the disk, or of what the server sends
            received = file.seek(0, os.SEEK_END)
            resume = f"try again to resume at {received / 2**20:,.1f} MB, or " if received else ""
            raise ValueError(
                f"{checkpoint.name}: {checkpoint.url} cannot be downloaded ({reason(error)}); "
                f"{resume}download it elsewhere and put it into {partial.parent}"
            ) from error
        try:
            return verify(partial, checkpoint, f"the file from {checkpoint.url}", recorded)
        except ValueError:
            file.truncate(0)
            if not size:
                raise
    return None


def _largest_size(checkpoint):
    """Returns the largest size in bytes of a file without a stated size: values in float64, and 16 MB."""
    return 8 * cards.card(checkpoint.name).params + 2**24
