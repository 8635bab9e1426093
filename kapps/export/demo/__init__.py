"""A .tflite file in the browser: serves the page of `index.html` and what it needs, on this machine alone."""

import http.server
import json
import os
import pathlib
import shutil
import subprocess
import zipfile

from kapps._files import temporary_directory
from kapps.export.tflite import _metadata as metadata

LITERT = "@litertjs/core@2.5.3"
HOST = "127.0.0.1"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".wasm": "application/wasm",
}


def page() -> pathlib.Path:
    """Returns the directory of the page."""
    return pathlib.Path(__file__).parent


def litert_js(folder: pathlib.Path | None = None) -> pathlib.Path:
    """Returns a `node_modules` directory with LiteRT.js, fetched by npm where it is missing.

    Args:
        folder: that it is kept in; None for the user's cache.

    Raises:
        ValueError: where npm is missing or fails.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = folder or pathlib.Path(cache, "kapps", "litertjs")
    modules = folder / "node_modules"
    if (modules / "@litertjs" / "core" / "wasm").is_dir():
        return modules
    if shutil.which("npm") is None:
        raise ValueError(
            f"the page needs LiteRT.js: install npm, or put {LITERT} below {modules} by hand"
        )
    with temporary_directory(folder) as made:
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(made)]
        done = subprocess.run([*command, LITERT], capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
            raise ValueError(f"npm cannot install {LITERT}: {said[-1]}")
        os.replace(made / "node_modules", modules)
    return modules


def labels(path: pathlib.Path) -> list[str]:
    """Returns the class names that a .tflite file holds, or none."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        if metadata.LABELS not in archive.namelist():
            return []
        return archive.read(metadata.LABELS).decode().splitlines()


def server(
    path: str | os.PathLike, modules: pathlib.Path, port: int = 0
) -> http.server.ThreadingHTTPServer:
    """Returns a server of the page with one model, bound to this machine alone; `serve_forever` runs it.

    Args:
        path: of the .tflite file.
        modules: what `litert_js` returned.
        port: 0 for any that is free.

    Raises:
        ValueError: for a file that is no .tflite file, and a port that is taken.
    """
    path = pathlib.Path(path)
    if not path.is_file() or path.read_bytes()[4:8] != b"TFL3":
        raise ValueError(f"{path} is no .tflite file")
    about = json.dumps({"name": path.stem, "labels": labels(path)}).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content, suffix = self.content(self.path.partition("?")[0])
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", _TYPES.get(suffix, "application/octet-stream"))
            # Both let WebAssembly use threads.
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def content(self, asked):
            if asked == "/model.tflite":
                return path.read_bytes(), ".tflite"
            if asked == "/about.json":
                return about, ".json"
            root, inside = page(), asked.lstrip("/") or "index.html"
            if asked.startswith("/litert/"):
                root, inside = modules, asked.removeprefix("/litert/")
            file = (root / inside).resolve()
            if not file.is_relative_to(root.resolve()) or not file.is_file():
                return None, ""
            return file.read_bytes(), file.suffix

        def log_message(self, *_):
            pass

    try:
        return http.server.ThreadingHTTPServer((HOST, port), Handler)
    except OSError as error:
        raise ValueError(f"port {port} cannot be used: {error.strerror}") from error
