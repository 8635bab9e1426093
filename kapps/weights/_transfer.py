"""Downloads the rest of a file over HTTP, in a limited time and up to a limited size."""

import os
import sys
import threading
from typing import BinaryIO

TIMEOUT = 30
"""Seconds to wait for a server's next bytes."""
LOWEST_RATE = 4 * 2**10
"""Bytes per second: a slower transfer is ended."""
ATTEMPTS = 5
"""Transfers of one call: one that is cut off after some bytes is followed by another."""


def fetch(url: str, file: BinaryIO, largest: float) -> None:
    """Appends the rest of the file at a URL to a file.

    Args:
        url: of HTTP or HTTPS.
        file: file that is open to append bytes. It has the first bytes of the content, or is empty.
        largest: size in bytes at which the transfer ends, even if the server sends more.

    Raises:
        OSError, ValueError: of the network, of the disk, or of what the server sends. What was received until then
            is in `file`.
    """
    progress = _Progress(largest)
    for attempt in range(ATTEMPTS):
        size = file.seek(0, os.SEEK_END)
        try:
            return _transfer(url, file, progress)
        except _Complete:
            return None
        except (OSError, ValueError):
            if attempt + 1 == ATTEMPTS or file.seek(0, os.SEEK_END) <= size:
                raise
    return None


def reason(error: Exception) -> str:
    """Returns the first line of an error, without control characters, in at most 200 characters."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return "".join(character if character.isprintable() else "?" for character in line)


def _transfer(url, file, progress):
    """Appends the bytes that follow those in `file`, or replaces them by all bytes if the server cannot resume.

    The transfer is in a thread, since a server that sends a byte now and then keeps a read from timing out.
    """
    import pooch

    size = progress.start = progress.done = file.seek(0, os.SEEK_END)

    def check_status(response, **_):
        part = response.headers.get("Content-Range", "")
        if response.status_code == 200:  # the whole file
            file.truncate(0)
            progress.start = progress.done = 0
        elif response.status_code == 416 and size:  # there are no bytes after those in the file
            raise _Complete
        elif response.status_code == 206 and not part.startswith(f"bytes {size}-"):
            raise OSError(f"the server sends the part {part!r} of the file, not that from {size}")
        elif response.ok and response.status_code != 206 and not response.is_redirect:
            raise OSError(f"the server's status is {response.status_code}")

    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={size}-"} if size else {})}
    downloader = pooch.HTTPDownloader(
        progressbar=progress, timeout=TIMEOUT, headers=headers, hooks={"response": check_status}
    )
    errors = []

    def run():
        try:
            downloader(url, file, None)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    received = -LOWEST_RATE * TIMEOUT  # the connection takes a part of the first interval
    while thread.is_alive():
        thread.join(TIMEOUT)
        if thread.is_alive() and progress.received - received < LOWEST_RATE * TIMEOUT:
            raise TimeoutError(f"fewer than {LOWEST_RATE:,} bytes a second in {TIMEOUT} seconds")
        received = progress.received
    if errors:
        raise errors[0]


class _Complete(Exception):  # noqa: N818
    """The file has all bytes that the server has, or more than it may have."""


class _Progress:
    """A progress bar on stderr, in the form that pooch expects, which ends a transfer that is too large."""

    def __init__(self, largest):
        self.largest, self.total, self.start, self.done = largest, 0, 0, 0
        self.received = 0

    def update(self, size):
        self.done += size
        self.received += size
        if self.done > self.largest + 2**16:  # pooch counts whole chunks
            raise _Complete
        if self.total and sys.stderr.isatty():
            total = self.start + self.total
            done, total = min(self.done, total) / 2**20, total / 2**20
            print(f"\r{done:,.0f} of {total:,.0f} MB", end="", file=sys.stderr, flush=True)

    def reset(self):
        self.done = self.start

    def close(self):
        if self.total and sys.stderr.isatty():
            print(file=sys.stderr)
