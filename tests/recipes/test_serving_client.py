"""The client with local servers that implement the protocols of TensorFlow Serving.

gRPC: the official service and messages around the SavedModel. REST: the rules of tensorflow.org/tfx/serving/api_rest
that the client relies on, around the same SavedModel.
"""

import base64
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
from concurrent import futures

import grpc
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

import kapps
from kapps.cards import Preprocessing

RECIPE = pathlib.Path(__file__).parents[2] / "recipes" / "serving_client.py"
NAMES = ["red", "green", "blue"]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The signatures of a SavedModel that classifies images by their main colour."""
    image = keras.Input((8, 8, 3))
    x = keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D()(image))
    model = keras.Model(image, x, name="colours")
    preprocessing = Preprocessing(size=(8, 8), crop=1.0, mean=(0.5,) * 3, std=(0.1,) * 3)
    path = kapps.export.saved_model(
        model, tmp_path_factory.mktemp("served"), preprocessing=preprocessing, class_names=NAMES
    )
    return tf.saved_model.load(str(path)).signatures


@pytest.fixture
def image(tmp_path):
    """A green JPEG."""
    path = tmp_path / "green.jpg"
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[..., 1] = 200
    path.write_bytes(tf.io.encode_jpeg(pixels).numpy())
    return path


@pytest.fixture
def rest(served):
    """The address of a REST server."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):  # http.server's name
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            code, answer = self.predict(body)
            answer = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def predict(self, body):
            if self.path not in (
                "/v1/models/colours:predict",
                "/v1/models/colours/versions/1:predict",
            ):
                return 404, {"error": f"Servable not found for request: {self.path}"}
            values = [row["image_bytes"] for row in body["instances"]]
            if not all(isinstance(value, dict) for value in values):
                return 400, {"error": "JSON Value is not of expected type"}
            images = [base64.b64decode(value["b64"], validate=True) for value in values]
            try:
                outputs = served[body["signature_name"]](image_bytes=tf.constant(images))
            except tf.errors.InvalidArgumentError as error:
                return 400, {"error": error.message}
            columns = {key: value.numpy().tolist() for key, value in outputs.items()}
            columns["labels"] = [[x.decode() for x in row] for row in columns["labels"]]
            rows = zip(*columns.values(), strict=True)
            return 200, {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}

    server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"localhost:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def rpc(served):
    """The address of a gRPC server."""

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802  # the protocol's name
            if request.model_spec.name != "colours":
                context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request")
            signature = served[request.model_spec.signature_name]
            inputs = {key: tf.constant(tf.make_ndarray(x)) for key, x in request.inputs.items()}
            try:
                outputs = signature(**inputs)
            except tf.errors.InvalidArgumentError as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
            answer = predict_pb2.PredictResponse()
            for key, value in outputs.items():
                answer.outputs[key].CopyFrom(tf.make_tensor_proto(value))
            return answer

    server = grpc.server(futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    yield f"localhost:{port}"
    server.stop(0)


def run(*arguments):
    command = [sys.executable, str(RECIPE), *map(str, arguments)]
    return subprocess.run(
        command, env=os.environ, capture_output=True, text=True, timeout=120, encoding="utf-8"
    )


@pytest.mark.parametrize("protocol", ["rest", pytest.param("grpc", marks=pytest.mark.long)])
def test_classes_of_images(protocol, rest, rpc, image):
    server = {"rest": rest, "grpc": rpc}[protocol]
    flags = [f"--protocol={protocol}", f"--server={server}", "--model=colours"]
    done = run(*flags, image, image)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and lines[0] == lines[1]
    assert lines[0].startswith(f"{image}: green 0.9") and ", red 0.0" in lines[0]


@pytest.mark.long
@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_an_error_is_one_line(protocol, rest, rpc, image, tmp_path):
    server = {"rest": rest, "grpc": rpc}[protocol]
    invalid = tmp_path / "invalid.jpg"
    invalid.write_bytes(b"rubbish")
    for flags, file, message in [
        (
            [f"--server={server}", "--model=colours"],
            invalid,
            "it is not a JPEG, PNG, GIF, BMP or WebP image",
        ),
        ([f"--server={server}", "--model=other"], image, "Servable not found"),
        (["--server=localhost:1", "--model=colours"], image, "no response from localhost:1"),
        ([f"--server={server}", "--model=colours"], tmp_path / "none.jpg", "there is no file"),
    ]:
        done = run(f"--protocol={protocol}", *flags, file)
        assert done.returncode == 1 and message in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
        assert done.stderr.strip().splitlines()[-1].startswith("serving_client.py: ")
