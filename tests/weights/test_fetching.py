"""Published weights: the manifest, what is fetched by it, and what is refused before anything is built."""

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
from kapps.cnn import resnet
from kapps.weights import fetching, to_torch
from kapps.weights.names import resnet_cifar

NAME = "resnet20_cifar"


class Server(http.server.ThreadingHTTPServer):
    """Gives what lies in a folder, and counts who asks."""

    def __init__(self, folder):
        self.asked = 0
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=folder))


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        self.server.asked += 1


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
    """A manifest of one row, whose file lies on a server, and a home that is empty."""
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


def refused(**options):
    """Returns the one line that `build` is refused with, nothing having been built."""
    builder = kapps.resnet20_cifar.builder
    body, builder.body = builder.body, lambda *arguments, **options: pytest.fail("it was built")
    try:
        with pytest.raises(ValueError) as caught:
            build(**options)
    finally:
        builder.body = body
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(loaded, model):
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_published_weights_are_fetched_once(row, server, model):
    same(build(), model)
    assert server.asked == 1
    (path,) = fetching.folder().iterdir()
    assert path.name == row.file and path.parent.name == "weights"
    same(build(), model)
    assert server.asked == 1


def test_a_file_put_there_by_hand_is_used_after_the_same_checks(row, server, model):
    fetching.folder().mkdir(parents=True)
    path = fetching.folder() / row.file
    content = (server.folder / row.file).read_bytes()
    path.write_bytes(content)
    same(build(), model)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "its SHA256 begins with" in refused() and str(path) in refused()
    assert server.asked == 0 and path.exists()  # it is the user's


@pytest.mark.parametrize("damage", ["bit", "cut", "swapped", "longer"])
def test_what_is_not_the_publishers_is_refused(row, server, damage, randomise, tmp_path):
    path = server.folder / row.file
    content = bytearray(path.read_bytes())
    if damage == "bit":
        content[len(content) // 2] ^= 16
    elif damage == "cut":
        content = content[:-2000]
    elif damage == "longer":
        content += bytes(2**22)
    else:
        other = randomise(kapps.resnet20_cifar(input_shape=(8, 8, 3), name="other"))
        other.get_layer("stem_conv").kernel.assign(np.ones((3, 3, 3, 16)))
        state = to_torch(other, resnet_cifar.akamaster)
        save_file({key: np.ascontiguousarray(x) for key, x in state.items()}, tmp_path / "other")
        content = (tmp_path / "other").read_bytes()
        assert len(content) == path.stat().st_size  # nothing but the hash tells
    path.write_bytes(content)
    message = refused()
    assert message.startswith(f"{NAME}: what {row.url} gave is refused: ")
    assert ("begins with" if damage in ("bit", "swapped") else "cut short or another") in message
    assert not fetching.folder().exists()  # and nothing is left


def test_an_md5_and_a_row_without_a_size(row, server, model):
    digest = hashlib.md5((server.folder / row.file).read_bytes()).hexdigest()
    right = dataclasses.replace(row, digest=f"md5:{digest}", megabytes=None)
    cards.checkpoints()[NAME] = dataclasses.replace(right, digest=f"md5:{digest[::-1]}")
    assert "its MD5 begins with" in refused()
    cards.checkpoints()[NAME] = right
    same(build(), model)


def test_without_a_network_one_line_says_where_to_put_the_file(row, server):
    server.server_close()
    message = refused()
    for part in (NAME, row.url, str(fetching.folder()), "put it"):
        assert part in message


def test_an_address_that_gives_nothing(row, server):
    (server.folder / row.file).unlink()
    assert "cannot be fetched (File not found)" in refused()


def test_a_listed_file_given_to_another_network_is_refused(row, server, tmp_path):
    other = dataclasses.replace(row, name="resnet56_cifar")
    path = server.folder / row.file
    cards.checkpoints()[NAME] = other
    assert "is resnet56_cifar's by its name" in refused(weights=path)
    cards.checkpoints()[NAME] = row
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert "begins with" in refused(weights=path)


def test_networks_without_published_weights_name_those_of_the_family():
    with pytest.raises(ValueError, match=r"resnet200: no weights.*of its family, resnet18, .*some"):
        kapps.resnet200(weights="imagenet")
    with pytest.raises(ValueError, match=r"resnet: no weights.*resnet18"):
        resnet.body(depths=(1, 1), weights="imagenet")
    with pytest.raises(ValueError, match=r"dpn68: no weights.*nor for its family"):
        kapps.dpn68(weights="imagenet")
    with pytest.raises(ValueError, match=r'weights is None, "imagenet" or the path .*\'imagnet\''):
        kapps.resnet50(weights="imagnet")


def test_the_cards_preprocessing_follows_the_weights():
    card = cards.card("resnet50", weights="imagenet")
    assert card.preprocessing == dataclasses.replace(cards.IMAGENET, crop=224 / 232)
    assert cards.card("resnet50", weights="some/resnet50-11ad3fa6.pth") == card
    assert cards.card("resnet50", weights="mine.keras") == cards.card("resnet50")
    caffe = cards.card("resnet50_v1", weights="imagenet").preprocessing
    assert caffe.mean == (123.68, 116.779, 103.939) and (caffe.scale, caffe.std) == (1, (1, 1, 1))
    assert cards.card("inception_v3", "imagenet").preprocessing.mean == (0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="dpn68"):
        cards.card("dpn68", weights="imagenet")


def test_rows_are_of_builders_and_have_a_hash():
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
    assert cards.described("resnet18") == (
        "torchvision's resnet18-f37072fd.pth, 44.7 MB, top-1 69.76 %, BSD-3-Clause"
    )
    assert cards.described("lenet5").startswith("none")
