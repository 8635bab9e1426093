"""Images that do not decode, and shards that cannot be read."""

import numpy as np
import pytest
import tensorflow as tf

import kapps.data
from kapps.cards import Preprocessing

PLAIN = Preprocessing(size=(32, 32), crop=1.0, scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def broken(make, bad=("a/03.jpg", "b/07.png", "b/08.jpg")):
    images = {
        f"{'ab'[i > 4]}/{i:02d}.jpg": make.encoded(make.photograph(40, 50, i), "JPEG")
        for i in range(10)
    }
    whole = make.encoded(make.photograph(40, 50), "JPEG")
    images |= dict(
        zip(bad, (b"no image", b"\x89PNG\r\n\x1a\nbroken", whole[: len(whole) // 2]), strict=True)
    )
    return make.folder(images)


@pytest.mark.parametrize("pipeline", ["train_dataset", "eval_dataset"])
def test_bad_images_are_skipped_counted_once_and_named(make, pipeline):
    source, faults = broken(make), kapps.data.SkippedImages()
    assert source.examples == 11
    dataset = getattr(kapps.data, pipeline)(source, PLAIN, 4, classes=2, skipped=faults)
    batches = [x.shape[0] for x, _ in dataset.take(12)]
    assert batches == ([4] * 12 if pipeline == "train_dataset" else [4, 4])
    assert sorted(faults.names) == ["a/03.jpg", "b/07.png", "b/08.jpg"]
    assert faults.summary().startswith("3 of 11 images could not be decoded and were skipped: ")
    assert "a/03.jpg" in faults.summary()


def test_skipping_repeats_exactly(make):
    source = broken(make)
    runs = [
        [x.numpy() for x, _ in kapps.data.train_dataset(source, PLAIN, 4, classes=2).take(6)]
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*runs)


def test_strict_stops_with_one_line_that_names_the_image(make):
    source = broken(make)
    for pipeline in (kapps.data.train_dataset, kapps.data.eval_dataset):
        dataset = pipeline(source, PLAIN, 4, classes=2, strict=True)
        with pytest.raises(kapps.data.DataError) as error, kapps.data.explain_errors(source):
            for _ in dataset.take(9):
                pass
        assert any(name in str(error.value) for name in ("a/03.jpg", "b/07.png", "b/08.jpg"))
        assert "cannot be decoded" in str(error.value) and "\n" not in str(error.value)


def test_nothing_decodable_ends_rather_than_searching_forever(make):
    source = make.folder({f"a/{i}.jpg": b"no image" for i in range(20)})
    with (
        pytest.raises(kapps.data.DataError, match="none of the 20 images could be decoded"),
        kapps.data.explain_errors(source),
    ):
        next(iter(kapps.data.train_dataset(source, PLAIN, 4, classes=1)))


def test_summary_without_faults_and_with_many():
    faults = kapps.data.SkippedImages()
    faults.add_source("x", "train", 1437)
    assert faults.summary() == "0 of 1,437 images were skipped"
    faults.record([f"{i}.jpg" for i in range(12)])
    assert faults.summary().endswith("9.jpg and 2 more")


def shards(tmp_path, count=30):
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8), dtype=np.uint8)
    kapps.data.write_tfrecords(images, np.arange(count) % 3, "abc", tmp_path, "train", shards=3)
    return tmp_path / "train-00001-of-00003.tfrecord"


def test_a_shard_damaged_after_opening_is_named(tmp_path):
    shard = shards(tmp_path)
    content = bytearray(shard.read_bytes())
    content[content.index(b"IDAT", len(content) // 2) + 9] ^= (
        255  # within a record, whose length stays right
    )
    shard.write_bytes(content)
    source = kapps.data.open_source(None, tmp_path)
    for dataset in (
        kapps.data.eval_dataset(source, PLAIN, 4, classes=3),
        kapps.data.train_dataset(source, PLAIN, 4, classes=3),
    ):
        with pytest.raises(kapps.data.DataError) as error, kapps.data.explain_errors(source):
            for _ in dataset.take(99):
                pass
        assert str(shard) in str(error.value) and "\n" not in str(error.value)


def test_a_label_out_of_range_is_named(tmp_path):
    shards(tmp_path)
    (tmp_path / "labels.txt").write_text("a\nb\n")
    source = kapps.data.open_source(None, tmp_path)
    with pytest.raises(kapps.data.DataError) as error, kapps.data.explain_errors(source):
        next(iter(kapps.data.eval_dataset(source, PLAIN, 99, classes=2)))
    assert "has a label that is not in 0..1" in str(error.value) and "\n" not in str(error.value)


def test_other_errors_pass_unchanged():
    with pytest.raises(tf.errors.ResourceExhaustedError), kapps.data.explain_errors():
        raise tf.errors.ResourceExhaustedError(None, None, "memory")
