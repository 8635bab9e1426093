"""Versions of SavedModels, and files that appear only when they are complete."""

import pathlib

import keras
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import kapps.export
from kapps.export.tflite import file_operations


def network():
    """Conv-BN-ReLU-Dropout-GAP-Dense."""
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same")(image)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Dropout(0.5)(x))
    return keras.Model(image, keras.layers.Dense(5, activation="softmax")(x), name="net")


def test_each_export_has_the_next_version(tmp_path):
    model = network()
    paths = [kapps.export.saved_model(model, tmp_path / "new") for _ in range(2)]
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == ["new/net/1", "new/net/2"]
    (tmp_path / "new/net/9").mkdir()
    (tmp_path / "new/net/notes").mkdir()
    assert kapps.export.saved_model(model, tmp_path / "new").name == "10"
    names = {path.name for path in (tmp_path / "new/net").iterdir()}
    assert names == {"1", "2", "9", "10", "notes"}


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    file = kapps.export.tflite(network(), tmp_path / "net.tflite")
    before = file.read_bytes()

    def fail_to_save(trackable, path, *args, **kwargs):
        pathlib.Path(path).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fail_to_save)
    for write, path in [
        (kapps.export.saved_model, tmp_path / "deep" / "er"),
        (kapps.export.tflite, tmp_path / "deep" / "net.tflite"),
        (kapps.export.tflite, file),
    ]:
        with pytest.raises(OSError, match="no space"):
            write(network(), path)
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_bytes() == before


def test_tflite_replaces_a_file_and_has_static_shapes(tmp_path):
    file = tmp_path / "net.tflite"
    file.write_bytes(b"old")
    assert kapps.export.tflite(network(), str(file), batch_size=2) == file
    interpreter = Interpreter(str(file))
    interpreter.allocate_tensors()
    assert interpreter.get_input_details()[0]["shape"].tolist() == [2, 16, 16, 3]
    assert not [t for t in interpreter.get_tensor_details() if -1 in t["shape_signature"]]
    # The batch norm is folded into the convolution, and dropout is removed.
    assert file_operations(file) == ["CONV_2D", "FULLY_CONNECTED", "MEAN", "SOFTMAX"]
