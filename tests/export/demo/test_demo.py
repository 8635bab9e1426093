"""The page that runs a .tflite file in the browser: for an image file and for a drawing, without external requests."""

import contextlib
import gzip
import io
import json
import pathlib
import socket
import subprocess
import sys
import threading
import time
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

import kapps
from kapps.export import demo, runtime
from kapps.export.demo import _server
from kapps.preprocessing import Preprocessing

sys.path.append(str(pathlib.Path(__file__).parents[3] / "tools" / "faults"))
from _tflite_file import write_tflite

DRIVER = pathlib.Path(__file__).with_name("demo.mjs")
NAMES = ["red", "green", "blue", "white", "dark", "other"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A .tflite file that classifies images by their main colour."""
    image = keras.Input((16, 16, 3))
    dense = keras.layers.Dense(6)
    model = keras.Model(
        image,
        keras.layers.Softmax()(dense(keras.layers.GlobalAveragePooling2D()(image))),
        name="colours",
    )
    kernel = np.array([[4, -2, -2, 2, -2, 0], [-2, 4, -2, 2, -2, 0], [-2, -2, 4, 2, -2, 0]])
    dense.set_weights([kernel.astype("float32"), np.array([0, 0, 0, -1, 1, 0], "float32")])
    preprocessing = Preprocessing(size=(16, 16), crop=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    path = tmp_path_factory.mktemp("demo") / "colours.tflite"
    return kapps.export.tflite(model, path, preprocessing=preprocessing, class_names=NAMES)


def visit(file, modules, tmp_path, **options):
    """Returns the page's contents for a green image, after clearing, for a drawing, and for a file without an image."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[..., 1] = 255
    Image.fromarray(pixels).save(tmp_path / "green.png")
    server = demo.make_server(file, **options)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://{demo.HOST}:{server.server_address[1]}"
        command = ["node", DRIVER, modules, url, tmp_path / "green.png", tmp_path / "page.png"]
        process = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=300, encoding="utf-8"
        )
    finally:
        server.shutdown()
        server.server_close()
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.mark.browser
def test_page_classifies_an_image_and_a_drawing(file, modules, tmp_path):
    page = visit(file, modules, tmp_path)
    assert (page["ready"], page["error"]) == ("yes", "")
    assert (page["externalRequests"], page["pageErrors"]) == ([], [])
    assert page["name"] == "colours: 16 x 16, 6 classes"
    green = np.broadcast_to(np.float32([0, 255, 0]), (1, 16, 16, 3))
    expected = runtime.run(file, green)["probabilities"][0]
    assert [row[0] for row in page["imageRows"]] == [
        NAMES[n] for n in np.argsort(-expected, kind="stable")[:5]
    ]
    assert page["imageRows"][0][:2] == ["green", f"{100 * expected[1]:.1f} %"]
    widths = [row[2] for row in page["imageRows"]]
    assert widths == sorted(widths, reverse=True) and widths[0] > 10 * widths[-1]
    assert page["time"].endswith(" ms") and page["rowsAfterClear"] == 0
    assert page["drawingRows"][0][0] != "green" and len(page["drawingRows"]) == 5
    assert "notes.txt is not an image" in page["fileError"]
    with Image.open(tmp_path / "page.png") as screenshot:
        assert screenshot.width > 600


