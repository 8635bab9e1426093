"""Downloading pretrained weights: the manifest, verification, and errors before a model is built."""

import dataclasses
import functools
import hashlib
import http.server
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from safetensors.numpy import save, save_file

import kapps
from kapps import cards, pretrained
from kapps.weights import _transfer, download, to_torch
from kapps.weights.names import resnet_cifar

NAME = "resnet20_cifar"


class Server(http.server.ThreadingHTTPServer):
    """Serves the files of a folder, and counts the requests.

    `cut` is the number of bytes after which an answer ends, `ranges` the requested ranges. `answer` writes an answer
    instead of a file.
    """

    daemon_threads = True

    def __init__(self, folder):
        self.requests, self.cut, self.ranges, self.answer = 0, None, [], None
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=folder))


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        self.server.requests += 1

    def do_GET(self):
        requested = self.headers.get("Range")
        self.server.ranges.append(requested)
        path = pathlib.Path(self.translate_path(self.path))
        if self.server.answer is not None:
            self.server.answer(self)
        elif path.is_file():
            self.send_content(path.read_bytes(), requested)
        else:
            self.send_error(404)

    def send_content(self, content, requested):
        start = int(requested.removeprefix("bytes=").rstrip("-")) if requested else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if requested else 200)
        if requested:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.server.cut])


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    with Server(folder) as server:
        server.folder = folder
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def model(randomise):
    return randomise(kapps.resnet20_cifar(input_shape=(8, 8, 3)))


@pytest.fixture(scope="module")
def content(model):
    """The bytes of a file of the weights of `model`."""
    state = to_torch(model, resnet_cifar.akamaster)
    return save({key: np.ascontiguousarray(value) for key, value in state.items()})


@pytest.fixture
def row(server, content, monkeypatch, tmp_path):
    """A manifest of one row, with its file on a local server, and an empty KAPPS_HOME."""
    digest = hashlib.sha256(content).hexdigest()[:8]
    name = f"resnet20-{digest}.safetensors"
    (server.folder / name).write_bytes(content)
    row = dataclasses.replace(
        cards.checkpoints()["resnet18"],
        name=NAME,
        url=f"http://127.0.0.1:{server.server_port}/{name}",
        digest=f"sha256:{digest}",
        megabytes=round(len(content) / 2**20, 3),
    )
    rows = {NAME: row}
    monkeypatch.setattr(cards, "checkpoints", lambda: rows)
    monkeypatch.setenv("KAPPS_HOME", str(tmp_path / "home"))
    return row


def build(**options):
    return kapps.resnet20_cifar(
        **{"weights": "imagenet", "name": "mine", "input_shape": (8, 8, 3), **options}
    )


def error_message(**options):
    """Returns the one-line error of `build`, which occurs before the model is built."""
    builder = kapps.resnet20_cifar.builder
    body, builder.body = builder.body, lambda *arguments, **options: pytest.fail("model is built")
    try:
        with pytest.raises(ValueError) as caught:
            build(**options)
    finally:
        builder.body = body
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_equal_weights(loaded, model):
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_are_downloaded_once(row, server, model):
    assert_equal_weights(build(), model)
    assert server.requests == 1
    path = download.weights_folder() / row.file
    assert path.parent.name == "weights"
    assert {file.name for file in path.parent.iterdir()} == {row.file, f"{row.file}.sha256"}
    assert_equal_weights(build(), model)
    assert server.requests == 1


def test_full_sha256_is_recorded_and_compared(row, server, model):
    build()
    path = download.weights_folder() / row.file
    record = path.with_name(f"{row.file}.sha256")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (
        record.read_text(encoding="utf-8") == f"{digest}  {row.file}\n"
    )  # the format of sha256sum
    other = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    record.write_text(
        f"{other}  {row.file}\n", encoding="utf-8"
    )  # the publisher's first digits are the same
    message = error_message()
    for part in (str(path), f"sha256:{digest}", f"sha256:{other}"):
        assert part in message
    path.unlink()
    assert f"sha256:{other}" in error_message() and not path.exists()


def files():
    """Returns the names of the files in the folder of weights."""
    return sorted(path.name for path in download.weights_folder().iterdir())


def test_download_that_is_cut_off_is_resumed(row, server, model):
    size = (server.folder / row.file).stat().st_size
    server.cut = size // 3 // 1024 * 1024 + 1024  # pooch writes whole KiB
    assert_equal_weights(build(), model)  # three transfers in one call
    first, second, third = server.ranges
    assert (
        first is None and second == f"bytes={server.cut}-" and third == f"bytes={2 * server.cut}-"
    )
    assert files() == [row.file, f"{row.file}.sha256"]


def test_next_call_resumes(row, server, model, capsys, monkeypatch):
    monkeypatch.setattr(_transfer, "ATTEMPTS", 1)
    server.cut = 50 * 1024
    message = error_message()
    assert row.url in message and "resume" in message
    assert files() == [f".partial-{row.file}"]
    server.cut = None
    assert_equal_weights(build(), model)
    assert server.ranges == [None, "bytes=51200-"]
    assert "resumed at" in capsys.readouterr().err
    assert files() == [row.file, f"{row.file}.sha256"]


