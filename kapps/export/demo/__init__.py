"""Serves a page that runs a .tflite file in the browser: nothing is loaded from, or sent to, another machine.

The page runs the file with LiteRT.js, whose files are in `litertjs/`, compressed with gzip; `tools/vendor_litertjs.sh`
writes them.
"""

import http.server
import json
import os
import pathlib
import zipfile

from kapps._names import attribute_finder
from kapps.export.tflite._metadata import LABELS

HOST = "127.0.0.1"
VERSION = "2.5.3"
"""The version of LiteRT.js."""
FOLDER = pathlib.Path(__file__).resolve().parent
_CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".wasm": "application/wasm",
}


def make_server(path: str | os.PathLike, port: int = 0) -> http.server.ThreadingHTTPServer:
    """Returns a server of the page for one model, on this machine only; `serve_forever` runs it.

    Args:
        path: of the .tflite file.
        port: 0 for any free port.

    Raises:
        ValueError: for a file that is not a .tflite file, and a port that is in use.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise ValueError(f"there is no file {path}")
    if not path.is_file() or path.read_bytes()[4:8] != b"TFL3":
        raise ValueError(f"{path} is not a .tflite file")
    about = json.dumps({"name": path.stem, "labels": read_labels(path)}).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content, headers = self.find(self.path.partition("?")[0])
            self.send_response(404 if content is None else 200)
            # These two headers allow WebAssembly to use threads.
            headers |= {"Cross-Origin-Opener-Policy": "same-origin"}
            headers |= {"Cross-Origin-Embedder-Policy": "require-corp"}
            headers |= {"Content-Length": str(len(content or b""))}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content or b"")

        def find(self, url):
            """Returns the content of a URL's path, None if there is none, and its headers."""
            if url == "/model.tflite":
                return path.read_bytes(), {"Content-Type": "application/octet-stream"}
            if url == "/about.json":
                return about, {"Content-Type": "application/json"}
            return _read_file(url.lstrip("/") or "index.html")

        def log_message(self, *_):
            pass

    try:
        return http.server.ThreadingHTTPServer((HOST, port), Handler)
    except OSError as error:
        raise ValueError(f"port {port} cannot be used: {error.strerror}") from error


def read_labels(path: pathlib.Path) -> list[str]:
    """Returns the class names in a .tflite file's metadata, or an empty list."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        if LABELS not in archive.namelist():
            return []
        return archive.read(LABELS).decode().splitlines()


def _read_file(name: str) -> tuple[bytes | None, dict[str, str]]:
    """Returns the content and the headers of a file of the page; (None, {}) for any other file."""
    file = (FOLDER / name).resolve()
    content_type = _CONTENT_TYPES.get(file.suffix)
    if not file.is_relative_to(FOLDER) or content_type is None:
        return None, {}
    compressed = file.with_name(f"{file.name}.gz")
    if compressed.is_file():
        headers = {"Content-Type": content_type, "Content-Encoding": "gzip"}
        return compressed.read_bytes(), headers
    if file.is_file():
        return file.read_bytes(), {"Content-Type": content_type}
    return None, {}


__getattr__ = attribute_finder(__name__)
