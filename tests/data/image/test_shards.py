"""TFRecord shards as other programs write them: compression, names, features, labels, and errors with the record."""

import itertools
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf

import kapps.data
from kapps.cards import Preprocessing
from kapps.data.image.record_files import inspect_records
from kapps.data.image.shard_names import find_shards
from kapps.predictions import imagenet_classes

PNG = tf.io.encode_png(np.full((8, 8, 1), 7, np.uint8)).numpy()
OTHER_CLASSES = ["Löwe", "dog", "cat"]


def example(**features):
    """Returns a serialized example. "__" in a name stands for "/"."""
    kinds = {
        bytes: ("bytes_list", tf.train.BytesList),
        float: ("float_list", tf.train.FloatList),
        int: ("int64_list", tf.train.Int64List),
    }
    feature = {}
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        field, message = kinds[type(values[0])]
        feature[name.replace("__", "/")] = tf.train.Feature(**{field: message(value=values)})
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def google(label, text=None, synset=None):
    extra = {"image__class__text": text, "image__class__synset": synset}
    extra = {name: value.encode() for name, value in extra.items() if value}
    return example(image__encoded=PNG, image__class__label=label, image__height=8, **extra)


def write(path, records, compression=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)


def labels_of(source):
    return [int(label) for _, _, label in source.images()]


NAMES = {
    "kapps": "{split}-{i:05d}-of-{n:05d}.tfrecord",
    "google": "{split}-{i:05d}-of-{n:05d}",
    "google in folders": "{split}/{split}-{i:05d}-of-{n:05d}",
    "tfds": "mnist-{split}.tfrecord-{i:05d}-of-{n:05d}",
    "slim": "flowers_{split}_{i:05d}-of-{n:05d}.tfrecord",
    "compressed": "{split}-{i:05d}-of-{n:05d}.tfrecord.gz",
    "short numbers": "{split}-{i}-of-{n}.tfrecords",
    "kaggle": "{split}.{i}-of-{n}.tfrec",
}


@pytest.mark.parametrize("pattern", NAMES.values(), ids=NAMES.keys())
@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
def test_shards_of_every_name_and_compression_are_read(tmp_path, pattern, compression):
    (tmp_path / "labels.txt").write_text("a\nb\n", encoding="utf-8")
    for split, i in itertools.product(("train", "validation"), range(2)):
        records = [example(image=PNG, label=i) for _ in range(2 + i)]
        write(tmp_path / pattern.format(split=split, i=i, n=2), records, compression)
    source = kapps.data.open_source(None, tmp_path, "train")
    assert (source.kind, source.examples, source.class_names) == ("records", 5, ("a", "b"))
    assert sorted(labels_of(source)) == [0, 0, 1, 1, 1]
    assert kapps.data.open_source(None, tmp_path, "validation").examples == 5


@pytest.mark.parametrize("name", ["train.tfrecord", "train.tfrecords", "x_train.tfrec.gz"])
def test_a_split_may_be_one_file(tmp_path, name):
    (tmp_path / "label.labels.txt").write_text("a\nb\n", encoding="utf-8")  # TFDS's name
    write(tmp_path / name, [example(image=PNG, label=1)])
    assert labels_of(kapps.data.open_source(None, tmp_path)) == [1]


@pytest.mark.parametrize("pattern", NAMES.values(), ids=NAMES.keys())
def test_a_missing_shard_is_named(tmp_path, open_error, pattern):
    (tmp_path / "labels.txt").write_text("a\n", encoding="utf-8")
    for i in (0, 1, 3):
        write(tmp_path / pattern.format(split="train", i=i, n=4), [example(image=PNG, label=0)])
    message = open_error(None, tmp_path)
    assert pattern.format(split="train", i=2, n=4).split("/")[-1] in message
    assert "1 of 4" in message


def test_names_that_contradict_each_other_raise_an_error(tmp_path, open_error):
    record = [example(image=PNG, label=0)]
    write(tmp_path / "train-00000-of-00001", record)
    write(tmp_path / "train-00000-of-00002.tfrecord", record)
    assert "two sets" in open_error(None, tmp_path)
    (tmp_path / "train-00000-of-00002.tfrecord").rename(tmp_path / "train-00000-of-00001.tfrecord")
    assert "twice" in open_error(None, tmp_path)


def test_files_of_other_names_are_no_shards(tmp_path):
    for name in ("model.data-00000-of-00001", "a-train.array_record-00000-of-00001", "train.csv"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "train-00000-of-00001").mkdir()
    assert find_shards(str(tmp_path)) == {}


