"""Which splits and files of a directory or .zip file are read, and the line that says what is left out."""

import os
import zipfile

import pytest

import kapps.data


@pytest.fixture
def write(tmp_path):
    """`write(names)` writes files and returns their directory; `write(names, zipped=True)` the .zip file of it."""

    def write(names, zipped=False):
        directory = tmp_path / "set"
        for name in names:
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(b"an image")
        if not zipped:
            return directory
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            for name in names:
                archive.writestr(f"set/{name}", b"an image")
        return tmp_path / "set.zip"

    return write


def open_both(path, **options):
    return [
        kapps.data.open_source(None, path, split, **options) for split in ("train", "validation")
    ]


def images(*splits, count=3, suffix="jpg"):
    return [f"{s}/{c}/{i}.{suffix}" for s in splits for c in ("cat", "dog") for i in range(count)]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "folders, train, validation, unused",
    [
        ("train valid test", "train", "valid", "test"),
        ("train val test", "train", "val", "test"),
        ("train validation test", "train", "validation", "test"),
        ("Train Valid Test", "Train", "Valid", "Test"),
        ("training eval test", "training", "eval", "test"),
        ("train dev test", "train", "dev", "test"),
        ("train test", "train", "test", ""),
        ("train valid val", "train", "valid", "val"),
        ("TRAIN TESTING extra", "TRAIN", "TESTING", "extra"),
    ],
)
def test_validation_is_taken_from_test_only_without_a_validation_split(
    write, zipped, folders, train, validation, unused
):
    sources = open_both(write(images(*folders.split()), zipped))
    assert [source.split for source in sources] == [train, validation]
    line = kapps.data.describe_sources(*sources)
    assert f"6 training images of split {train!r}" in line
    assert f"6 evaluation images of split {validation!r}" in line
    assert ("not used" in line) == bool(unused) and unused in line and "\n" not in line


@pytest.mark.parametrize("zipped", [False, True])
def test_subfolders_of_a_class_are_read(write, zipped):
    names = images("train", "valid") + [f"train/cat/2019/more/{i}.jpg" for i in range(30)]
    train, _ = open_both(write(names, zipped))
    assert train.examples == 36 and train.class_names == ("cat", "dog")
    assert train.labels.count(0) == 33


def test_subfolders_of_a_class_without_splits_are_read(write):
    names = [f"{c}/{i}.jpg" for c in ("cat", "dog") for i in range(12)] + ["cat/2019/1.jpg"]
    train, validation = open_both(write(names))
    assert train.class_names == ("cat", "dog") and train.held_out
    assert train.examples + validation.examples == 25


def test_what_is_left_out_is_counted_by_reason(write):
    names = [f"{c}/{i}.jpg" for c in ("cat", "dog") for i in range(12)]
    names += [f"cat/{i}.tif" for i in range(20)] + [f"cat/{i}.JFIF" for i in range(20)]
    directory = write([*names, "loose.png", "cat/.hidden.jpg", "cat/.git/1.jpg", "README"])
    (directory / "dog/0.jpg").write_bytes(b"")
    os.symlink(directory, directory / "cat/loop")
    os.symlink(directory / "nothing", directory / "dog/dangling.jpg")
    os.mkfifo(directory / "dog/pipe.jpg")
    sources = open_both(directory)
    line = kapps.data.describe_sources(*sources)
    expected = {
        ".tif": 20, ".jfif": 20, "hidden": 2, "without a suffix": 1, "not in a class folder": 1, "empty": 1,
        "link to its own folder": 1, "unreadable": 2,
    }  # fmt: skip
    assert f"{sum(expected.values())} files left out" in line
    for reason, count in expected.items():
        assert f"{reason} {count}" in line
    record = sources[0].record()
    assert record["left_out"][".tif"] == 20 and record["held_out"] is True


def test_one_class_is_an_error_that_names_labels(write):
    source = kapps.data.open_source(None, write([*(f"images/{i}.jpg" for i in range(9)), "l.csv"]))
    with pytest.raises(kapps.data.DataError) as error:
        kapps.data.check_classes(source)
    assert "'images'" in str(error.value) and "--labels=l.csv" in str(error.value)


ROWS = [(f"{i}.jpg", "ab"[i % 2]) for i in range(40)]
LABELS = {
    "header": ("file,label\n", ",", ROWS),
    "no header": ("", ",", ROWS),
    "semicolons": ("image;class\n", ";", ROWS),
    "tabs, no suffix": ("id\tbreed\n", "\t", [(name[:-4], label) for name, label in ROWS]),
    "spaces, other paths": ("", " ", [(f"/elsewhere/images/{name}", label) for name, label in ROWS]),
    "labels first": ("label,path\n", ",", [(label, f"images/{name}") for name, label in ROWS]),
    "other columns": ("name,label,width\n", ",", [(*row, "640") for row in ROWS]),
    "quotes": ("file,label\n", ",", [(f'"{name}"', f'" {label}"') for name, label in ROWS]),
    "backslashes": ("file,label\n", ",", [(f"images\\{name}", label) for name, label in ROWS]),
}  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_csv_file_has_the_labels(write, name, encoding):
    header, delimiter, rows = LABELS[name]
    directory = write([f"images/{i}.jpg" for i in range(40)])
    text = header + "".join(delimiter.join(row) + "\r\n" for row in rows)
    (directory / "labels.csv").write_bytes(text.encode(encoding))
    train, validation = open_both(directory, labels="labels.csv")
    assert train.class_names == ("a", "b") and train.examples + validation.examples == 40
    for file, label in zip(train.files, train.labels, strict=True):
        assert label == int(os.path.basename(file)[:-4]) % 2


def test_a_csv_file_has_splits_and_what_it_lacks_is_counted(write):
    directory = write([f"images/{i}.jpg" for i in range(40)])
    rows = [f"{i}.jpg,{i % 11},{['train', 'valid', 'test'][i % 3]}" for i in range(2, 45)]
    labels = directory / "labels.csv"
    labels.write_text("\n".join(["file,label,split", *rows, "0.jpg,,train"]), encoding="utf-8")
    train, validation = open_both(directory, labels=labels)
    assert (train.split, validation.split) == ("train", "valid")
    assert train.class_names == tuple(map(str, range(11)))
    line = kapps.data.describe_sources(train, validation)
    assert "not used: test" in line and "without a label 2" in line
    assert "5 labels without an image (40.jpg" in line and "1 rows without a label" in line


@pytest.mark.parametrize(
    "text, part",
    [
        ("0.jpg,a\n0.jpg,b\n", "line 2"),
        ("file,foo,bar\n0.jpg,1,2\n", "foo, bar"),
        ("hello\n", "no column"),
        ("", "no column"),
        ("0.jpg,a\n1.jpg,b,c\n", "line 2"),
        ("other/1.jpg,a\nimages/2.jpg,b\n1.jpg,c\n", "2 images"),
    ],
)
def test_an_error_names_the_csv_file_and_the_line(write, open_error, text, part):
    directory = write([*(f"images/{i}.jpg" for i in range(5)), "other/1.jpg"])
    (directory / "labels.csv").write_text(text, encoding="utf-8")
    message = open_error(None, directory, "train", "labels.csv")
    assert "labels.csv" in message and part in message
    assert "nothing.csv" in open_error(None, directory, "train", "nothing.csv")
    assert "data_dir" in open_error("digits", None, "train", "labels.csv")
