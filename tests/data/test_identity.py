"""Changed data is noticed, and the difference names what changed."""

import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from kapps import data
from kapps.training import describe_difference


def save(path, size=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size, size, 3), 100, "uint8")).save(path)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            for i in range(3):
                save(folder / split / name / f"{i}.png")
    return folder


def identity(folder):
    sources = (data.open_source(None, folder, split) for split in ("train", "validation"))
    return {"datasets": data.images_identity(*sources)}


def rename_class(folder):
    for split in ("train", "val"):
        (folder / split / "cat").rename(folder / split / "zebra")


CHANGES = {
    "a class renamed": (rename_class, ("class cat is missing", "class zebra is new")),
    "images added": (
        lambda folder: [save(folder / "train/cat" / f"new{i}.png") for i in range(2)],
        ("training images", "cat has 5 images, and it had 3", "cat/new0.png, cat/new1.png are new"),
    ),
    "an image removed": (
        lambda folder: (folder / "train/dog/1.png").unlink(),
        ("dog has 2 images", "dog/1.png is missing"),
    ),
    "an image replaced": (
        lambda folder: save(folder / "val/dog/1.png", 50),
        ("evaluation images", "dog has other images", "dog/1.png is changed"),
    ),
    "an image renamed": (
        lambda folder: (folder / "val/dog/1.png").rename(folder / "val/dog/7.png"),
        ("dog has other images", "dog/1.png is missing", "dog/7.png is new"),
    ),
    "an image in another class": (
        lambda folder: (folder / "train/dog/1.png").rename(folder / "train/cat/8.png"),
        ("cat has 4 images", "dog has 2 images"),
    ),
}


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_image_folder_is_described(images, tmp_path, change, kind):
    shutil.copytree(images, tmp_path / "a")
    make_change, words = CHANGES[change]

    def describe():
        if kind == "folder":
            return identity(tmp_path / "a")
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted((tmp_path / "a").rglob("*.png")):
                archive.write(file, file.relative_to(tmp_path / "a"))
        return identity(path)

    before = describe()
    assert describe_difference(before, describe()) is None
    make_change(tmp_path / "a")
    difference = describe_difference(before, describe())
    assert "\n" not in difference and difference.startswith("other ")
    for word in words:
        assert word.replace("cat/", "").replace("dog/", "") in difference.replace(
            "train/", ""
        ).replace("val/", "").replace("cat/", "").replace("dog/", ""), difference


def test_arrays_with_another_label_or_shape_differ(tmp_path):
    x, y = np.arange(12.0).reshape(4, 3), np.array([0, 1, 0, 1])
    before = {"datasets": {"training": data.array_identity({"x": x, "y": y})}}
    for arrays, words in (
        ({"x": x, "y": 1 - y}, "y has other examples"),
        ({"x": x[:3], "y": y}, "x has 3 examples, and it had 4"),
        ({"x": x.astype("float32"), "y": y}, "x has other examples"),
        ({"x": x.T.copy().T, "y": y}, None),
        ({"z": x, "y": y}, "x is missing, z is new"),
    ):
        difference = describe_difference(
            before, {"datasets": {"training": data.array_identity(arrays)}}
        )
        assert (difference is None) if words is None else words in difference


def test_files_are_compared_by_content(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("abc", encoding="utf-8")
    before = {"datasets": {"text": data.file_identity(path)}}
    path.write_text("abd", encoding="utf-8")
    assert "text.txt has other content" in describe_difference(
        before, {"datasets": {"text": data.file_identity(path)}}
    )
    path.write_text("abcd", encoding="utf-8")
    assert "text.txt has 4 bytes, and it had 3" in describe_difference(
        before, {"datasets": {"text": data.file_identity(path)}}
    )
    with pytest.raises(data.DataError, match="cannot be read"):
        data.file_identity(tmp_path / "nothing")


def test_sentences_are_compared_by_language():
    before = {
        "datasets": {"sentences": data.lines_identity({"train.de": ["a", "b"], "train.en": ["c"]})}
    }
    after = {
        "datasets": {"sentences": data.lines_identity({"train.de": ["a", "x"], "train.en": ["c"]})}
    }
    assert describe_difference(before, after) == "other sentences: train.de has other lines"


def test_shards_and_digits_have_an_identity():
    source = data.open_source("digits")
    identity = data.source_identity(source)
    assert sum(count for count, _ in identity["parts"].values()) == source.examples
    assert len(identity["classes"]) == 10


def test_flags_and_missing_data_are_described():
    assert describe_difference({"seed": 1}, {"seed": 2}) == "seed=1, not seed=2"
    assert describe_difference({"units": [1, 2]}, {"units": (1, 2)}) is None
    assert describe_difference({}, {"datasets": {"text": {}}}) == "no text"