def test_files_of_no_split_are_named(tmp_path, open_error):
    write(tmp_path / "flowers00-224x224.tfrec", [example(image=PNG, label=0)])
    message = open_error(None, tmp_path)
    assert "flowers00-224x224.tfrec" in message and "train-00000-of-00001.tfrecord" in message


# (records, labels.txt or None, class names, labels, whether labels start at 1)
IMAGENET = [google(label, "x", imagenet_classes()[label - 1][0]) for label in (1, 7, 1000)]
GOOGLE = {
    "texts from 1": ([google(i, f"c{i}") for i in (1, 2, 3)], None, ["c1", "c2", "c3"], [0, 1, 2], True),
    "synsets from 1": ([google(i, synset=f"s{i}") for i in (2, 1)], None, ["s1", "s2"], [1, 0], True),
    "texts from 0": ([google(i, f"c{i}") for i in (0, 1, 2)], None, ["c0", "c1", "c2"], [0, 1, 2], False),
    "names, from 1": ([google(i) for i in (1, 3)], OTHER_CLASSES, OTHER_CLASSES, [0, 2], True),
    "names, from 0": ([google(i) for i in (0, 2)], OTHER_CLASSES, OTHER_CLASSES, [0, 2], False),
    "names and texts": ([google(i, "x") for i in (1, 2)], OTHER_CLASSES, OTHER_CLASSES, [0, 1], True),
    "background": ([google(i) for i in (1, 3)], ["background", *OTHER_CLASSES], OTHER_CLASSES, [0, 2], True),
    "numbered": ([google(i) for i in (1, 2)], ["0:a", "1:b", "2:c", "3:d"], list("abcd"), [1, 2], False),
    "imagenet": (IMAGENET, None, [name for _, name in imagenet_classes()], [0, 6, 999], True),
}  # fmt: skip


@pytest.mark.parametrize("case", GOOGLE.values(), ids=GOOGLE.keys())
def test_labels_of_googles_keys_are_mapped_to_classes_from_0(tmp_path, case):
    records, names, class_names, labels, is_mapped = case
    write(tmp_path / "train-00000-of-00001", records)
    write(tmp_path / "validation-00000-of-00001", records[:1])
    if names:
        (tmp_path / "labels.txt").write_text("\n".join(names), encoding="utf-8")
    for split, expected in (("train", labels), ("validation", labels[:1])):
        source = kapps.data.open_source(None, tmp_path, split)
        assert list(source.class_names) == class_names and labels_of(source) == expected
        assert bool(source.notes) == is_mapped
        assert not is_mapped or f"1..{len(class_names)}" in source.notes[0]


@pytest.mark.parametrize(
    "records, names, words",
    [
        ([google(0), google(7)], ["a", "b"], ["0..7", "labels.txt"]),
        ([google(-1, "a")], None, ["-1"]),
        ([google(3_000_000_000, "a")], None, ["3000000000", "100,000"]),
        ([google(1, "a"), google(3, "c")], None, ["class 2", "labels.txt"]),
        ([google(1), google(2)], None, ["labels.txt"]),
        ([google(1, "b"), google(2, "a")], ["a", "b"], ["class 1 'b'", "'a'", "order"]),
        ([google(1, "a"), example(image__encoded=PNG)], None, ["record 1", "image/encoded"]),
        ([example(image=PNG, label=1)], None, ["labels.txt"]),
        ([example(image=PNG, label=b"cat")], ["a"], ["'label' (bytes)", "record 0"]),
        ([example(image=PNG, label=[1, 2])], ["a"], ["'label' (int64, 2 values)"]),
        ([example(image=[0.5, 0.1], label=1)], ["a"], ["'image' (float, 2 values)"]),
        ([example(text=b"x", **{f"k{i}": 1 for i in range(20)})], ["a"], ["'k0' (int64)", "more"]),
        ([b"\xff\xff\xff"], ["a"], ["record 0", "tf.train.Example"]),
        ([b""], ["a"], ["no features"]),
    ],
)
def test_other_labels_and_records_are_named(tmp_path, open_error, records, names, words):
    write(tmp_path / "train-00000-of-00001", records)
    if names:
        (tmp_path / "labels.txt").write_text("\n".join(names), encoding="utf-8")
    message = open_error(None, tmp_path)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    "record, words",
    [
        (example(label=0), ["'label' (int64)", "not image"]),
        (example(image=PNG, label=0.5), ["'label' (float)"]),
        (example(image=PNG, label=[0, 0]), ["2 values"]),
        (b"\xff\xff\xff", ["tf.train.Example"]),
        (example(image=PNG, label=2), ["label 2", "0..1"]),
        (example(image=PNG, label=-5), ["label -5", "0..1"]),
    ],
    ids=["no image", "float", "two labels", "no example", "large label", "negative label"],
)
@pytest.mark.parametrize("compression", ["", pytest.param("GZIP", marks=pytest.mark.long)])
def test_a_later_record_of_other_content_is_named(tmp_path, record, words, compression):
    (tmp_path / "labels.txt").write_text("a\nb\n", encoding="utf-8")
    good = example(image=PNG, label=0)
    write(tmp_path / "train-00000-of-00002", [good] * 3, compression)
    write(tmp_path / "train-00001-of-00002", [good, good, record], compression)
    source = kapps.data.open_source(None, tmp_path)
    with pytest.raises(kapps.data.DataError) as error, kapps.data.explain_errors(source):
        list(kapps.data.eval_dataset(source, Preprocessing((8, 8)), 2, classes=2))
    message = str(error.value)
    assert all(word in message for word in ["train-00001-of-00002", "record 2", *words]), message
    assert "\n" not in message


