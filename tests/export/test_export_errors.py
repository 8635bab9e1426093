"""Tests that what cannot be exported is refused in one line that says why."""

import keras
import pytest

import kapps.export


def dense():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.Dense(2)(image), name="dense")


class Subclass(keras.Model):
    """A model without a graph."""

    def call(self, x):
        return x


def two_of_one_name():
    image = {"left": {"image": keras.Input((8, 8, 3))}, "right": {"image": keras.Input((8, 8, 3))}}
    both = keras.layers.Add()([image["left"]["image"], image["right"]["image"]])
    return keras.Model(image, both, name="two")


def vectors():
    vector = keras.Input((3,))
    return keras.Model(vector, 2 * vector, name="vectors")


def any_size():
    image = keras.Input((None, None, 3))
    return keras.Model(image, 2 * image, name="any_size")


def fourier():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.ops.fft2((image, image))[0], name="fourier")


def unnamed_function():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.Lambda(lambda x: 2 * x)(image), name="unnamed")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: "resnet50", "a keras.Model is exported, not str"),
        (Subclass, "no input of known shape"),
        (lambda: keras.Sequential([keras.layers.Conv2D(2, 3)]), "no input of known shape"),
        (two_of_one_name, "2 inputs that have no names of their own"),
        (vectors, r"takes float32 \(None, 3\)"),
        (unnamed_function, "cannot be rebuilt in float32"),
    ],
)
@pytest.mark.parametrize("write", [kapps.export.saved_model, kapps.export.tflite])
def test_other_models(tmp_path, make, words, write):
    refused(words, write, make(), tmp_path / "net.tflite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "words"),
    [(any_size, "fixed size"), (fourier, "no builtin operation for .*FFT2D")],
)
def test_models_that_litert_does_not_hold(tmp_path, make, words):
    refused(words, kapps.export.tflite, make(), tmp_path / "net.tflite")
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("a file")
    (tmp_path / "folder.tflite").mkdir()
    for words, write, path in [
        ("cannot be written", kapps.export.saved_model, tmp_path / "file"),
        ("cannot be written", kapps.export.tflite, tmp_path / "file" / "net.tflite"),
        ("not a path of a .tflite", kapps.export.tflite, tmp_path / "net.onnx"),
        ("not a path of a .tflite", kapps.export.tflite, tmp_path / "folder.tflite"),
        ("not a local path", kapps.export.saved_model, "gs://bucket/models"),
    ]:
        refused(words, write, dense(), path)
    assert {p.name for p in tmp_path.iterdir()} == {"file", "folder.tflite"}


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, None])
def test_batch_sizes(tmp_path, batch_size):
    path = tmp_path / "net.tflite"
    refused("batch_size", kapps.export.tflite, dense(), path, batch_size=batch_size)


def refused(words, write, *args, **kwargs):
    with pytest.raises(ValueError, match=words) as caught:
        write(*args, **kwargs)
    assert "\n" not in str(caught.value)
