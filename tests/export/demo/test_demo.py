"""The page that runs a .tflite file in the browser: for an image file and for a drawing, without external requests."""

import gzip
import json
import pathlib
import subprocess
import threading

import keras
import numpy as np
import pytest
from PIL import Image

import kapps
from kapps.cards import Preprocessing
from kapps.export import demo, runtime

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


def visit(file, modules, tmp_path):
    """Returns the page's contents for a green image, after clearing, for a drawing, and for a file without an image."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[..., 1] = 255
    Image.fromarray(pixels).save(tmp_path / "green.png")
    server = demo.make_server(file)
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
def test_page_shows_the_error_of_a_file_that_does_not_run(modules, tmp_path):
    corrupt = tmp_path / "corrupt.tflite"
    corrupt.write_bytes(b"\x1c\0\0\0TFL3" + bytes(64))
    page = visit(corrupt, modules, tmp_path)
    assert page["ready"] == "no" and page["error"].startswith("The model cannot be run here")


def test_other_files_raise(tmp_path):
    (tmp_path / "notes.tflite").write_text("notes", encoding="utf-8")
    for path in (tmp_path / "notes.tflite", tmp_path / "none.tflite"):
        with pytest.raises(ValueError, match=path.name):
            demo.make_server(path)


def test_server_has_the_page_and_no_other_files(file):
    server = demo.make_server(file)
    try:
        find = server.RequestHandlerClass.find
        for url in ("/../__init__.py", "/litertjs/../../fold.py", "//etc/passwd", "/__init__.py"):
            assert find(None, url) == (None, {})
        assert find(None, "/none.html") == (None, {})
        assert find(None, "/")[0].startswith(b"<!doctype html>")
        assert json.loads(find(None, "/about.json")[0])["labels"] == NAMES
        assert find(None, "/model.tflite")[0] == file.read_bytes()
    finally:
        server.server_close()


def test_runtime_of_the_page_is_in_the_package(file):
    server = demo.make_server(file)
    try:
        for name, start in (("core.js", b"// src"), ("litert_wasm_internal.wasm", b"\0asm")):
            content, headers = server.RequestHandlerClass.find(None, f"/litertjs/{name}")
            assert headers["Content-Encoding"] == "gzip"
            assert gzip.decompress(content).startswith(start)
    finally:
        server.server_close()
    licence = (demo.FOLDER / "litertjs" / "LICENSE").read_text(encoding="utf-8")
    assert demo.VERSION in licence and "Apache License" in licence
    total = sum(path.stat().st_size for path in (demo.FOLDER / "litertjs").iterdir())
    assert total < 10_000_000
