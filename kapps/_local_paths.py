"""Paths that a user passes: local ones, with the home directory for "~"."""

import os
import pathlib
import re

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""The start of an address. `pathlib.Path` shortens "gs://bucket" to "gs:/bucket"."""


def local_path(path: str | os.PathLike, option: str = "path") -> pathlib.Path:
    """Returns a local path, with "~" and "~user" replaced by the home directory.

    Args:
        path: the path.
        option: what the path is, for the error, such as "--model_dir".

    Raises:
        ValueError: for an empty path, an address such as "gs://bucket/models", and characters that no path has.
    """
    text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else path
    if not isinstance(text, str):
        raise ValueError(f"{option}={path!r} is not a path: pass a str or a pathlib.Path")
    if not text.strip():
        raise ValueError(f"{option}={text!r} is empty: pass the path of a file or folder")
    if _REMOTE.match(text):
        raise ValueError(
            f"{option}={text} is not a local path: copy files to a local folder first, and copy results afterwards"
        )
    if "\0" in text:
        raise ValueError(f"{option}={text!r} has the character NUL, which no path has")
    expanded = os.path.expanduser(text)
    if text.startswith("~") and expanded == text and not os.path.lexists(text):
        raise ValueError(
            f"{option}={text}: there is no home directory of that user; pass the whole path"
        )
    return pathlib.Path(expanded)


def nearest_parent(path: str | os.PathLike) -> str:
    """Returns the path itself if it exists, or the nearest folder or file above it that does."""
    path = os.path.abspath(path)
    while not os.path.lexists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path