@pytest.mark.browser
def test_page_paints_the_class_of_every_pixel_over_the_image(modules, tmp_path):
    image = keras.Input((12, 16, 3))
    scores = keras.layers.Conv2D(3, 1)
    model = keras.Model(
        image, keras.layers.Softmax(name="predictions")(scores(image)), name="pixels"
    )
    scores.set_weights([4 * np.eye(3, dtype="float32")[None, None], np.zeros(3, "float32")])
    preprocessing = Preprocessing(size=(12, 16), crop=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    path = kapps.export.tflite(
        model, tmp_path / "pixels.tflite", preprocessing=preprocessing, class_names=NAMES[:3]
    )
    page = visit(path, modules, tmp_path)
    assert (page["ready"], page["error"], page["pageErrors"]) == ("yes", "", [])
    assert page["imageRows"][0][:2] == ["green", "100.0 %"] and len(page["imageRows"]) == 1
    assert page["mask"] == [128, 0, 0, 255]  # the colour of class 1
    assert page["maskAfterClear"] == [0, 0, 0, 0]


@pytest.mark.browser
def test_page_shows_the_error_of_a_file_that_does_not_run(file, modules, tmp_path):
    corrupt = tmp_path / "corrupt.tflite"
    corrupt.write_bytes(b"\x1c\0\0\0TFL3" + bytes(64))
    page = visit(corrupt, modules, tmp_path, trust=True)
    assert page["ready"] == "no" and page["error"].startswith("The model cannot be run here")


def test_other_files_raise(file, tmp_path):
    content = file.read_bytes()
    labels = zip_of(demo.LABELS, b"\xff\xfe"), zip_of(demo.LABELS, b"a\n" * 2**24)
    sequence = write_tflite(tmp_path / "sequence.tflite", (1, 20))
    for path, written, words in [
        ("notes.tflite", b"notes", "is not a .tflite file"),
        ("none.tflite", None, "there is no file"),
        ("directory.tflite", ..., "is not a .tflite file"),
        ("short.tflite", b"\x1c\0\0\0TFL3" + bytes(64), "does not run"),
        ("cut.tflite", content[: len(content) // 2], "does not run"),
        ("labels.tflite", content + labels[0], "labels.txt cannot be read"),
        ("bomb.tflite", content + labels[1], "labels.txt cannot be read"),
        ("sequence.tflite", sequence.read_bytes(), "needs one image"),
    ]:
        path = tmp_path / path
        if written is ...:
            path.mkdir()
        elif written is not None:
            path.write_bytes(written)
        with pytest.raises(ValueError, match=words) as error:
            demo.make_server(path)
        assert path.name in str(error.value) and "\n" not in str(error.value)
    for port in (-1, 2**16, 10**20):
        with pytest.raises(ValueError, match="port"):
            demo.make_server(file, port)


def zip_of(name, content):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


@pytest.fixture(scope="module")
def port(file):
    """The port of a server of the page."""
    server = demo.make_server(file)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def get(port, path="/", host="127.0.0.1", method="GET", headers="", version=" HTTP/1.1"):
    """Returns the status, the headers and the content of the server's answer to a request."""
    content = f"{method} {path}{version}\r\nHost: {host}:{port}\r\n{headers}\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(content)
        with connection.makefile("rb") as stream:
            head, _, body = stream.read().partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body


def test_server_has_the_page_and_no_other_files(file, port):
    assert get(port)[2].startswith(b"<!doctype html>")
    assert get(port, "/?a=b")[0] == 200
    assert json.loads(get(port, "/about.json")[2]) == {"name": "colours", "labels": NAMES}
    assert get(port, "/model.tflite")[2] == file.read_bytes()
    assert get(port, "/model.tflite", method="HEAD")[2] == b""
    for name, start in (("core.js", b"// src"), ("litert_wasm_internal.wasm", b"\0asm")):
        _, headers, content = get(port, f"/litertjs/{name}")
        assert headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(content).startswith(start)
    for path in (
        "/../__init__.py", "/litertjs/../../fold.py", "//etc/passwd", "/__init__.py", "/none.html",
        "/%2e%2e/__init__.py", "/litertjs/", "/litertjs/LICENSE", "/\0", "/%00", "/" + 5000 * "a",
    ):  # fmt: skip
        assert get(port, path)[0] == 404


def test_server_answers_only_requests_for_its_own_address(port):
    for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        assert get(port, host=host)[0] == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost:1", "", "0.0.0.0"):
        assert get(port, host=host)[0] == 421, host
    assert get(port, headers="Host: evil.example\r\n")[0] == 421
    assert get(port, headers="Origin: http://evil.example\r\n")[0] == 403
    assert get(port, headers=f"Origin: http://localhost:{port}\r\n")[0] == 200


def test_server_reports_wrong_requests(port):
    for method in ("POST", "DELETE", "OPTIONS", "get"):
        assert get(port, method=method, headers="Content-Length: 3\r\n\r\nabc")[0] == 405
    assert get(port, version="")[0] == 400
    assert get(port, version=" HTTP/2.0")[0] == 505
    assert get(port, headers=f"X: {'a' * 20_000}\r\n")[0] == 431
    assert get(port, headers="X: a\r\n" * 10_000)[0] == 431
    assert get(port, path="/" + "a" * 20_000)[0] == 431


def test_server_limits_and_disconnects_idle_clients(port, monkeypatch):
    monkeypatch.setattr(_server, "REQUEST_SECONDS", 1)
    connections = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(40)]
    answers = []
    for connection in connections:
        with connection, contextlib.suppress(ConnectionError):
            answers.append(connection.recv(1000).partition(b"\r\n")[0].split()[1])
    assert answers.count(b"503") == 40 - _server.MAX_CLIENTS
    assert answers.count(b"408") == _server.MAX_CLIENTS
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        start = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - start < 5:  # one byte each 0.2 seconds
                connection.sendall(b"G")
                time.sleep(0.2)
        assert time.monotonic() - start < 4
    assert get(port)[0] == 200


def test_runtime_of_the_page_has_its_licence():
    licence = (demo.FOLDER / "litertjs" / "LICENSE").read_text(encoding="utf-8")
    assert demo.VERSION in licence and "Apache License" in licence
    total = sum(path.stat().st_size for path in (demo.FOLDER / "litertjs").iterdir())
    assert total < 10_000_000
