"""Progress of exports and verifications: one line on standard error for each phase."""

import contextlib
import sys
import time
from collections.abc import Iterator


@contextlib.contextmanager
def phase(description: str, verbose: int = 1) -> Iterator[None]:
    """Prints `description ...` when the block starts, and the elapsed time when it ends.

    The line goes to standard error, so that a program's results on standard output stay clean.

    Args:
        description: what the block does, such as "Exporting resnet50 as a SavedModel".
        verbose: 0 prints nothing; 1 prints the line, as in Keras.
    """
    if not verbose:
        yield
        return
    start = time.monotonic()
    print(f"{description} ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    except BaseException:
        print(" failed", file=sys.stderr, flush=True)
        raise
    print(f" {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
