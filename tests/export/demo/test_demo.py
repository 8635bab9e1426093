"""The page that runs a .tflite file in the browser: an image is chosen, one is drawn, nothing leaves."""

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
    """A .tflite file that says which colour an image has most of."""
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
    """Returns what the page shows to somebody who chooses a green image, clears, draws, and chooses no image."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[..., 1] = 255
    Image.fromarray(pixels).save(tmp_path / "green.png")
    server = demo.server(file, modules)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://{demo.HOST}:{server.server_address[1]}"
        command = ["node", DRIVER, modules, url, tmp_path / "green.png", tmp_path / "page.png"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.browser
def test_a_image_is_named_and_a_drawing_too(file, modules, tmp_path):
    found = visit(file, modules, tmp_path)
    assert (found["ready"], found["fault"], found["outside"], found["said"]) == ("yes", "", [], [])
    assert found["name"] == "colours: 16 x 16, 6 classes"
    green = np.broadcast_to(np.float32([0, 255, 0]), (1, 16, 16, 3))
    expected = runtime.run(file, green)["probabilities"][0]
    assert [row[0] for row in found["image"]] == [
        NAMES[n] for n in np.argsort(-expected, kind="stable")[:5]
    ]
    assert found["image"][0][:2] == ["green", f"{100 * expected[1]:.1f} %"]
    widths = [row[2] for row in found["image"]]
    assert widths == sorted(widths, reverse=True) and widths[0] > 10 * widths[-1]
    assert found["time"].endswith(" ms") and found["cleared"] == 0
    assert found["drawn"][0][0] != "green" and len(found["drawn"]) == 5
    assert found["refused"] == "notes.txt is no image that this browser can read"
    with Image.open(tmp_path / "page.png") as page:
        assert page.width > 600


@pytest.mark.browser
def test_a_file_that_does_not_run_is_said_on_the_page(modules, tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"\x1c\0\0\0TFL3" + bytes(64))
    found = visit(broken, modules, tmp_path)
    assert found["ready"] == "no" and found["fault"].startswith("The model cannot be run here")


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "notes.tflite").write_text("notes")
    for path in (tmp_path / "notes.tflite", tmp_path / "none.tflite"):
        with pytest.raises(ValueError, match=r"is no \.tflite file"):
            demo.server(path, tmp_path)


def test_nothing_beside_the_page_is_given_out(file, tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    server = demo.server(file, tmp_path / "modules")
    try:
        handler = server.RequestHandlerClass
        for asked in ("/litert/../secret.txt", "/../secret.txt", "/litert//etc/passwd", "/none"):
            assert handler.content(None, asked) == (None, "")
        assert handler.content(None, "/")[0].startswith(b"<!doctype html>")
        assert json.loads(handler.content(None, "/about.json")[0])["labels"] == NAMES
    finally:
        server.server_close()


def test_npm_that_is_missing_or_fails_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="install npm"):
        demo.litert_js(tmp_path / "kept")
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho first >&2; echo 'no network' >&2; exit 1\n")
    npm.chmod(0o755)
    with pytest.raises(ValueError, match=r"cannot install .*: no network"):
        demo.litert_js(tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
