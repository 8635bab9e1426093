"""Class folders, with splits and without."""

import shutil

import kapps.data


def image_names(*arguments):
    return [name.numpy().decode() for name, _, _ in kapps.data.open_source(*arguments).images()]


def write_files(directory, names):
    """Writes files with the names of images. No test decodes them."""
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(b"an image")


def test_classes_and_labels_follow_the_folders(make, tmp_path):
    jpeg = make.encoded(make.photograph(), "JPEG")
    png = make.encoded(make.photograph(), "PNG")
    train = make.folder({"cat/1.jpg": jpeg, "cat/2.JPEG": jpeg, "dog/1.png": png})
    (tmp_path / "train/cat/notes.txt").write_text("not an image", encoding="utf-8")
    (tmp_path / "train/cat/.hidden.jpg").write_bytes(b"")
    assert train.kind == "folder" and train.class_names == ("cat", "dog") and train.examples == 3
    rows = [
        (name.numpy().decode(), int(label))
        for name, _, label in kapps.data.open_source(None, tmp_path).images()
    ]
    assert rows == [("train/cat/1.jpg", 0), ("train/cat/2.JPEG", 0), ("train/dog/1.png", 1)]
    assert dict(train.left_out) == {}
    again = dict(kapps.data.open_source(None, tmp_path).left_out)
    assert again == {"train/cat/notes.txt": ".txt", "train/cat/.hidden.jpg": "hidden"}


def test_classes_of_the_validation_split_are_those_of_the_train_split(make, tmp_path, open_error):
    jpeg = make.encoded(make.photograph(), "JPEG")
    make.folder({"cat/1.jpg": jpeg, "dog/1.jpg": jpeg})
    validation = make.folder({"dog/9.jpg": jpeg}, "val")
    assert validation.labels == (1,) and validation.class_names == ("cat", "dog")
    assert kapps.data.open_source(None, tmp_path, "validation").split == "val"
    (tmp_path / "val/bird").mkdir()
    assert "'bird'" in open_error(None, tmp_path, "validation")


def test_a_fifth_of_each_class_is_held_out_if_there_are_no_splits(tmp_path, open_error):
    every = [f"{name}/{i}.jpg" for name in ("cat", "dog") for i in range(200)]
    write_files(tmp_path, every)
    train, validation = (image_names(None, tmp_path, split) for split in ("train", "validation"))
    assert sorted(train + validation) == sorted(every)
    for class_name in ("cat", "dog"):  # a fifth of 200, and three standard deviations of 5.7
        assert 23 <= sum(name.startswith(class_name) for name in validation) <= 57
    source = kapps.data.open_source(None, tmp_path, "test")
    assert (source.split, source.kind) == ("validation", "folder")
    assert source.class_names == ("cat", "dog")
    for split in ("val", "test"):
        assert image_names(None, tmp_path, split) == validation
    labels = [int(label) for _, _, label in source.images()]
    assert labels == [int(name.startswith("dog")) for name in validation]
    message = open_error(None, tmp_path, "extra")
    assert str(tmp_path) in message and "'extra'" in message and "train, validation" in message


def test_images_keep_their_split_when_others_are_added_or_the_folder_moves(tmp_path):
    directory, moved = tmp_path / "pets", tmp_path / "moved"
    write_files(directory, [f"{name}/{i}.jpg" for name in ("cat", "dog") for i in range(40)])
    before = {split: image_names(None, directory, split) for split in ("train", "validation")}
    write_files(directory, ["ant/1.jpg", "ant/2.jpg", "cat/0a.jpg"])
    shutil.copytree(directory, moved)
    for split, names in before.items():
        assert set(names) <= set(image_names(None, moved, split))


def test_a_class_may_have_no_image_to_validate_but_needs_one_to_train(tmp_path, open_error):
    write_files(tmp_path, [f"{name}/{i}.jpg" for name in ("cat", "dog") for i in range(40)])
    validation = set(image_names(None, tmp_path, "validation"))
    dogs = {f"dog/{i}.jpg" for i in range(40)}
    for name in dogs & validation:
        (tmp_path / name).unlink()
    for split in ("train", "validation"):  # the class keeps its number
        assert kapps.data.open_source(None, tmp_path, split).class_names == ("cat", "dog")
    assert not any(name.startswith("dog") for name in image_names(None, tmp_path, "validation"))
    write_files(tmp_path, dogs & validation)
    for name in dogs - validation:
        (tmp_path / name).unlink()
    message = open_error(None, tmp_path)
    assert "dog" in message and f"{len(dogs & validation)} images" in message
    shutil.rmtree(tmp_path / "cat")
    shutil.rmtree(tmp_path / "dog")
    (tmp_path / "dog").mkdir()
    message = open_error(None, tmp_path, "validation")
    assert str(tmp_path / "dog") in message and ".jpg" in message
    write_files(tmp_path, [min(dogs - validation)])
    message = open_error(None, tmp_path, "validation")
    assert str(tmp_path) in message and "validation" in message


def test_an_error_names_the_folder_and_the_layout(make, tmp_path, open_error):
    (tmp_path / "train").mkdir()
    (tmp_path / "train/1.jpg").write_bytes(make.encoded(make.photograph(), "JPEG"))
    message = open_error(None, tmp_path)
    assert str(tmp_path / "train") in message and "train/daisy/name.jpg" in message
    (tmp_path / "train/cat").mkdir()
    assert str(tmp_path / "train/cat") in open_error(None, tmp_path)
    message = open_error(None, tmp_path, "validation")
    assert "'validation'" in message and "train" in message
