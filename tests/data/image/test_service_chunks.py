"""Images of a tf.data service: the batches are those of a program without one, whatever ends or is sent twice."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kapps.data
from kapps.data.errors import DataError, SkippedImages
from kapps.data.image import _arrivals, _service_chunks
from kapps.preprocessing import Preprocessing

TINY = Preprocessing(size=(8, 8), crop=1.0)
service = tf.data.experimental.service


def take(dataset, count):
    return [(images.numpy(), labels.numpy()) for images, labels in dataset.take(count)]


def assert_equal(first, second):
    for x, y in zip(first, second, strict=True):
        np.testing.assert_array_equal(x[0], y[0])
        np.testing.assert_array_equal(x[1], y[1])


@pytest.fixture
def worker(monkeypatch):
    """`worker(change)` lets this process compute the chunks; `change` is a function of their dataset."""

    def install(change=lambda chunks: chunks):
        monkeypatch.setattr(_service_chunks, "check_dispatcher", lambda address: None)
        monkeypatch.setattr(service, "distribute", lambda *_: change)

    return install


@pytest.fixture
def photographs(make):
    """Forty images in two classes: JPEG, one turned by EXIF, one GIF, one PNG and one that cannot be decoded."""
    images = {}
    for i in range(36):
        content = make.encoded(make.photograph(12, 16, seed=i), "JPEG")
        images[f"{'ab'[i % 2]}/{i:02d}.jpg"] = content
    exif = Image.Exif()
    exif[0x0112] = 6
    images["a/turned.jpg"] = make.encoded(make.photograph(12, 16, seed=90), "JPEG", exif=exif)
    images["a/x.png"] = make.encoded(make.photograph(12, 16, seed=91), "PNG")
    images["b/x.gif"] = make.encoded(make.photograph(12, 16, seed=92), "GIF")
    images["b/cut.jpg"] = images["a/00.jpg"][:150]
    return make.folder(images)


@pytest.mark.long
@pytest.mark.parametrize(
    "options", [{}, {"shard": (1, 2), "augmentation": "none", "flip": False}], ids=str
)
def test_batches_equal_those_without_a_service(photographs, worker, options):
    worker()
    counts = []
    batches = []
    for address in (None, "localhost:1"):
        skipped = SkippedImages()
        dataset = kapps.data.train_dataset(
            photographs, TINY, 8, classes=2, mixup=0.2, cache_bytes=0, skipped=skipped, data_service=address, **options
        )  # fmt: skip
        batches.append(take(dataset, 12))
        counts.append(skipped.state())
    assert_equal(*batches)
    assert counts[0] == counts[1] and list(counts[0]["train"]) == ["train/b/cut.jpg"]


@pytest.mark.long
def test_a_resumed_run_continues_after_the_skipped_images(photographs, worker):
    worker()
    skipped = SkippedImages()
    arguments = {"classes": 2, "seed": 2, "skipped": skipped, "augmentation": "none"}
    whole = take(kapps.data.train_dataset(photographs, TINY, 8, **arguments), 12)
    resumed = kapps.data.train_dataset(
        photographs, TINY, 8, first_step=7, data_service="localhost:1", **arguments
    )
    assert_equal(whole[7:], take(resumed, 5))


@pytest.mark.long
@pytest.mark.parametrize("cache_bytes", [2**30, 0])
def test_records_of_shards_are_read_in_the_same_order(tmp_path, worker, grey_images, cache_bytes):
    worker()
    kapps.data.write_tfrecords(
        grey_images, np.arange(12) % 3, ["a", "b", "c"], tmp_path, "train", 4
    )
    source = kapps.data.open_source(data_dir=tmp_path, split="train")
    first, second = (
        kapps.data.train_dataset(
            source, TINY, 5, classes=3, augmentation="none", cache_bytes=cache_bytes, data_service=address
        )
        for address in (None, "localhost:1")
    )  # fmt: skip
    assert_equal(take(first, 6), take(second, 6))


@pytest.mark.long
def test_lost_and_repeated_chunks_change_nothing(photographs, worker, monkeypatch, capfd):
    """A worker that ends loses chunks, and chunks arrive in any order."""
    monkeypatch.setattr(_service_chunks, "CHUNK", 3)
    monkeypatch.setattr(_service_chunks, "_BUFFER_BYTES", 0)
    monkeypatch.setattr(_arrivals, "START_SECONDS", 0.2)

    def lose(chunks):
        chunks = chunks.filter(lambda number, *_: (number % 7 != 2) & (number > 1))
        return chunks.shuffle(4, seed=1).flat_map(
            lambda *x: tf.data.Dataset.from_tensors(x).repeat(2)
        )

    worker(lose)
    arguments = {"classes": 2, "augmentation": "none", "flip": False}
    expected = take(kapps.data.train_dataset(photographs, TINY, 13, **arguments), 6)
    dataset = kapps.data.train_dataset(
        photographs, TINY, 13, data_service="localhost:1", **arguments
    )
    batches = take(dataset, 6)
    assert_equal(expected, batches)
    epochs = np.concatenate([images for images, _ in batches]).reshape(2, 39, -1)
    for epoch in epochs:  # 39 of the 40 images can be decoded: each once
        assert len(np.unique(epoch, axis=0)) == 39
    assert "computed here" in capfd.readouterr().err


@pytest.mark.long
def test_an_image_that_cannot_be_decoded_stops_a_strict_run(photographs, worker):
    worker()
    dataset = kapps.data.train_dataset(
        photographs,
        TINY,
        8,
        classes=2,
        strict=True,
        augmentation="none",
        data_service="localhost:1",
    )
    with pytest.raises(DataError, match=r"b/cut\.jpg"), kapps.data.explain_errors(photographs):
        take(dataset, 6)


@pytest.mark.long
def test_a_file_that_a_worker_lacks_is_named(photographs, worker):
    worker()
    dataset = kapps.data.train_dataset(
        photographs, TINY, 8, classes=2, augmentation="none", data_service="localhost:1"
    )
    for path in photographs.files[:3]:
        pathlib.Path(path).unlink()
    with pytest.raises(DataError, match="same path"), kapps.data.explain_errors():
        take(dataset, 6)


def test_compressed_shards_are_refused(tmp_path):
    example = tf.train.Example()
    example.features.feature["image"].bytes_list.value.append(
        tf.io.encode_png(np.zeros((8, 8, 1), np.uint8)).numpy()
    )
    example.features.feature["label"].int64_list.value.append(0)
    with tf.io.TFRecordWriter(str(tmp_path / "train.tfrecord"), "GZIP") as writer:
        for _ in range(4):
            writer.write(example.SerializeToString())
    (tmp_path / "labels.txt").write_text("a\nb\n", encoding="utf-8")
    source = kapps.data.open_source(data_dir=tmp_path, split="train")
    with pytest.raises(DataError, match="compress"):
        kapps.data.train_dataset(source, TINY, 2, classes=2, data_service="localhost:1")
