"""Errors of models and paths that cannot be exported: one line that names the reason."""

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


def two_inputs_of_one_name():
    image = {"left": {"image": keras.Input((8, 8, 3))}, "right": {"image": keras.Input((8, 8, 3))}}
    x = keras.layers.Add()([image["left"]["image"], image["right"]["image"]])
    return keras.Model(image, x, name="two")


def vectors():
    vector = keras.Input((3,))
    return keras.Model(vector, 2 * vector, name="vectors")


def variable_size():
    image = keras.Input((None, None, 3))
    return keras.Model(image, 2 * image, name="variable_size")


def fourier():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.ops.fft2((image, image))[0], name="fourier")


def unnamed_function():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.Lambda(lambda x: 2 * x)(image), name="unnamed")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: "resnet50", "keras.Model.*not str"),
        (Subclass, "no input of known shape"),
        (lambda: keras.Sequential([keras.layers.Conv2D(2, 3)]), "no input of known shape"),
        (two_inputs_of_one_name, "two takes 2 inputs.* names"),
        (vectors, r"vectors takes float32 \(None, 3\)"),
        (unnamed_function, "unnamed cannot be rebuilt in float32"),
    ],
)
@pytest.mark.parametrize("write", [kapps.export.saved_model, kapps.export.tflite])
def test_models_that_cannot_be_exported(tmp_path, make, words, write):
    raises_one_line(words, write, make(), tmp_path / "net.tflite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "words"),
    [(variable_size, "fixed size"), (fourier, "fourier.*no builtin operation for .*FFT2D")],
)
def test_models_that_tflite_does_not_support(tmp_path, make, words):
    raises_one_line(words, kapps.export.tflite, make(), tmp_path / "net.tflite")
    assert list(tmp_path.iterdir()) == []


def test_paths_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("a file", encoding="utf-8")
    (tmp_path / "folder.tflite").mkdir()
    for words, write, path in [
        ("file.* cannot be written", kapps.export.saved_model, tmp_path / "file"),
        ("file cannot be written", kapps.export.tflite, tmp_path / "file" / "net.tflite"),
        ("net.onnx .*tflite", kapps.export.tflite, tmp_path / "net.onnx"),
        ("folder.tflite is not", kapps.export.tflite, tmp_path / "folder.tflite"),
        ("gs://bucket/models.*local", kapps.export.saved_model, "gs://bucket/models"),
    ]:
        raises_one_line(words, write, dense(), path)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder.tflite"}


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, None])
def test_batch_sizes(tmp_path, batch_size):
    path = tmp_path / "net.tflite"
    raises_one_line(
        f"batch_size.*{batch_size!r}", kapps.export.tflite, dense(), path, batch_size=batch_size
    )


def raises_one_line(words, write, *args, **kwargs):
    with pytest.raises(ValueError, match=words) as error:
        write(*args, **kwargs)
    assert "\n" not in str(error.value)
