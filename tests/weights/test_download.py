"""Downloading pretrained weights: the manifest, verification, and errors before a model is built."""

import dataclasses
import functools
import hashlib
import http.server
import re
import threading

import numpy as np
import pytest
from safetensors.numpy import save_file

import kapps
from kapps import cards
from kapps.weights import download, to_torch
from kapps.weights.names import resnet_cifar

NAME = "resnet20_cifar"


class Server(http.server.ThreadingHTTPServer):
    """Serves the files of a folder, and counts the requests."""

    def __init__(self, folder):
        self.requests = 0
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=folder))


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        self.server.requests += 1


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


@pytest.fixture
def model(randomise):
    return randomise(kapps.resnet20_cifar(input_shape=(8, 8, 3)))


@pytest.fixture
def row(server, model, monkeypatch, tmp_path):
    """A manifest of one row, with its file on a local server, and an empty KAPPS_HOME."""
    content = tmp_path / "content"
    state = to_torch(model, resnet_cifar.akamaster)
    save_file({key: np.ascontiguousarray(value) for key, value in state.items()}, content)
    digest = hashlib.sha256(content.read_bytes()).hexdigest()[:8]
    name = f"resnet20-{digest}.safetensors"
    size = content.stat().st_size
    content.rename(server.folder / name)
    row = dataclasses.replace(
        cards.checkpoints()["resnet18"],
        name=NAME,
        url=f"http://127.0.0.1:{server.server_port}/{name}",
        digest=f"sha256:{digest}",
        megabytes=round(size / 2**20, 3),
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


def test_interrupted_download_leaves_no_file(row, server, monkeypatch):
    import pooch

    def interrupted(self, url, path, pooch):
        path.write_bytes((server.folder / row.file).read_bytes()[:1000])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build()
    assert not download.weights_folder().exists()


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
        other.get_layer("stem_conv").kernel.assign(np.ones((3, 3, 3, 16)))
        state = to_torch(other, resnet_cifar.akamaster)
        save_file({key: np.ascontiguousarray(x) for key, x in state.items()}, tmp_path / "other")
        content = (tmp_path / "other").read_bytes()
        assert len(content) == path.stat().st_size  # only the hash differs
    path.write_bytes(content)
    message = error_message()
    assert message.startswith(f"{NAME}: the file from {row.url} fails verification: ")
    expected = row.digest if change in ("bit", "other") else f"{row.megabytes:.3f} MB"
    assert f"expected {expected}" in message
    assert not download.weights_folder().exists()


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
    assert cards.describe_checkpoint("resnet18") == (
        "torchvision's resnet18-f37072fd.pth, 44.7 MB, top-1 69.76 %, BSD-3-Clause"
    )
    assert cards.describe_checkpoint("lenet5").startswith("none")
