"""Directories, .zip files, shards: the same pairs of images and masks, and the errors of wrong ones."""

import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kapps import data
from kapps.data import segmentation


@pytest.fixture
def pair(make):
    """`pair(number)` returns an encoded image and its encoded mask, of numbers below 3."""

    def pair(number):
        mask = np.full((6, 8), number % 3, np.uint8)
        image = make.photograph(6, 8, seed=number)
        return make.encoded(image, "PNG"), make.encoded(Image.fromarray(mask), "PNG")

    return pair


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def open_error(*arguments, **options):
    with pytest.raises(data.DataError) as error:
        segmentation.open_masks(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


LAYOUTS = {
    "{split}/images/{name}.png": "{split}/masks/{name}.png",
    "camvid/{split}/images/{name}.png": "camvid/{split}/labels/{name}_L.png",
    "images/{split}/{name}.png": "annotations/{split}/{name}.png",
    "{split}/{name}.png": "{split}annot/{name}.png",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_folders_and_of_zip_files(pair, tmp_path, layout):
    files = {}
    for number, split in enumerate(["train", "train", "val"]):
        for pattern, content in zip((layout, LAYOUTS[layout]), pair(number), strict=True):
            files[pattern.format(split=split, name=f"a{number}")] = content
    files["classes.txt"] = b"sky\nroad\ncar\n"
    write(tmp_path / "data", files)
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    for path in (tmp_path / "data", tmp_path / "data.zip"):
        train = segmentation.open_masks(None, path)
        test = segmentation.open_masks(None, path, "validation")
        assert (train.examples, test.examples, test.split) == (2, 1, "val")
        assert train.class_names == ("sky", "road", "car") and train.left_out == ()
        images = [image for _, image, _ in train.images().as_numpy_iterator()]
        assert images == [pair(number)[0] for number in (0, 1)]
        masks = [mask[1:] for _, _, mask in train.images().as_numpy_iterator()]
        assert masks == [pair(number)[1] for number in (0, 1)]


def test_several_splits_are_one_source(pair, tmp_path):
    splits = ("train", "train", "val", "test")
    files = {}
    for number, split in enumerate(splits):
        for kind, content in zip(("images", "masks"), pair(number), strict=True):
            files[f"{split}/{kind}/{number}.png"] = content
    files["val/images/9.png"] = pair(9)[0]
    write(tmp_path / "data", files)
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    for name, compressed in (("train", False), ("val", True)):
        numbers = [number for number, split in enumerate(splits) if split == name]
        images, masks = zip(*map(pair, numbers), strict=True)
        segmentation.write_mask_tfrecords(images, masks, 3, tmp_path / "shards", name)
        if compressed:
            (path,) = (tmp_path / "shards").glob("val-*")
            records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
            with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
                for record in records:
                    writer.write(record)
    for folder in ("data", "data.zip", "shards"):
        source = segmentation.open_masks(None, tmp_path / folder, "train+val", classes=3)
        assert (source.examples, source.split) == (3, "train+val")
        parts = [
            segmentation.open_masks(None, tmp_path / folder, split, classes=3)
            for split in ("train", "val")
        ]
        assert source.bytes == sum(part.bytes for part in parts)
        contents = sorted(
            (image, mask[1:]) for _, image, mask in source.images().as_numpy_iterator()
        )
        assert contents == sorted(map(pair, range(3)))
        if folder != "shards":
            assert source.left_out == (("val/images/9.png", "no mask"),)
            test = segmentation.open_masks(None, tmp_path / folder, "test", classes=3)
            assert "not used" not in data.describe_sources(source, test)
        arguments = (None, tmp_path / folder)
        assert "twice" in open_error(*arguments, "train+train", classes=3)
        assert "no split 'trial'" in open_error(*arguments, "train+trial", classes=3)


def test_lists_of_pascal_voc(pair, tmp_path):
    files = {f"VOC/JPEGImages/{n}.png": pair(n)[0] for n in range(4)}
    files |= {f"VOC/SegmentationClass/{n}.png": pair(n)[1] for n in range(3)}
    files |= {f"VOC/SegmentationObject/{n}.png": pair(n)[1] for n in range(3)}
    lists = {"train": b"0\n2\n", "val": b"1\n"}
    files |= {f"VOC/ImageSets/Segmentation/{name}.txt": text for name, text in lists.items()}
    write(tmp_path, files)
    train = segmentation.open_masks(None, tmp_path, classes=3)
    assert [name.rpartition("/")[2] for name in train.files] == ["0.png", "2.png"]
    assert dict(train.left_out)["VOC/JPEGImages/3.png"] == "no mask"
    assert segmentation.open_masks(None, tmp_path, "validation", classes=3).examples == 1


def test_without_splits_images_are_held_out_by_their_names(pair, tmp_path):
    files = {f"images/{n}.png": pair(n)[0] for n in range(40)}
    files |= {f"masks/{n}.png": pair(n)[1] for n in range(40)}
    write(tmp_path, files)
    train, test = (
        segmentation.open_masks(None, tmp_path, split, classes=3) for split in ("train", "test")
    )
    assert train.held_out and train.examples + test.examples == 40 and 0 < test.examples < 20
    assert not set(train.files) & set(test.files)


def test_shards_hold_what_was_written(pair, tmp_path):
    images, masks = zip(*map(pair, range(5)), strict=True)
    segmentation.write_mask_tfrecords(images, masks, 3, tmp_path, "train", shards=2)
    source = segmentation.open_masks(None, tmp_path)
    assert source.examples == 5 and source.class_names == ("0", "1", "2")
    contents = sorted((image, mask[1:]) for _, image, mask in source.images().as_numpy_iterator())
    assert contents == sorted(zip(images, masks, strict=True))
    assert source.find_problem() is None
    example = tf.train.Example().SerializeToString()
    with tf.io.TFRecordWriter(str(tmp_path / "validation-00000-of-00001.tfrecord")) as writer:
        writer.write(example)
    assert "kapps reads" in open_error(None, tmp_path, "validation")


def test_errors_name_what_is_missing(pair, tmp_path):
    image, mask = pair(0)
    write(tmp_path / "loose", {"train/1.png": image, "train/2.png": image})
    assert "no image has a mask" in open_error(None, tmp_path / "loose", classes=3)
    write(tmp_path / "pairs", {"images/a.png": image, "masks/a.png": mask})
    assert "classes.txt" in open_error(None, tmp_path / "pairs")
    write(tmp_path / "twice", {"images/a.png": image, "images/a.jpg": image, "masks/a.png": mask})
    assert "two images of the same name" in open_error(None, tmp_path / "twice", classes=3)
    splits = {"train/images/a.png": image, "train/masks/a.png": mask}
    write(tmp_path / "splits", splits)
    assert "'validation'" in open_error(None, tmp_path / "splits", "validation", classes=3)
    assert "does not exist" in open_error(None, tmp_path / "nowhere", classes=3)
    assert "no data" in open_error()
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04")
    assert "cut.zip" in open_error(None, tmp_path / "cut.zip", classes=3)


def test_the_identity_names_what_changed(pair, tmp_path):
    write(tmp_path, {"train/images/a.png": pair(0)[0], "train/masks/a.png": pair(0)[1]})
    before = data.source_identity(segmentation.open_masks(None, tmp_path, classes=3))
    assert before == data.source_identity(segmentation.open_masks(None, tmp_path, classes=3))
    other = data.source_identity(segmentation.open_masks(None, tmp_path, classes=3, void=7))
    assert other != before and other["files"] == before["files"]
    (tmp_path / "train" / "masks" / "a.png").write_bytes(pair(0)[1] + b"x")
    after = data.source_identity(segmentation.open_masks(None, tmp_path, classes=3))
    assert after["parts"]["images"] != before["parts"]["images"]
