"""`python -m kapps.data.records`: prepared shards."""

import io

import numpy as np
from PIL import Image

import kapps.data
from kapps.data import records


def test_larger_images_are_resized_and_others_keep_their_bytes(make, tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    small = make.encoded(make.photograph(30, 40, seed=1), "JPEG")
    images = {
        "a/large.jpg": make.encoded(make.photograph(120, 160), "JPEG", quality=95),
        "a/small.jpg": small,
        "b/turned.jpg": make.encoded(make.photograph(80, 100, seed=2), "JPEG", exif=exif),
        "b/x.png": make.encoded(make.photograph(90, 64, seed=3), "PNG"),
        "b/cut.jpg": small[:150],
    }
    source = make.folder(images)
    make.folder(images, "validation")
    out = tmp_path / "out"
    arguments = [str(tmp_path), str(out), "--shorter_side=60", "--quality=95", "--shards=2"]
    assert records.main(arguments) == 0
    assert "4 train images" in capsys.readouterr().out
    for split in ("train", "validation"):
        prepared = kapps.data.open_source(data_dir=out, split=split)
        assert prepared.class_names == source.class_names and prepared.examples == 4
        contents = {bytes(e.numpy()): int(label) for _, e, label in prepared.images()}
        assert contents[small] == 0 and sorted(contents.values()) == [0, 0, 1, 1]
        opened = [Image.open(io.BytesIO(content)) for content in contents]
        assert {image.size for image in opened} == {(80, 60), (40, 30), (60, 75), (60, 84)}
        large = np.asarray(next(image for image in opened if image.size == (80, 60)), float)
        expected = make.photograph(120, 160).resize((80, 60), Image.Resampling.BILINEAR)
        assert np.abs(large - np.asarray(expected, float)).mean() < 3


def test_a_directory_of_other_classes_is_an_error(make, tmp_path, capsys):
    image = make.encoded(make.photograph(8, 8), "PNG")
    make.folder({"a/1.png": image, "b/1.png": image})
    out = tmp_path / "out"
    out.mkdir()
    (out / "labels.txt").write_text("c\nd\n", encoding="utf-8")
    assert records.main([str(tmp_path), str(out)]) == 1
    assert "other classes" in capsys.readouterr().err
