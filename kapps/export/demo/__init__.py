"""Serves a page that runs a .tflite file in the browser: nothing is loaded from, or sent to, another machine.

The page runs the file with LiteRT.js, whose files are in `litertjs/`, compressed with gzip; `tools/vendor_litertjs.sh`
writes them.
"""

import json
import os
import pathlib
import zipfile
import zlib

from kapps._local_paths import local_path
from kapps._names import attribute_finder
from kapps.export import runtime
from kapps.export.demo._server import Page, PageServer
from kapps.export.tflite._metadata import LABELS

HOST = "127.0.0.1"
VERSION = "2.5.3"
"""The version of LiteRT.js."""
FOLDER = pathlib.Path(__file__).resolve().parent
MAX_LABEL_BYTES = 2**24
_CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".wasm": "application/wasm",
}


def make_server(path: str | os.PathLike, port: int = 0, *, trust: bool = False) -> PageServer:
    """Returns a server of the page for one model, on this machine only; `serve_forever` runs it.

    The server answers only requests for its own address, so that pages of other sites cannot read the model.

    Args:
        path: of the .tflite file.
        port: 0 for any free port.
        trust: whether to serve the file without running it once, in a child process, before.

    Raises:
        ValueError: for a file that is not a .tflite file, does not run or does not take images, and for a port that
            cannot be used.
    """
    path = local_path(path).absolute()
    if not 0 <= port < 2**16:
        raise ValueError(f"port {port} cannot be used: it is not from 0 to 65535")
    _check_file(path)
    about = {"name": path.stem, "labels": read_labels(path)}
    if not trust:
        _check_images(path)
    pages = {
        "/about.json": Page(json.dumps(about).encode(), {"Content-Type": "application/json"}),
        "/model.tflite": Page(path, {"Content-Type": "application/octet-stream"}),
        **{f"/{file.relative_to(FOLDER).as_posix()}": _page(file) for file in _page_files()},
    }
    pages = {name.removesuffix(".gz"): page for name, page in pages.items()}
    pages["/"] = pages["/index.html"]
    try:
        return PageServer((HOST, port), pages)
    except OSError as error:
        raise ValueError(f"port {port} cannot be used: {error.strerror}") from error


def _check_file(path):
    if not path.exists():
        raise ValueError(f"there is no file {path}")
    try:
        if path.is_file():
            with path.open("rb") as file:
                if file.read(8)[4:] == b"TFL3":
                    return
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    raise ValueError(f"{path} is not a .tflite file")


def _check_images(path):
    """Raises ValueError for a file that does not run, or that does not take one image."""
    shapes = list(runtime.check_tflite(path).values())
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] not in (1, 3):
        raise ValueError(
            f"{path} takes {' and '.join(map(str, shapes))}, and the page needs one image [1, height, width, 1 or 3]"
        )


def _page_files():
    """Returns the files of the page."""
    files = [FOLDER / "index.html", *(FOLDER / "litertjs").iterdir()]
    return [file for file in files if _content_type(file)]


def _content_type(file):
    return _CONTENT_TYPES.get(pathlib.Path(file.name.removesuffix(".gz")).suffix)


def _page(file):
    encoding = {"Content-Encoding": "gzip"} if file.suffix == ".gz" else {}
    return Page(file, {"Content-Type": _content_type(file), **encoding})


def read_labels(path: pathlib.Path) -> list[str]:
    """Returns the class names in a .tflite file's metadata, or an empty list.

    Raises:
        ValueError: for class names that are corrupt, or have more than `MAX_LABEL_BYTES`.
    """
    try:
        if not zipfile.is_zipfile(path):
            return []
        with zipfile.ZipFile(path) as archive:
            if LABELS not in archive.namelist():
                return []
            with archive.open(LABELS) as file:
                content = file.read(MAX_LABEL_BYTES + 1)
        if len(content) > MAX_LABEL_BYTES:
            raise ValueError(f"it has more than {MAX_LABEL_BYTES:,} bytes")
        return content.decode().removesuffix("\n").split("\n")  # names may have U+0085 or U+2028
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        # RuntimeError: encrypted, or an unknown compression (NotImplementedError)
        reason = str(error).splitlines() or [type(error).__name__]
        raise ValueError(f"{path}: its {LABELS} cannot be read: {reason[0]}") from error


__getattr__ = attribute_finder(__name__)
