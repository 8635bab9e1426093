"""Datasets of one file: .zip class folders."""

import pathlib
import zipfile

import kapps.data


def write_zip(path, *names, content=b"x"):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return path


def test_a_zip_file_has_the_classes_and_splits_of_its_folders(make, tmp_path, open_error):
    png = make.encoded(make.photograph(), "PNG")
    names = [f"pets/{s}/{c}/{i}.png" for s in ("train", "test") for c in ("b", "a") for i in (1, 2)]
    hidden = ["__MACOSX/pets/._1.png", "pets/README"]
    path = write_zip(tmp_path / "x.zip", *names, *hidden, content=png)
    train, test = (kapps.data.open_source(None, path, split) for split in ("train", "validation"))
    assert (train.split, test.split) == ("train", "test")
    assert train.class_names == test.class_names == ("a", "b") and train.labels == (0, 0, 1, 1)
    assert test.files == tuple(sorted(names[4:]))
    assert {encoded for _, encoded, _ in test.images().as_numpy_iterator()} == {png}
    only_train = write_zip(tmp_path / "train.zip", *names[:4])
    assert kapps.data.open_source(None, only_train).files == tuple(sorted(names[:4]))
    assert "'validation'" in open_error(None, only_train, "validation")


def test_a_zip_file_without_splits_holds_out_the_same_images_as_its_folders(tmp_path):
    names = [f"{name}/{i}.jpg" for name in ("cat", "dog") for i in range(40)]
    for name in names:
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / name).write_bytes(b"x")
    for common_folder in ("", "pets/"):
        path = write_zip(tmp_path / "pets.zip", *(common_folder + name for name in names))
        for split in ("train", "test"):
            folder = kapps.data.open_source(None, tmp_path / "pets", split)
            archive = kapps.data.open_source(None, path, split)
            assert 0 < archive.examples < 80 and archive.labels == folder.labels
            relative = [str(pathlib.Path(file).relative_to(folder.root)) for file in folder.files]
            assert [common_folder + name for name in relative] == list(archive.files)


def test_an_error_names_the_zip_file_and_the_layout(tmp_path, monkeypatch, open_error):
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04")
    assert "cut.zip" in open_error(None, tmp_path / "cut.zip")
    message = open_error(None, write_zip(tmp_path / "none.zip", "a/b/read.me"))
    assert "none.zip/a/b" in message and "holds no images" in message
    message = open_error(None, write_zip(tmp_path / "flat.zip", "1.jpg"))
    assert "flat.zip" in message and "train/daisy/1.jpg" in message
    mixed = write_zip(tmp_path / "mixed.zip", "train/a/1.jpg", "b/2.jpg")
    assert kapps.data.open_source(None, mixed).splits == ("b", "train")
    extra_class = write_zip(tmp_path / "s.zip", "train/a/1.jpg", "train/b/1.jpg", "test/c/1.jpg")
    assert "class folder 'c' in test" in open_error(None, extra_class, "test")
    assert "'extra'" in open_error(None, extra_class, "extra")
    monkeypatch.setattr(kapps.data.image.archives, "_MAX_BYTES", 1)
    assert "unpack" in open_error(None, extra_class)