def shard_content(tmp_path, compression=""):
    path = tmp_path / "train-00000-of-00001"
    (tmp_path / "labels.txt").write_text("a\n", encoding="utf-8")
    write(path, [example(image=PNG, label=0)] * 5, compression)
    return path, bytearray(path.read_bytes())


RECORD = 12 + len(example(image=PNG, label=0)) + 4
CHANGES = {  # (compression, change of the content, words of the message)
    "cut in a record": ("", lambda c: c[: 3 * RECORD + 20], ["record 3", "truncated"]),
    "cut in a length": ("", lambda c: c[: 2 * RECORD + 5], ["record 2", "truncated"]),
    "corrupt length": ("", lambda c: c[:RECORD] + b"\xff" * 8 + c[RECORD + 8 :], ["record 1", "corrupt"]),
    "no records": ("", lambda c: b"\x00" * 100, ["not a TFRecord file"]),
    "text": ("", lambda c: b"something else altogether", ["not a TFRecord file"]),
    "cut, GZIP": ("GZIP", lambda c: c[: len(c) // 2], ["GZIP", "truncated"]),
    "cut, ZLIB": ("ZLIB", lambda c: c[:-3], ["ZLIB", "truncated"]),
    "corrupt, GZIP": ("GZIP", lambda c: c[:20] + b"\x00" * 9 + c[29:], ["GZIP"]),
    "junk after GZIP": ("GZIP", lambda c: c + b"junk", ["GZIP", "corrupt"]),
    "a record of gigabytes": ("", lambda c: huge_record(2**40), ["record 0", "truncated"]),
    "a compressed record of gigabytes": ("", lambda c: zlib.compress(huge_record(2**33)), ["8,589,934,592"]),
}  # fmt: skip


def huge_record(length):
    """Returns the start of a record with a valid checksum of its length."""
    header = struct.pack("<Q", length)
    crc = 0xFFFFFFFF
    for byte in header:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return header + struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF) + b"x"


@pytest.mark.parametrize("case", CHANGES.values(), ids=CHANGES.keys())
def test_truncated_and_corrupt_shards_are_named_with_their_record(tmp_path, open_error, case):
    compression, change, words = case
    path, content = shard_content(tmp_path, compression)
    path.write_bytes(change(content))
    message = open_error(None, tmp_path)
    assert all(word in message for word in [str(path), *words]), message


def test_a_record_that_became_corrupt_is_named(tmp_path):
    path, content = shard_content(tmp_path)
    content[3 * RECORD + 40] ^= 1  # the lengths are right
    path.write_bytes(content)
    source = kapps.data.open_source(None, tmp_path)
    with pytest.raises(kapps.data.DataError, match="record 3"), kapps.data.explain_errors(source):
        list(kapps.data.eval_dataset(source, Preprocessing((8, 8)), 2, classes=1))


def test_a_gzip_file_may_have_several_members(tmp_path):
    import gzip

    path, content = shard_content(tmp_path)
    path.write_bytes(gzip.compress(content) + gzip.compress(content))
    source = kapps.data.open_source(None, tmp_path)
    assert source.examples == len(labels_of(source)) == 10
    assert inspect_records(path).bytes == source.bytes == 10 * RECORD