@pytest.mark.parametrize("partial", ["changed", "complete", "longer"])
def test_partial_file_of_any_content(row, server, model, partial):
    content = (server.folder / row.file).read_bytes()
    begun = {"changed": b"\1" * 1000, "complete": content, "longer": content + bytes(2**20)}[
        partial
    ]
    path = download.weights_folder() / f".partial-{row.file}"
    path.parent.mkdir(parents=True)
    path.write_bytes(begun)
    assert_equal_weights(build(), model)
    assert files() == [row.file, f"{row.file}.sha256"]


def test_server_without_ranges(row, server, model):
    content = (server.folder / row.file).read_bytes()
    path = download.weights_folder() / f".partial-{row.file}"
    path.parent.mkdir(parents=True)
    path.write_bytes(content[:1000])
    server.answer = lambda handler: handler.send_content(content, None)
    assert_equal_weights(build(), model)
    assert server.ranges == ["bytes=1000-"]


def test_killed_download_is_resumed(row, server, content, tmp_path):
    """The process is killed in the middle of the file; another process resumes."""
    half, finished = len(content) // 2, threading.Event()

    def send_half(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:half])
        finished.wait(60)

    server.answer = send_half
    partial = download.weights_folder() / f".partial-{row.file}"
    partial.parent.mkdir(parents=True)
    script = (
        "import runpy, sys\n"
        "with open(sys.argv[3], 'ab', buffering=0) as file:\n"
        "    runpy.run_path(sys.argv[1])['fetch'](sys.argv[2], file, 1e9)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, _transfer.__file__, row.url, partial])
    while process.poll() is None and not (partial.exists() and partial.stat().st_size):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    finished.set()
    received, server.answer = partial.stat().st_size, None
    assert 0 < received <= half
    assert download.download(row).read_bytes() == content
    assert server.ranges == [None, f"bytes={received}-"]


def test_second_download_waits_for_the_first(row, server, model):
    folder, results = download.weights_folder(), []

    def get():
        results.append(download.download(row))

    threads = [threading.Thread(target=get) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [folder / row.file] * 3
    assert server.requests == 1 and files() == [row.file, f"{row.file}.sha256"]


def send(status=200, headers=(), content=b"", pause=0.0, repeat=1):
    """Returns a function that writes an HTTP answer, and `content` several times with a pause before each."""

    def answer(handler):
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.end_headers()
        for _ in range(repeat):
            time.sleep(pause)
            handler.wfile.write(content)

    return answer


def send_bytes(content):
    """Returns a function that writes bytes in place of an answer."""
    return lambda handler: handler.wfile.write(content)


ANSWERS = {
    "redirects to itself": send(302, [("Location", "/again")]),
    "redirects to a file": send(302, [("Location", "file:///etc/passwd")]),
    "redirects nowhere": send(302, [("Location", "http://[")]),
    "page": send(200, [("Content-Type", "text/html")], b"<html>log in</html>"),
    "nothing": send(200, [("Content-Length", "0")]),
    "no content": send(204),
    "another part": send(206, [("Content-Range", "bytes 77-99/100")], b"x" * 23),
    "busy": send(503, content=b"\x1b[2J busy"),
    "wrong length": send(200, [("Content-Length", "many")], b"x"),
    "cut": send(200, [("Content-Length", "90000")], b"x"),
    "cut chunk": send(200, [("Transfer-Encoding", "chunked")], b"ffff\r\nabc"),
    "bad compression": send(200, [("Content-Encoding", "gzip")], b"no gzip"),
    "endless": send(200, content=b"x" * 2**16, repeat=10**6),
    "stalls": send(200, [("Content-Length", "90000")], b"x", pause=0.2, repeat=30),
    "no HTTP": send_bytes(b"\0\1\2 220 mail\r\n\r\n"),
    "closes": send_bytes(b""),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_hostile_server(row, server, content, answer, monkeypatch):
    monkeypatch.setattr(_transfer, "TIMEOUT", 0.5)
    server.answer = ANSWERS[answer]
    with pytest.raises(ValueError) as caught:
        download.download(row)
    assert row.url in str(caught.value) and str(caught.value).isprintable()
    server.answer = None
    assert download.download(row).read_bytes() == content


def test_download_to_a_folder_that_cannot_be_written(row, server, tmp_path, monkeypatch):
    monkeypatch.setenv("KAPPS_HOME", str(tmp_path / "content"))
    (tmp_path / "content").write_bytes(b"")
    assert "KAPPS_HOME" in error_message()


def test_cached_file_that_is_a_directory_and_record_without_a_hash(row, server):
    path = download.weights_folder() / row.file
    path.mkdir(parents=True)
    assert str(path) in error_message() and "directory" in error_message()
    path.rmdir()
    record = path.with_name(f"{row.file}.sha256")
    for content in (b"", b"\xff\xfe", b"no hash"):
        record.write_bytes(content)
        assert str(record) in error_message()


def test_file_put_into_the_folder_is_verified(row, server, model):
    download.weights_folder().mkdir(parents=True)
    path = download.weights_folder() / row.file
    content = (server.folder / row.file).read_bytes()
    path.write_bytes(content)
    assert_equal_weights(build(), model)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "expected sha256:" in error_message() and str(path) in error_message()
    assert server.requests == 0 and path.exists()  # the user's file is not removed


@pytest.mark.parametrize("change", ["bit", "shorter", "other", "longer"])
def test_file_that_differs_from_the_publishers_raises(row, server, change, randomise, tmp_path):
    path = server.folder / row.file
    content = bytearray(path.read_bytes())
    if change == "bit":
        content[len(content) // 2] ^= 16
    elif change == "shorter":
        content = content[:-2000]
    elif change == "longer":
        content += bytes(2**22)
    else:
        other = randomise(kapps.resnet20_cifar(input_shape=(8, 8, 3), name="other"))
        other.get_layer("other_stem_conv").kernel.assign(np.ones((3, 3, 3, 16)))
        state = to_torch(other, resnet_cifar.akamaster)
        save_file({key: np.ascontiguousarray(x) for key, x in state.items()}, tmp_path / "other")
        content = (tmp_path / "other").read_bytes()
        assert len(content) == path.stat().st_size  # only the hash differs
    path.write_bytes(content)
    message = error_message()
    assert message.startswith(f"{NAME}: the file from {row.url} fails verification: ")
    expected = row.digest if change in ("bit", "other") else f"{row.megabytes:.3f} MB"
    assert f"expected {expected}" in message
    assert files() == []


def test_md5_and_a_row_without_a_size(row, server, model):
    digest = hashlib.md5((server.folder / row.file).read_bytes()).hexdigest()
    right = dataclasses.replace(row, digest=f"md5:{digest}", megabytes=None)
    cards.checkpoints()[NAME] = dataclasses.replace(right, digest=f"md5:{digest[::-1]}")
    assert f"expected md5:{digest[::-1]}" in error_message() and f"md5:{digest}" in error_message()
    cards.checkpoints()[NAME] = right
    assert_equal_weights(build(), model)


def test_error_without_a_network_names_the_url_and_the_folder(row, server):
    server.server_close()
    message = error_message()
    for part in (NAME, row.url, str(download.weights_folder()), "put it"):
        assert part in message


def test_missing_file_on_the_server_raises(row, server):
    (server.folder / row.file).unlink()
    assert "cannot be downloaded (404" in error_message()


def test_file_of_another_network_raises(row, server, tmp_path):
    other = dataclasses.replace(row, name="resnet56_cifar")
    path = server.folder / row.file
    cards.checkpoints()[NAME] = other
    assert "resnet56_cifar" in error_message(weights=path)
    cards.checkpoints()[NAME] = row
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert "fails verification" in error_message(weights=path)


def test_error_without_weights_names_those_of_the_family():
    with pytest.raises(ValueError, match=r"resnet200: no weights.*of its family, resnet18, .*some"):
        kapps.resnet200(weights="imagenet")
    with pytest.raises(ValueError, match=r"resnet: no weights.*resnet18"):
        kapps.families.resnet(depths=(1, 1), weights="imagenet")
    with pytest.raises(ValueError, match=r"dpn68: no weights.*nor for its family"):
        kapps.dpn68(weights="imagenet")
    with pytest.raises(ValueError, match=r'weights is None, "imagenet" or the path .*\'imagnet\''):
        kapps.resnet50(weights="imagnet")


def test_preprocessing_of_the_card_is_that_of_the_weights():
    card = cards.card("resnet50", weights="imagenet")
    assert card.preprocessing == dataclasses.replace(cards.IMAGENET, crop=224 / 232)
    assert cards.card("resnet50", weights="some/resnet50-11ad3fa6.pth") == card
    assert cards.card("resnet50", weights="mine.keras") == cards.card("resnet50")
    caffe = cards.card("resnet50_v1", weights="imagenet").preprocessing
    assert caffe.mean == (123.68, 116.779, 103.939) and (caffe.scale, caffe.std) == (1, (1, 1, 1))
    assert cards.card("inception_v3", "imagenet").preprocessing.mean == (0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="dpn68"):
        cards.card("dpn68", weights="imagenet")


def test_rows_name_builders_and_hashes():
    rows = cards.checkpoints()
    assert len({row.file for row in rows.values()}) == len(rows) > 40
    for name, row in rows.items():
        assert row.name == name and name in cards.list_models()
        assert row.url.startswith("https://")
        algorithm, digest = row.digest.split(":")
        assert re.fullmatch("[0-9a-f]+", digest)
        assert len(digest) == 32 if algorithm == "md5" else f"-{digest}." in row.file
        assert row.preprocessing.size == cards.card(name).input_shape[:2]
        assert row.file.endswith((".pth", ".h5"))
    assert pretrained.describe_checkpoint("resnet18") == (
        "torchvision's resnet18-f37072fd.pth, 44.7 MB, top-1 69.76 %, BSD-3-Clause"
    )
    assert pretrained.describe_checkpoint("lenet5").startswith("none")
