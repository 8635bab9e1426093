"""Files for TensorFlow Serving: warm-up requests in each version, and the server's configuration."""

import importlib.util
import os
import pathlib

import tensorflow as tf

from kapps._files import write_atomically

WARM_UP = "assets.extra/tf_serving_warmup_requests"
INSTALL = "pip install 'kapps[serving]'"
MAX_BATCH_SIZE = 32
"""Requests that the server combines into one batch."""

_BATCHING = """\
# The server combines requests into one batch: at most max_batch_size, waiting at most batch_timeout_micros.
max_batch_size {{ value: {max_batch_size} }}
batch_timeout_micros {{ value: 2000 }}
max_enqueued_batches {{ value: 100 }}
num_batch_threads {{ value: 4 }}
"""
_MODEL = """\
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
  }}
"""
_SCRIPT = """\
#!/bin/sh
# Serves all models in this directory: gRPC on port 8500, REST on port 8501. Arguments are passed to the server.
models=$(cd "$(dirname "$0")" && pwd)
exec docker run --rm -p 8500:8500 -p 8501:8501 -v "$models:/models:ro" tensorflow/serving \\
    --model_config_file=/models/models.config \\
    --enable_batching --batching_parameters_file=/models/batching.config "$@"
"""


def can_warm_up() -> bool:
    """Whether tensorflow-serving-api is installed, whose messages warm-up requests are written with."""
    return importlib.util.find_spec("tensorflow_serving") is not None


def write_warm_up(version: pathlib.Path, name: str, requests: dict[str, dict]) -> None:
    """Writes the requests that the server runs before it reports that it is ready.

    Args:
        version: the directory of a SavedModel.
        name: of the model.
        requests: {signature: {input: a value for `tf.make_tensor_proto`}}.

    Raises:
        ValueError: if tensorflow-serving-api is not installed.
    """
    if not can_warm_up():
        raise ValueError(f"warm-up requests need tensorflow-serving-api: {INSTALL}")
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    path = version / WARM_UP
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            for key, value in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())


def write_server_config(directory: pathlib.Path) -> None:
    """Writes `models.config`, `batching.config` and `serve.sh` for all models in the directory."""
    names = sorted(
        folder.name
        for folder in directory.iterdir()
        if folder.is_dir() and any(version.name.isdecimal() for version in folder.iterdir())
    )
    models = "".join(_MODEL.format(name=name) for name in names)
    contents = {
        "models.config": f"model_config_list {{\n{models}}}\n",
        "batching.config": _BATCHING.format(max_batch_size=MAX_BATCH_SIZE),
        "serve.sh": _SCRIPT,
    }
    for name, content in contents.items():
        with write_atomically(directory / name) as path:
            path.write_text(content, encoding="utf-8")
            os.chmod(path, 0o755 if name.endswith(".sh") else 0o644)
