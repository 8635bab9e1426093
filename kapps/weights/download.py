"""Downloads pretrained weights once, and verifies them before any model is built."""

import contextlib
import hashlib
import os
import pathlib
import sys

from kapps import cards
from kapps._files import write_atomically

TIMEOUT = 30
"""Seconds to wait for a server's next bytes."""
SIZE_TOLERANCE = 1.1e-3 * 2**20
"""Bytes: a publisher's size in megabytes has three decimals."""


def weights_folder() -> pathlib.Path:
    """Returns the folder of downloaded weights: `weights` in $KAPPS_HOME, by default in ~/.cache/kapps."""
    home = os.environ.get("KAPPS_HOME") or pathlib.Path.home() / ".cache" / "kapps"
    return pathlib.Path(home) / "weights"


def download(checkpoint: cards.Checkpoint) -> pathlib.Path:
    """Returns the path of pretrained weights, and downloads them if they are not in `weights_folder()`.

    A download is written to a temporary path, verified and then renamed, so an interrupted download leaves no file. A
    file that the user put into the folder is verified in the same way. Publishers give an MD5, or only the first digits
    of a SHA-256. The full SHA-256 of a verified file is written next to it, as `<file>.sha256`, and later calls compare
    all of it.

    Args:
        checkpoint: the row of the manifest.

    Raises:
        ValueError: in one line, if the size or the hash differs from the publisher's, or if there is no network, with
            the URL and the folder to put the file into.
    """
    path = weights_folder() / checkpoint.file
    record = path.with_name(f"{path.name}.sha256")
    recorded = record.read_text(encoding="utf-8").split()[0] if record.is_file() else None
    if path.is_file():
        verify(path, checkpoint, str(path), recorded)
    else:
        with write_atomically(path) as temporary:
            _download(checkpoint, temporary)
            verify(temporary, checkpoint, f"the file from {checkpoint.url}", recorded)
    if recorded is None:
        with (
            contextlib.suppress(OSError),
            write_atomically(record) as temporary,
        ):  # a folder may be read-only
            temporary.write_text(f"{_hash(path, 'sha256')}  {path.name}\n", encoding="utf-8")
    return path


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


def _download(checkpoint, path):
    """Writes the file at a checkpoint's URL to a path, at most as large as the file may be."""
    import pooch

    print(f"{checkpoint.name}: downloading {checkpoint.url} to {weights_folder()}", file=sys.stderr)
    largest = checkpoint.megabytes and checkpoint.megabytes * 2**20 + SIZE_TOLERANCE
    progress = _Progress(largest or _largest_size(checkpoint))
    try:
        pooch.HTTPDownloader(progressbar=progress, timeout=TIMEOUT)(checkpoint.url, path, None)
    except _TooLarge:
        pass  # verification finds it
    except OSError as error:  # of the network or of the disk
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{checkpoint.name}: {checkpoint.url} cannot be downloaded ({reason}); "
            f"download it elsewhere and put it into {weights_folder()}"
        ) from error


def _largest_size(checkpoint):
    """Returns the largest size in bytes of a file without a stated size: values in float64, and 16 MB."""
    return 8 * cards.card(checkpoint.name).params + 2**24


class _TooLarge(Exception):  # noqa: N818
    """A download exceeds the largest size that its file may have."""


class _Progress:
    """A progress bar on stderr, in the form that pooch expects, which stops a download that is too large."""

    def __init__(self, largest):
        self.largest, self.total, self.done = largest, 0, 0

    def update(self, size):
        self.done += size
        if self.done > self.largest + 2**16:  # pooch counts whole chunks
            raise _TooLarge
        if self.total and sys.stderr.isatty():
            done, total = min(self.done, self.total) / 2**20, self.total / 2**20
            print(f"\r{done:,.0f} of {total:,.0f} MB", end="", file=sys.stderr, flush=True)

    def reset(self):
        self.done = 0

    def close(self):
        if self.total and sys.stderr.isatty():
            print(file=sys.stderr)
