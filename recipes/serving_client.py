"""Asks TensorFlow Serving what is on images: the client's side of `saved_models/serve.sh`.

    python recipes/serving_client.py --model=resnet50 daisy.jpg rose.png
    python recipes/serving_client.py --model=resnet50 --protocol=grpc --server=localhost:8500 daisy.jpg

The images go as they are, JPEG or PNG files, to the signature `serve_bytes`, which decodes, resizes and normalises
them as the training's evaluation did. Two of the server's answers puzzle most people:

- "JSON Value: "..." Type: String is not of expected type: ...", or an image that cannot be decoded: over REST, bytes
  are base64 inside an object, {"b64": "..."}; a bare string goes to the model as text. gRPC takes bytes as they are.
- "... incompatible with the signature ... Actual shape ...": `serving_default` takes a batch, [n, height, width, 3], of
  the size that the model was exported with, also for one image; `serve_bytes` takes images of any size, [n].

Source: tensorflow.org/tfx/serving/api_rest, and the messages of tensorflow-serving-api.
"""

import base64
import json
import os
import pathlib
import sys
import urllib.error
import urllib.request

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "name of the model on the server", required=True)
flags.DEFINE_integer("version", None, "of the model [the newest]", lower_bound=1)
flags.DEFINE_enum("protocol", "rest", ["rest", "grpc"], "how to ask")
flags.DEFINE_string("server", None, "host:port [localhost:8501; grpc localhost:8500]")
flags.DEFINE_float("timeout", 60, "seconds to wait for an answer", lower_bound=0)

SIGNATURE, INPUT = "serve_bytes", "image_bytes"


class Fault(Exception):  # noqa: N818  # what the user can mend
    """Why there is no answer, in one line."""


def ask_rest(server, images):
    """Returns {output: [value for each image]} by REST."""
    version = f"/versions/{FLAGS.version}" if FLAGS.version else ""
    url = f"http://{server}/v1/models/{FLAGS.model}{version}:predict"
    instances = [{INPUT: {"b64": base64.b64encode(image).decode()}} for image in images]
    body = json.dumps({"signature_name": SIGNATURE, "instances": instances}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=FLAGS.timeout) as answer:
            predictions = json.load(answer)["predictions"]
    except urllib.error.HTTPError as error:
        raise Fault(f"{url} answered {error.code}: {_said(error.read())}") from error
    except (urllib.error.URLError, TimeoutError) as error:
        raise Fault(_silent(server, getattr(error, "reason", error))) from error
    return {key: [row[key] for row in predictions] for key in predictions[0]}


def ask_grpc(server, images):
    """Returns {output: [value for each image]} by gRPC."""
    try:
        import grpc
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
    except ImportError as error:
        raise Fault("gRPC needs tensorflow-serving-api: pip install 'kapps[serving]'") from error
    import tensorflow as tf

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = FLAGS.model, SIGNATURE
    if FLAGS.version:
        request.model_spec.version.value = FLAGS.version
    request.inputs[INPUT].CopyFrom(tf.make_tensor_proto(images))
    with grpc.insecure_channel(server) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            answer = stub.Predict(request, timeout=FLAGS.timeout)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise Fault(_silent(server, error.code().name)) from error
            raise Fault(
                f"{server} answered {error.code().name}: {_first(error.details())}"
            ) from error
    found = {key: tf.make_ndarray(value) for key, value in answer.outputs.items()}
    return {
        key: [[x.decode() if isinstance(x, bytes) else x for x in row] for row in values.tolist()]
        for key, values in found.items()
    }


def _silent(server, reason):
    return f"no answer from {server} ({reason}): is the server running (see saved_models/serve.sh), and on that port?"


def _said(body):
    try:
        return _first(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return _first(body.decode(errors="replace"))


def _first(text):
    """Returns the line of an error that says most: TensorFlow begins with where it happened."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    telling = [
        line
        for line in lines
        if not line.startswith(("Graph execution error", "Detected at", "<stack"))
    ]
    return (telling or lines or ["nothing"])[0]


def show(name, outputs, row):
    """Prints the likeliest classes of one image."""
    scores = next((outputs[key] for key in ("probabilities", "logits") if key in outputs), None)
    if scores is None or "classes" not in outputs:
        print(f"{name}: { {key: values[row] for key, values in outputs.items()} }")
        return
    classes = outputs["classes"][row]
    labels = outputs["labels"][row] if "labels" in outputs else [f"class {n}" for n in classes]
    best = (f"{label} {scores[row][n]:.3f}" for n, label in zip(classes, labels, strict=True))
    print(f"{name}: {', '.join(best)}")


def main(arguments):
    files = arguments[1:]
    if not files:
        raise Fault("no images: give their files after the flags")
    missing = [file for file in files if not pathlib.Path(file).is_file()]
    if missing:
        raise Fault(f"there is no file {missing[0]}")
    server = FLAGS.server or {"rest": "localhost:8501", "grpc": "localhost:8500"}[FLAGS.protocol]
    ask = {"rest": ask_rest, "grpc": ask_grpc}[FLAGS.protocol]
    outputs = ask(server, [pathlib.Path(file).read_bytes() for file in files])
    for row, name in enumerate(files):
        show(name, outputs, row)


def run(arguments):
    """Runs `main`; a fault is one line."""
    try:
        main(arguments)
    except Fault as fault:
        sys.exit(f"serving_client.py: {fault}")


if __name__ == "__main__":
    app.run(run)
