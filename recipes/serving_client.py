"""Classifies images with TensorFlow Serving: the client for the server of `saved_models/serve.sh`.

    python recipes/serving_client.py --model=resnet50 daisy.jpg rose.png
    python recipes/serving_client.py --model=resnet50 --protocol=grpc --server=localhost:8500 daisy.jpg

The client sends JPEG or PNG files unchanged to the signature `serve_bytes`, which decodes, resizes and normalises
them as the evaluation does. The causes of two frequent errors of the server:

- "JSON Value: "..." Type: String is not of expected type: ...", or an image that cannot be decoded: in REST, bytes
  are base64 in an object, {"b64": "..."}; a plain string is text. In gRPC, bytes are sent unchanged.
- "... incompatible with the signature ... Actual shape ...": `serving_default` takes a batch (n, height, width, 3) of
  the size of the exported model, for one image too; `serve_bytes` takes n files of images of any size.

Source: tensorflow.org/tfx/serving/api_rest, and the messages of tensorflow-serving-api.
"""

import base64
import functools
import json
import pathlib
import sys
import urllib.error
import urllib.request

from absl import app, flags

from kapps.training.flag_parsing import parse_or_exit
from kapps.training.flag_types import define_positive

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "name of the model on the server", required=True)
flags.DEFINE_integer("version", None, "version of the model [the newest]", lower_bound=1)
flags.DEFINE_enum("protocol", "rest", ["rest", "grpc"], "protocol of the request")
flags.DEFINE_string("server", None, "host:port [localhost:8501; grpc localhost:8500]")
define_positive("timeout", 60, "seconds to wait for a response", 1e6)

SIGNATURE, INPUT = "serve_bytes", "image_bytes"


class RequestError(Exception):
    """A request that failed; the message is one line with the reason."""


def request_rest(server, images):
    """Returns {output: [value for each image]} of a REST request."""
    version = f"/versions/{FLAGS.version}" if FLAGS.version else ""
    url = f"http://{server}/v1/models/{FLAGS.model}{version}:predict"
    instances = [{INPUT: {"b64": base64.b64encode(image).decode()}} for image in images]
    body = json.dumps({"signature_name": SIGNATURE, "instances": instances}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=FLAGS.timeout) as response:
            predictions = json.load(response)["predictions"]
    except urllib.error.HTTPError as error:
        raise RequestError(
            f"{url} returned {error.code}: {_error_message(error.read())}"
        ) from error
    except (urllib.error.URLError, TimeoutError) as error:
        raise RequestError(_no_response(server, getattr(error, "reason", error))) from error
    return {key: [row[key] for row in predictions] for key in predictions[0]}


def request_grpc(server, images):
    """Returns {output: [value for each image]} of a gRPC request."""
    import common.environment  # noqa: F401  # TensorFlow without its start-up messages

    try:
        import grpc
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
    except ImportError as error:
        raise RequestError(
            "gRPC needs tensorflow-serving-api: pip install 'kapps[serving]'"
        ) from error
    import tensorflow as tf

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = FLAGS.model, SIGNATURE
    if FLAGS.version:
        request.model_spec.version.value = FLAGS.version
    request.inputs[INPUT].CopyFrom(tf.make_tensor_proto(images))
    with grpc.insecure_channel(server) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            response = stub.Predict(request, timeout=FLAGS.timeout)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise RequestError(_no_response(server, error.code().name)) from error
            raise RequestError(
                f"{server} returned {error.code().name}: {_main_line(error.details())}"
            ) from error
    arrays = {key: tf.make_ndarray(value) for key, value in response.outputs.items()}
    return {
        key: [[x.decode() if isinstance(x, bytes) else x for x in row] for row in values.tolist()]
        for key, values in arrays.items()
    }


def _no_response(server, reason):
    return f"no response from {server} ({reason}): is the server running (see saved_models/serve.sh), and on that port?"


def _error_message(body):
    try:
        return _main_line(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return _main_line(body.decode(errors="replace"))


def _main_line(text):
    """Returns the most informative line of an error: TensorFlow prints its location first."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    informative = [
        line
        for line in lines
        if not line.startswith(("Graph execution error", "Detected at", "<stack"))
    ]
    return (informative or lines or ["no message"])[0]


def print_classes(name, outputs, row):
    """Prints the most likely classes of one image."""
    scores = next((outputs[key] for key in ("probabilities", "logits") if key in outputs), None)
    if scores is None or "classes" not in outputs:
        print(f"{name}: { {key: values[row] for key, values in outputs.items()} }")
        return
    classes = outputs["classes"][row]
    labels = outputs["labels"][row] if "labels" in outputs else [f"class {n}" for n in classes]
    texts = (f"{label} {scores[row][n]:.3f}" for n, label in zip(classes, labels, strict=True))
    print(f"{name}: {', '.join(texts)}")


def main(arguments):
    files = arguments[1:]
    if not files:
        raise RequestError("no images: give their files after the flags")
    missing = [file for file in files if not pathlib.Path(file).is_file()]
    if missing:
        raise RequestError(f"there is no file {missing[0]}")
    server = FLAGS.server or {"rest": "localhost:8501", "grpc": "localhost:8500"}[FLAGS.protocol]
    request = {"rest": request_rest, "grpc": request_grpc}[FLAGS.protocol]
    outputs = request(server, [pathlib.Path(file).read_bytes() for file in files])
    for row, name in enumerate(files):
        print_classes(name, outputs, row)


def run(arguments):
    """Runs `main`, and prints an error on one line."""
    try:
        main(arguments)
    except RequestError as error:
        sys.exit(f"serving_client.py: {error}")


if __name__ == "__main__":
    app.run(run, flags_parser=functools.partial(parse_or_exit, arguments="images"))
