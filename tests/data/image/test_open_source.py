"""The kinds of source, and what is said where one cannot be used."""

import pathlib
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import kapps.data

GREY = np.arange(12 * 64, dtype=np.uint8).reshape(12, 8, 8)


class KappsSquares(tfds.core.GeneratorBasedBuilder):
    """Six images to prepare without a network."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(8, 8, 1)),
            "label": tfds.features.ClassLabel(names=["x", "y"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 6), "test": self._generate_examples(6, 10)}

    def _generate_examples(self, first, last):
        for index in range(first, last):
            yield index, {"image": GREY[index][..., None], "label": index % 2}


class KappsNumbers(KappsSquares):
    """A data set that is none of images."""

    def _info(self):
        features = {"image": tfds.features.Tensor(shape=(), dtype=np.int64)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, first, last):
        yield 0, {"image": 1}


def read(source):
    """The decoded images and labels of a source, in an order of the images."""
    rows = [
        (tf.io.decode_image(e).numpy().tobytes(), int(label)) for _, e, label in source.images()
    ]
    return sorted(rows)


def refused(*arguments):
    with pytest.raises(kapps.data.DataError) as error:
        kapps.data.open_source(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_digits_ship_with_the_package():
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * 255 / 16).astype(np.uint8)
    for split, part in (("train", slice(0, 1437)), ("test", slice(1437, None))):
        source = kapps.data.open_source("digits", split=split)
        assert (source.name, source.split, source.kind) == ("digits", split, "records")
        assert source.examples == len(pixels[part]) and source.class_names == tuple("0123456789")
        expected = [
            (p.tobytes(), int(t)) for p, t in zip(pixels[part], digits.target[part], strict=True)
        ]
        assert read(source) == sorted(expected)
    assert kapps.data.open_source("digits", split="validation").split == "test"


def test_class_folders(make, tmp_path):
    jpeg = make.encoded(make.photograph(), "JPEG")
    train = make.folder(
        {"cat/1.jpg": jpeg, "cat/2.JPEG": jpeg, "dog/1.png": make.encoded(make.photograph(), "PNG")}
    )
    (tmp_path / "train/cat/notes.txt").write_text("no image")
    (tmp_path / "train/cat/.hidden.jpg").write_bytes(b"")
    assert train.kind == "folder" and train.class_names == ("cat", "dog") and train.examples == 3
    found = [
        (n.numpy().decode(), int(label))
        for n, _, label in kapps.data.open_source(None, tmp_path).images()
    ]
    assert found == [("cat/1.jpg", 0), ("cat/2.JPEG", 0), ("dog/1.png", 1)]
    # A class that the evaluation split lacks keeps its number.
    evaluation = make.folder({"dog/9.jpg": jpeg}, "val")
    assert evaluation.labels == (1,) and evaluation.class_names == ("cat", "dog")
    assert kapps.data.open_source(None, tmp_path, "validation").split == "val"
    (tmp_path / "val/bird").mkdir()
    assert "class folder 'bird' that the train split lacks" in refused(None, tmp_path, "validation")


def names(*arguments):
    return [name.numpy().decode() for name, _, _ in kapps.data.open_source(*arguments).images()]


def put(directory, found):
    """Writes what is named like an image; only opening one decodes it."""
    for name in found:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(b"an image")


def test_class_folders_without_splits_hold_out_a_fifth(tmp_path):
    put(tmp_path, [f"{name}/{i}.jpg" for name in ("cat", "dog") for i in range(200)])
    train, held = names(None, tmp_path, "train"), names(None, tmp_path, "validation")
    assert sorted(train + held) == sorted(
        f"{n}/{i}.jpg" for n in ("cat", "dog") for i in range(200)
    )
    for name in ("cat", "dog"):  # a fifth of 200, and three standard deviations of 5.7
        assert 23 <= sum(each.startswith(name) for each in held) <= 57
    source = kapps.data.open_source(None, tmp_path, "test")
    assert (source.split, source.kind, source.class_names) == (
        "validation",
        "folder",
        ("cat", "dog"),
    )
    assert names(None, tmp_path, "val") == names(None, tmp_path, "test") == held
    labels = [int(label) for _, _, label in source.images()]
    assert labels == [int(name.startswith("dog")) for name in held]
    assert f"{tmp_path} has no split 'extra': it has train, validation" in refused(
        None, tmp_path, "extra"
    )
    # What comes later, and where the folder lies, moves no image to the other side.
    put(tmp_path, ["ant/1.jpg", "ant/2.jpg", "cat/0a.jpg"])
    shutil.copytree(tmp_path, tmp_path.with_name("elsewhere"))
    assert set(held) <= set(names(None, tmp_path.with_name("elsewhere"), "validation"))
    assert set(train) <= set(names(None, tmp_path.with_name("elsewhere"), "train"))


def test_a_class_with_all_images_on_one_side(tmp_path):
    put(tmp_path, [f"{name}/{i}.jpg" for name in ("cat", "dog") for i in range(40)])
    held = set(names(None, tmp_path, "validation"))
    dogs = {f"dog/{i}.jpg" for i in range(40)}
    for name in dogs & held:
        (tmp_path / name).unlink()
    # None to evaluate on: the class keeps its number.
    assert kapps.data.open_source(None, tmp_path, "validation").class_names == ("cat", "dog")
    assert not any(name.startswith("dog") for name in names(None, tmp_path, "validation"))
    assert kapps.data.open_source(None, tmp_path).class_names == ("cat", "dog")
    put(tmp_path, dogs & held)
    for name in dogs - held:
        (tmp_path / name).unlink()
    told = f"dog has {len(dogs & held)} images, and all are held out for validation"
    assert told in refused(None, tmp_path)
    shutil.rmtree(tmp_path / "cat")
    shutil.rmtree(tmp_path / "dog")
    (tmp_path / "dog").mkdir()
    assert "dog holds no images (.jpg" in refused(None, tmp_path, "validation")
    put(tmp_path, [min(dogs - held)])
    assert f"{tmp_path} holds no images for validation" in refused(None, tmp_path, "validation")


def test_tfds_by_name_and_by_directory(tmp_path):
    by_name = kapps.data.open_source("kapps_squares", tmp_path)
    assert by_name.kind == "tfds" and by_name.examples == 6 and by_name.class_names == ("x", "y")
    assert read(by_name) == sorted((GREY[i].tobytes(), i % 2) for i in range(6))
    again = kapps.data.open_source("kapps_squares:1.0.0", tmp_path, "validation")
    assert again.split == "test" and again.examples == 4
    prepared = tmp_path / "kapps_squares/1.0.0"
    assert read(kapps.data.open_source(None, prepared)) == read(by_name)
    part = kapps.data.open_source(None, prepared, "train[2:5]")
    assert part.examples == 3 and len(read(part)) == 3
    assert "has no split 'extra': it has train, test" in refused(None, prepared, "extra")
    shutil.copytree(prepared, tmp_path / "copy")
    next((tmp_path / "copy").glob("*train*tfrecord*")).unlink()
    assert "is missing" in refused(None, tmp_path / "copy")


def test_tfds_that_cannot_be_used(tmp_path):
    message = refused("kapps_squars", tmp_path)
    assert "there is no dataset 'kapps_squars'. Did you mean kapps_squares" in message
    assert 'kapps needs "image" (uint8) and "label"' in refused("kapps_numbers", tmp_path)


def test_records_round_trip(make, tmp_path):
    labels = np.arange(12) % 3
    paths = kapps.data.write_tfrecords(GREY, labels, ["a", "b", "c"], tmp_path, "train", shards=5)
    assert len(paths) == 5 and not list(tmp_path.glob(".*"))
    source = kapps.data.open_source(None, str(tmp_path))
    assert (
        source.kind == "records" and source.examples == 12 and source.class_names == ("a", "b", "c")
    )
    assert read(source) == sorted((GREY[i].tobytes(), int(labels[i])) for i in range(12))
    jpeg = make.encoded(make.photograph(), "JPEG")
    kapps.data.write_tfrecords([jpeg, jpeg], [0, 2], ["a", "b", "c"], tmp_path, "test")
    assert [
        e.numpy() for _, e, _ in kapps.data.open_source(None, tmp_path, "validation").images()
    ] == [jpeg, jpeg]


@pytest.mark.parametrize(
    "changed, says",
    [
        ({"images": GREY / 255}, "images are float64"),
        ({"labels": np.arange(11)}, "12 images and 11 labels"),
        ({"labels": np.full(12, 3)}, "labels lie in 3..3"),
        ({"split": "a-b"}, "split 'a-b'"),
        ({"shards": 2}, "holds other 'train' shards"),
        ({"class_names": "xyz"}, "names other classes"),
    ],
)
def test_writing_refuses(tmp_path, changed, says):
    arguments = {
        "images": GREY,
        "labels": np.zeros(12, int),
        "class_names": "abc",
        "split": "train",
    }
    kapps.data.write_tfrecords(**arguments, directory=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(kapps.data.DataError, match=says):
        kapps.data.write_tfrecords(**(arguments | changed), directory=tmp_path)
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.long
def test_npz_to_shards_on_the_command_line(tmp_path):
    colour = np.stack([GREY] * 3, -1)
    np.savez(
        tmp_path / "x.npz",
        x_train=colour,
        y_train=np.arange(12)[:, None] % 4,
        x_test=GREY,
        y_test=np.zeros(12, int),
    )
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "kapps.data.image.npz_to_tfrecord"]
    done = subprocess.run(
        [*command, tmp_path / "x.npz", tmp_path / "out", "--shards", "2"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "12 train images in 2 shards, 4 classes" in done.stdout
    train = kapps.data.open_source(None, tmp_path / "out")
    assert train.class_names == tuple("0123") and train.examples == 12
    assert read(train) == sorted((colour[i].tobytes(), i % 4) for i in range(12))
    np.savez(tmp_path / "y.npz", x=GREY)
    done = subprocess.run(
        [*command, tmp_path / "y.npz", tmp_path / "no"], capture_output=True, text=True
    )
    assert done.returncode == 1 and "x_train, y_train, x_test and y_test are needed" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "no").exists()


def test_directories_that_cannot_be_used(make, tmp_path):
    assert "no data: pass the name" in refused(None, None)
    assert "does not exist" in refused(None, tmp_path / "nowhere")
    assert "holds no images: kapps reads class folders" in refused(None, tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train/1.jpg").write_bytes(make.encoded(make.photograph(), "JPEG"))
    assert "so that an image is train/daisy/name.jpg" in refused(None, tmp_path)
    (tmp_path / "train/cat").mkdir()
    assert "train/cat holds no images" in refused(None, tmp_path)
    assert "has no split 'validation'" in refused(None, tmp_path, "validation")


def test_shards_that_cannot_be_used(tmp_path):
    kapps.data.write_tfrecords(GREY, np.zeros(12, int), ["a"], tmp_path, "train", shards=2)
    first, second = (tmp_path / f"train-0000{i}-of-00002.tfrecord" for i in range(2))
    content = second.read_bytes()
    second.write_bytes(content[:-5])
    assert f"shard {second} cannot be read: it is truncated" in refused(None, tmp_path)
    second.write_bytes(b"something else altogether")
    assert f"shard {second} cannot be read" in refused(None, tmp_path)
    second.unlink()
    assert "lacks train-00001-of-00002.tfrecord (1 of 2 shards missing)" in refused(None, tmp_path)
    second.write_bytes(b"")
    first.write_bytes(b"")
    assert "the 'train' shards" in refused(None, tmp_path) and "are empty" in refused(
        None, tmp_path
    )
    with tf.io.TFRecordWriter(str(first)) as writer:
        writer.write(tf.train.Example().SerializeToString())
    assert "holds other records" in refused(None, tmp_path)
    (tmp_path / "labels.txt").unlink()
    assert "no labels.txt" in refused(None, tmp_path)


def test_one_npz_file_is_a_source(tmp_path):
    colour = np.stack([GREY] * 3, -1)
    arrays = {"x_train": colour, "y_train": np.arange(12)[:, None] % 4, "x_test": GREY[:5]}
    np.savez(tmp_path / "x.npz", **arrays, y_test=np.uint8([3, 0, 1, 2, 3]))
    train, test = (
        kapps.data.open_source(None, tmp_path / "x.npz", split) for split in ("train", "validation")
    )
    assert (train.split, test.split, train.kind, train.shards) == ("train", "test", "archive", ())
    assert train.class_names == test.class_names == tuple("0123")
    assert read(train) == sorted((colour[i].tobytes(), i % 4) for i in range(12))
    assert read(test) == sorted((GREY[i].tobytes(), (3 + i) % 4) for i in range(5))
    assert train.bytes == sum(len(e) for _, e, _ in train.images().as_numpy_iterator())
    orders = [
        [name for name, _, _ in train.images(tf.constant(s, tf.int64)).as_numpy_iterator()]
        for s in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == sorted(orders[2])
    np.savez(tmp_path / "y.npz", **arrays)
    assert "and y_test is missing" in refused(None, tmp_path / "y.npz")
    np.savez(tmp_path / "z.npz", **arrays, y_test=np.zeros(4, int))
    assert "5 images and 4 labels" in refused(None, tmp_path / "z.npz", "test")
    assert "has no split 'extra'" in refused(None, tmp_path / "x.npz", "extra")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:-40])
    assert "is not a readable .npz file" in refused(None, tmp_path / "cut.npz")
    (tmp_path / "x.mat").write_bytes(b"")
    assert "x.mat is a file: kapps reads .npz" in refused(None, tmp_path / "x.mat")


def zipped(path, *names, content=b"x"):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return path


def test_one_zip_file_is_a_source_with_the_classes_and_splits_of_its_folders(make, tmp_path):
    png = make.encoded(make.photograph(), "PNG")
    names = [f"pets/{s}/{c}/{i}.png" for s in ("train", "test") for c in ("b", "a") for i in (1, 2)]
    path = zipped(tmp_path / "x.zip", *names, "__MACOSX/pets/._1.png", "pets/README", content=png)
    train, test = (kapps.data.open_source(None, path, s) for s in ("train", "validation"))
    assert (train.split, test.split) == ("train", "test")
    assert train.class_names == test.class_names == ("a", "b") and train.labels == (0, 0, 1, 1)
    assert test.files == tuple(sorted(names[4:]))
    assert {e for _, e, _ in test.images().as_numpy_iterator()} == {png}
    alone = zipped(tmp_path / "train.zip", *names[:4])
    assert kapps.data.open_source(None, alone).files == tuple(sorted(names[:4]))
    assert "has no split 'validation': it has train" in refused(None, alone, "validation")


def test_a_zip_without_splits_holds_out_the_images_that_its_folders_would(make, tmp_path):
    names = [f"{name}/{i}.jpg" for name in ("cat", "dog") for i in range(40)]
    for name in names:
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / name).write_bytes(b"x")
    for common in ("", "pets/"):
        path = zipped(tmp_path / "pets.zip", *(common + name for name in names))
        for split in ("train", "test"):
            folder = kapps.data.open_source(None, tmp_path / "pets", split)
            archive = kapps.data.open_source(None, path, split)
            assert 0 < archive.examples < 80 and archive.labels == folder.labels
            here = [str(pathlib.Path(file).relative_to(folder.root)) for file in folder.files]
            assert [common + name for name in here] == list(archive.files)


def test_zip_files_that_cannot_be_used(tmp_path, monkeypatch):
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04")
    assert "is not a readable .zip file" in refused(None, tmp_path / "cut.zip")
    assert "holds 0 images" in refused(None, zipped(tmp_path / "none.zip", "a/b/read.me"))
    assert "not in class folders" in refused(None, zipped(tmp_path / "flat.zip", "1.jpg"))
    mixed = zipped(tmp_path / "mixed.zip", "train/a/1.jpg", "b/2.jpg")
    assert "not in class folders" in refused(None, mixed)
    strange = zipped(tmp_path / "s.zip", "train/a/1.jpg", "train/b/1.jpg", "test/c/1.jpg")
    assert "class folder 'c' in test" in refused(None, strange, "test")
    assert "has no split 'extra'" in refused(None, strange, "extra")
    monkeypatch.setattr(kapps.data.image.archives, "_MAX_BYTES", 1)
    assert "unpack it" in refused(None, strange)
