"""The files for TensorFlow Serving, read with the server's own messages."""

import os
import subprocess

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

import kapps
from kapps.cards import Preprocessing
from kapps.export.saved_model import _serving_config

PIXELS = Preprocessing(size=(8, 8), crop=1.0)


def network(name):
    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    return keras.Model(image, x, name=name)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A directory of two models, one of them in two versions."""
    folder = tmp_path_factory.mktemp("served")
    for name in ("one", "two", "one"):
        kapps.export.saved_model(network(name), folder, preprocessing=PIXELS)
    return folder


@pytest.mark.long
def test_warm_up_requests_run_through_their_signatures(served):
    version = served / "one" / "2"
    signatures = tf.saved_model.load(str(version)).signatures
    replayed = []
    for record in tf.data.TFRecordDataset(str(version / _serving_config.WARM_UP)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        outputs = signatures[request.model_spec.signature_name](**inputs)
        assert request.model_spec.name == "one" and np.isfinite(outputs["logits"]).all()
        replayed.append(request.model_spec.signature_name)
    assert sorted(replayed) == ["serve_bytes", "serving_default"]


def test_config_files_parse_with_the_servers_messages(served):
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((served / "models.config").read_text(encoding="utf-8"), config)
    models = [(model.name, model.base_path) for model in config.model_config_list.config]
    assert models == [("one", "/models/one"), ("two", "/models/two")]
    keys = {
        line.split()[0]
        for line in (served / "batching.config").read_text(encoding="utf-8").splitlines()[1:]
    }
    # The fields of session_bundle_config.proto's BatchingParameters that are set.
    assert keys == {"max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"}  # fmt: skip


def test_the_script_mounts_its_own_directory(served, tmp_path):
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    docker.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    process = subprocess.run(
        [served / "serve.sh", "--prefer_tflite_model"],
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    words = process.stdout.splitlines()
    assert f"{served}:/models:ro" in words and "tensorflow/serving" in words
    assert "--model_config_file=/models/models.config" in words
    assert words[-1] == "--prefer_tflite_model"


def test_warm_up_without_tensorflow_serving_api_raises(tmp_path, monkeypatch):
    monkeypatch.setattr(_serving_config, "can_warm_up", lambda: False)
    with pytest.raises(ValueError, match=r"kapps\[serving\]"):
        kapps.export.saved_model(network("net"), tmp_path / "served", warm_up=True)
    assert not (tmp_path / "served").exists()
    path = kapps.export.saved_model(network("net"), tmp_path / "served")
    assert not (path / _serving_config.WARM_UP).exists()
