"""Names that users pass: the nearest of the allowed ones."""

import difflib


def nearest(word: str, words) -> str:
    """Returns " Did you mean a or b?" for the nearest of `words`, or "" if none is near."""
    close = difflib.get_close_matches(word, words, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(close)}?" if close else ""
