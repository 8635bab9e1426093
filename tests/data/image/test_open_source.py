"""`open_source`: the packaged digits, and paths that hold no images. The readers have tests of their own."""

import numpy as np

import kapps.data


def test_the_packaged_digits_are_those_of_scikit_learn(decoded_images):
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * 255 / 16).astype(np.uint8)
    for split, part in (("train", slice(0, 1437)), ("test", slice(1437, None))):
        source = kapps.data.open_source("digits", split=split)
        assert (source.name, source.split, source.kind) == ("digits", split, "records")
        assert source.examples == len(pixels[part]) and source.class_names == tuple("0123456789")
        expected = [
            (image.tobytes(), int(label))
            for image, label in zip(pixels[part], digits.target[part], strict=True)
        ]
        assert decoded_images(source) == sorted(expected)


def test_the_test_split_serves_as_validation():
    assert kapps.data.open_source("digits", split="validation").split == "test"


def test_an_error_names_the_path_and_what_kapps_reads(make, tmp_path, open_error):
    assert "digits" in open_error(None, None)
    assert str(tmp_path) in open_error("digits", tmp_path)  # which the digits are not in
    message = open_error(None, tmp_path / "nowhere")
    assert "nowhere" in message and "does not exist" in message
    message = open_error(None, tmp_path)
    assert str(tmp_path) in message and "class folders" in message and "labels.txt" in message
    (tmp_path / "x.mat").write_bytes(b"")
    message = open_error(None, tmp_path / "x.mat")
    assert "x.mat" in message and ".npz" in message and ".zip" in message
