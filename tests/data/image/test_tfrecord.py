"""TFRecord shards: what is written is read, and errors name the shard."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import kapps.data


def test_written_images_are_read(tmp_path, grey_images, decoded_images):
    labels = np.arange(12) % 3
    paths = kapps.data.write_tfrecords(grey_images, labels, "abc", tmp_path, "train", shards=5)
    assert len(paths) == 5 and not list(tmp_path.glob(".*"))
    source = kapps.data.open_source(None, str(tmp_path))
    assert (source.kind, source.examples, source.class_names) == ("records", 12, ("a", "b", "c"))
    expected = [(image.tobytes(), int(y)) for image, y in zip(grey_images, labels, strict=True)]
    assert decoded_images(source) == sorted(expected)


def test_encoded_images_are_stored_unchanged(make, tmp_path):
    jpeg = make.encoded(make.photograph(), "JPEG")
    kapps.data.write_tfrecords([jpeg, jpeg], [0, 2], ["a", "b", "c"], tmp_path, "test")
    source = kapps.data.open_source(None, tmp_path, "validation")
    assert [encoded.numpy() for _, encoded, _ in source.images()] == [jpeg, jpeg]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"images": np.ones((12, 8, 8))}, "float64"),
        ({"labels": np.arange(11)}, "12 images and 11 labels"),
        ({"labels": np.full(12, 3)}, "3..3"),
        ({"split": "a-b"}, "'a-b'"),
        ({"shards": 2}, "'train'"),
        ({"class_names": "xyz"}, "labels.txt"),
        ({"class_names": ["a\nb", "b", "c"]}, "line end"),
    ],
    ids=["type", "number", "range", "split", "shards", "classes", "line end"],
)
def test_an_error_names_the_argument_and_leaves_the_files(tmp_path, grey_images, changes, words):
    arguments = {
        "images": grey_images, "labels": np.zeros(12, int), "class_names": "abc", "split": "train",
    }  # fmt: skip
    kapps.data.write_tfrecords(**arguments, directory=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(kapps.data.DataError) as error:
        kapps.data.write_tfrecords(**(arguments | changes), directory=tmp_path)
    assert words in str(error.value)
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.long
def test_the_command_converts_an_npz_file(tmp_path, grey_images, decoded_images):
    colour = np.stack([grey_images] * 3, -1)
    np.savez(
        tmp_path / "x.npz", x_train=colour, y_train=np.arange(12)[:, None] % 4,
        x_test=grey_images, y_test=np.zeros(12, int),
    )  # fmt: skip
    command = [
        sys.executable, "-W", "error::RuntimeWarning", "-m", "kapps.data.image.npz_to_tfrecord",
    ]  # fmt: skip
    done = subprocess.run(
        [*command, tmp_path / "x.npz", tmp_path / "out", "--shards", "2"],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    assert "12 train images in 2 shards, 4 classes" in done.stdout
    train = kapps.data.open_source(None, tmp_path / "out")
    assert train.class_names == tuple("0123") and train.examples == 12
    assert decoded_images(train) == sorted((colour[i].tobytes(), i % 4) for i in range(12))
    np.savez(tmp_path / "y.npz", x=grey_images)
    done = subprocess.run(
        [*command, tmp_path / "y.npz", tmp_path / "no"],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 1 and "y.npz" in done.stderr and "x_train" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "no").exists()


def test_an_error_names_the_shard_and_the_reason(tmp_path, grey_images, open_error):
    kapps.data.write_tfrecords(grey_images, np.zeros(12, int), ["a"], tmp_path, "train", shards=2)
    first, second = (tmp_path / f"train-0000{i}-of-00002.tfrecord" for i in range(2))
    second.write_bytes(second.read_bytes()[:-5])
    message = open_error(None, tmp_path)
    assert str(second) in message and "truncated" in message
    second.write_bytes(b"something else altogether")
    assert str(second) in open_error(None, tmp_path)
    second.unlink()
    message = open_error(None, tmp_path)
    assert second.name in message and "1 of 2 shards missing" in message
    second.write_bytes(b"")
    first.write_bytes(b"")
    message = open_error(None, tmp_path)
    assert "'train'" in message and "empty" in message
    with tf.io.TFRecordWriter(str(first)) as writer:
        writer.write(tf.train.Example().SerializeToString())
    message = open_error(None, tmp_path)
    assert str(first) in message and '"image"' in message
    for path in (first, second, tmp_path / "labels.txt"):
        path.unlink()
    kapps.data.write_tfrecords(grey_images, np.zeros(12, int), ["a"], tmp_path, "train")
    (tmp_path / "labels.txt").unlink()
    assert "labels.txt" in open_error(None, tmp_path)
