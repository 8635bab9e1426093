"""Datasets of one .npz file of arrays, and files whose labels, shapes or sizes mean nothing."""

import io
import resource
import zipfile

import numpy as np
import pytest
import tensorflow as tf

import kapps.data
from kapps.data import array_files


@pytest.fixture
def arrays(grey_images):
    """The arrays of an .npz file: twelve colour images to train, five grey ones to test."""
    return {
        "x_train": np.stack([grey_images] * 3, -1), "y_train": np.arange(12)[:, None] % 4,
        "x_test": grey_images[:5], "y_test": np.uint8([3, 0, 1, 2, 3]),
    }  # fmt: skip


def test_an_npz_file_is_read(tmp_path, arrays, decoded_images):
    np.savez(tmp_path / "x.npz", **arrays)
    train, test = (
        kapps.data.open_source(None, tmp_path / "x.npz", split) for split in ("train", "validation")
    )
    assert (train.split, test.split, train.kind, train.shards) == ("train", "test", "archive", ())
    assert train.class_names == test.class_names == tuple("0123")
    colour, grey = arrays["x_train"], arrays["x_test"]
    assert decoded_images(train) == sorted((colour[i].tobytes(), i % 4) for i in range(12))
    assert decoded_images(test) == sorted((grey[i].tobytes(), (3 + i) % 4) for i in range(5))
    assert train.bytes == sum(len(e) for _, e, _ in train.images().as_numpy_iterator())
    orders = [
        [name for name, _, _ in train.images(tf.constant(seed, tf.int64)).as_numpy_iterator()]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == sorted(orders[2])


def test_an_error_names_the_npz_file_and_the_array(tmp_path, arrays, open_error):
    path = tmp_path / "x.npz"
    np.savez(path, **{name: array for name, array in arrays.items() if name != "y_test"})
    message = open_error(None, path)
    assert str(path) in message and "y_test is missing" in message
    np.savez(path, **arrays | {"y_test": np.zeros(4, int)})
    message = open_error(None, path, "test")
    assert "5 images" in message and "4 labels" in message
    np.savez(path, **arrays)
    message = open_error(None, path, "extra")
    assert "'extra'" in message and "train, test" in message
    path.write_bytes(path.read_bytes()[:-40])
    assert str(path) in open_error(None, path)


def test_labels_may_be_names(tmp_path, arrays):
    names = np.array(["Löwe", "cat", "dog", "ape"])
    for name_type in ("U", "S"):
        named = np.char.encode(names, "utf-8") if name_type == "S" else names
        labels = {y: named[arrays[y].reshape(-1)] for y in ("y_train", "y_test")}
        np.savez(tmp_path / "x.npz", **arrays | labels)
        source = kapps.data.open_source(None, tmp_path / "x.npz", "test")
        assert source.class_names == ("Löwe", "ape", "cat", "dog")
        assert [source.class_names[i] for i in source.labels] == names[arrays["y_test"]].tolist()


def test_a_class_without_a_training_image_is_in_the_notes(tmp_path, arrays):
    np.savez(tmp_path / "x.npz", **arrays | {"y_train": np.arange(12) % 3})
    source = kapps.data.open_source(None, tmp_path / "x.npz")
    assert source.class_names == tuple("0123") and "class 3" in source.notes[0]
    np.savez(tmp_path / "x.npz", **arrays)
    assert kapps.data.open_source(None, tmp_path / "x.npz").notes == ()


LABELS = {
    "huge": (np.r_[0:11, 3_000_000_000], ["3000000000", "17"]),
    "larger than int64": (np.array([0] * 11 + [2**63], "uint64"), ["9223372036854775808"]),
    "more than images": (np.arange(12) * 2, ["0..22"]),
    "sparse": (np.arange(12) % 2 * 7, ["0..7", "only"]),
    "from 1": (np.arange(12) % 4 + 1, ["1..4", "label 0"]),
    "negative": (np.arange(12) % 4 - 1, ["-1", "negative"]),
    "floats": (np.arange(12) % 4 / 1, ["float64", "integers"]),
    "NaN": (np.r_[np.zeros(11), np.nan], ["float64", "label 11 is nan"]),
    "infinite": (np.r_[np.inf, np.zeros(11)], ["label 0 is inf"]),
    "complex": (np.zeros(12, complex), ["complex128"]),
    "dates": (np.zeros(12, "datetime64[s]"), ["datetime64"]),
    "one-hot": (np.eye(12, dtype=int), ["[12, 12]", "argmax"]),
    "scalar": (np.array(3), ["[]"]),
    "objects": (np.array([None] * 12), ["y_train", "objects"]),
    "names and numbers": (np.array(list("abcdabcdabcd")), ["y_test"]),
    "too few": (np.arange(11) % 4, ["12 images", "11 labels"]),
}


@pytest.mark.parametrize("labels, words", LABELS.values(), ids=LABELS.keys())
def test_labels_that_are_not_class_numbers_raise_an_error(
    tmp_path, arrays, open_error, request, labels, words
):
    y_test = np.full(5, int("from 1" in request.node.name))
    np.savez(tmp_path / "x.npz", **arrays | {"y_train": labels, "y_test": y_test})
    message = open_error(None, tmp_path / "x.npz")
    assert all(word in message for word in ["x.npz", *words]), message


@pytest.mark.parametrize(
    "images, words",
    [
        (np.zeros((12, 8, 8)), "float64"),
        (np.zeros((12, 64), np.uint8), "[12, 64]"),
        (np.zeros((12, 8, 8, 2), np.uint8), "[12, 8, 8, 2]"),
        (np.zeros((12, 2, 8, 8, 3), np.uint8), "[12, 2, 8, 8, 3]"),
        (np.zeros((12, 0, 8), np.uint8), "[12, 0, 8]"),
        (np.array(3, np.uint8), "0 images"),
        (np.array([None] * 12), "objects"),
        (np.array(["x"] * 12), "<U1"),
    ],
)
def test_images_of_another_type_or_rank_raise_an_error(tmp_path, arrays, open_error, images, words):
    np.savez(tmp_path / "x.npz", **arrays | {"x_train": images})
    message = open_error(None, tmp_path / "x.npz")
    assert "x.npz" in message and words in message


def npy(shape, dtype="|u1", content=b""):
    """Returns an .npy file that declares a shape."""
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


HOSTILE = {
    "a huge shape": (npy((10**6, 10**6)), "1000000000000 bytes"),
    "a shape beyond 64 bits": (npy((10**30,)), "bytes"),
    "a negative shape": (npy((-1, 5)), "-1"),
    "a short array": (npy((12, 8, 8), content=bytes(700)), "700"),
    "a long array": (npy((12, 8, 8), content=bytes(900)), "900"),
    "objects": (npy((12,), "|O"), "objects"),
    "records": (npy((12,), [("a", "<i4"), ("b", "|O")]), "objects"),
    "no header": (b"something else", "readable"),
    "a cut header": (npy((12, 8, 8))[:40], "readable"),
    "code in a header": (
        b"\x93NUMPY\x01\x00\x20\x00" + b"__import__('os').abort()        ",
        "readable",
    ),
    "nothing": (b"", "readable"),
}


@pytest.mark.parametrize("content, words", HOSTILE.values(), ids=HOSTILE.keys())
def test_declared_shapes_are_checked_before_an_array_is_read(
    tmp_path, arrays, open_error, content, words
):
    np.savez(tmp_path / "x.npz", **{name: a for name, a in arrays.items() if name != "x_train"})
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.writestr("x_train.npy", content)
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(kapps.data.DataError) as error:
        array_files.read_array(tmp_path / "x.npy")
    for message in (open_error(None, tmp_path / "x.npz"), str(error.value)):
        assert words in message.replace(",", "") and "\n" not in message, message


def test_an_array_that_expands_a_thousand_times_is_not_read(tmp_path, arrays, open_error):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x_train.npy", "w", force_zip64=True) as file,
    ):
        file.write(npy((2**17, 32, 32)))
        for _ in range(128):
            file.write(bytes(2**20))
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        for name in ("y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", npy((0,)))
    assert "bytes of arrays" in open_error(None, tmp_path / "x.npz")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 2**16
