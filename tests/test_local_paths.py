"""Paths of other machines are an error of one line in every function that takes a path; "~" is the home directory."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import kapps
from kapps import data, export, training, visualize
from kapps._local_paths import local_path
from kapps.data import sequence, text, translation
from kapps.export import demo

REMOTE = ("gs://bucket/x", "s3://bucket/x.keras", "hdfs://host/x", "http://host/x", "file:///x")
CALLS = {
    "open_source": lambda path, _: data.open_source(None, path),
    "open_source of TFDS": lambda path, _: data.open_source("mnist", path),
    "write_tfrecords": lambda path, _: data.write_tfrecords(
        np.zeros((2, 8, 8), "uint8"), [0, 1], ["a", "b"], path, "train", 1
    ),
    "read_text": lambda path, _: text.read_text(path),
    "read_series": lambda path, _: sequence.read_series(path),
    "read_piano_rolls": lambda path, _: sequence.read_piano_rolls(path, "train"),
    "read_sentences": lambda path, _: translation.read_sentences(path, path),
    "VocabularyPair.load": lambda path, _: translation.VocabularyPair.load(path),
    "preprocess": lambda path, _: kapps.preprocess(path, kapps.card("resnet18")),
    "weights": lambda path, _: kapps.lenet5(weights=path),
    "load_model": lambda path, _: training.load_model(path),
    "saved_model": lambda path, model: export.saved_model(model, path),
    "tflite": lambda path, model: export.tflite(model, path),
    "verify": lambda path, model: export.verify(model, path, np.zeros((1, 8, 8, 3), "float32")),
    "TFLiteStepModel": lambda path, _: export.TFLiteStepModel(path),
    "load_tflite_encoder_and_step": lambda path, _: export.load_tflite_encoder_and_step(path),
    "make_server": lambda path, _: demo.make_server(path),
    "Run": lambda path, _: training.Run(
        path, tf.distribute.get_strategy(), epochs=1, steps_per_epoch=1, batch_size=1, identity={}
    ),
    "Checkpoints": lambda path, _: training.Checkpoints(path, steps_per_epoch=1),
    "list_checkpoints": lambda path, _: training.list_checkpoints(path),
    "Curves": lambda path, _: training.Curves(path, []),
    "write_run_record": lambda path, _: training.write_run_record(path, {}, {}),
    "plot_lines": lambda path, _: visualize.plot_lines({"a": ([1, 2], [1, 2])}, f"{path}.png", "x", "y"),
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    members = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    return keras.Sequential(members, name="net")


@pytest.mark.parametrize("name", CALLS)
def test_a_remote_path_is_an_error_of_one_line(name, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # pathlib.Path shortens gs://bucket to gs:/bucket.
    for path in (*REMOTE[:2], pathlib.Path("gs://bucket/x")):
        with pytest.raises(ValueError) as error:
            CALLS[name](path, model)
        assert str(path) in str(error.value) and "is not a local path" in str(error.value)
        assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_local_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_path("~/a/b") == tmp_path / "a" / "b" and local_path("~") == tmp_path
    for path in ("a", "a/b.c", "/a", "C:/a", "a:b", "x~"):
        assert local_path(path) == pathlib.Path(path)
    for path, words in (
        *((remote, "is not a local path") for remote in REMOTE),
        ("", "is empty"),
        ("  ", "is empty"),
        ("a\0b", "NUL"),
        ("~no-such-user/a", "no home directory"),
        (3, "is not a path"),
        (None, "is not a path"),
    ):
        with pytest.raises(ValueError, match=words) as error:
            local_path(path, "--data_dir")
        assert str(error.value).startswith("--data_dir=")
