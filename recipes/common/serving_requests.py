"""Requests to TensorFlow Serving over REST and gRPC, with limits of the time and of the response's size."""

import base64
import http
import http.client
import json
import logging
import math
import os
import threading
import typing
import urllib.parse
from collections.abc import Callable, Sequence

from common.serving_outputs import (
    ResponseError,
    check_outputs,
    error_message,
    main_line,
    printable,
    read_json,
)

SIGNATURE, INPUT = "serve_bytes", "image_bytes"
MAX_BYTES, MAX_BYTES_PER_IMAGE = 2**22, 2**20
"""The size of a response is at most MAX_BYTES + n MAX_BYTES_PER_IMAGE."""
MAX_VALUES = 2**22
"""The number of values in an output of a gRPC response, whose shape can declare more than its bytes."""
PIECE = 2**16


class RequestError(Exception):
    """A request that failed; the message is one line with the reason."""


class Server(typing.NamedTuple):
    """The address of a model.

    Args:
        host, port: of the server.
        model: its name.
        version: of the model; None for the newest.
        seconds: the longest time for a request and its response.
    """

    host: str
    port: int
    model: str
    version: int | None
    seconds: float

    def __str__(self):
        return f"{self.host}:{self.port}"


def request_rest(server: Server, images: Sequence[bytes]) -> dict[str, list]:
    """Returns {output: [value for each image]} of a REST request; raises RequestError."""
    return run_within(server, lambda: _predict(server, images))


def _predict(server, images):
    version = f"/versions/{server.version}" if server.version else ""
    path = f"/v1/models/{urllib.parse.quote(server.model, safe='')}{version}:predict"
    instances = [{INPUT: {"b64": base64.b64encode(image).decode()}} for image in images]
    body = json.dumps({"signature_name": SIGNATURE, "instances": instances}).encode()
    limit = MAX_BYTES + len(images) * MAX_BYTES_PER_IMAGE
    response, content = _post(server, path, body, limit)
    url = f"http://{server}{path}"
    if 300 <= response.status < 400:
        target = main_line(response.headers.get("Location") or "another address")
        raise RequestError(
            f"{url} returned {response.status}, a redirect to {target}: pass that server as --server=host:port"
        )
    if len(content) > limit:
        raise RequestError(f"{url} returned more than {limit:,} bytes, the limit of a response")
    if response.status != http.HTTPStatus.OK:
        phrase = main_line(response.reason or "")
        raise RequestError(f"{url} returned {response.status} {phrase}: {error_message(content)}")
    if response.length:
        raise RequestError(
            f"{url} returned an incomplete response: {response.length:,} bytes are missing"
        )
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise RequestError(
            f"{url} returned a body with the encoding {main_line(encoding)}, and none was accepted"
        )
    try:
        return read_json(content, len(images))
    except ResponseError as error:
        raise RequestError(f"{url} returned a response without predictions: {error}") from error


def _post(server, path, body, limit):
    """Returns a response and at most `limit` + 1 bytes of its content."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=server.seconds)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = bytearray()
        while len(content) <= limit:
            piece = response.read1(PIECE)
            if not piece:
                break
            content += piece
        return response, bytes(content[: limit + 1])
    finally:
        connection.close()


def run_within(server: Server, function: Callable):
    """Returns the result of a function that runs for at most `server.seconds`.

    A limit of each read would not end the request of a server that sends one byte at a time. The function runs in a
    thread, which the end of the program ends.

    Raises:
        RequestError: if the function takes longer, or the connection fails.
    """
    result = []

    def run():
        try:
            result.append((function(), None))
        except BaseException as error:
            result.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(server.seconds)
    if not result:
        raise RequestError(no_response(server, f"not complete after {server.seconds:g} s"))
    value, error = result[0]
    if isinstance(error, http.client.BadStatusLine):  # also RemoteDisconnected
        start = main_line(str(error).strip("'\""))
        raise RequestError(
            no_response(server, f"it sent {start!r}, not HTTP")
            if start and not isinstance(error, ConnectionError)
            else no_response(server, "the connection was closed")
        ) from error
    if isinstance(error, (http.client.HTTPException, ValueError)):
        reason = main_line(f"{type(error).__name__} {error}".strip())
        raise RequestError(no_response(server, f"no valid HTTP: {reason}")) from error
    if isinstance(error, OSError):
        reason = main_line(error.strerror or error)
        raise RequestError(no_response(server, reason)) from error
    if error is not None:
        raise error
    return value


def no_response(server: Server, reason: str) -> str:
    """Returns the message for a request without a response."""
    return f"no response from {server} ({reason}): is the server running (see saved_models/serve.sh), and on that port?"


def request_grpc(server: Server, images: Sequence[bytes]) -> dict[str, list]:
    """Returns {output: [value for each image]} of a gRPC request; raises RequestError."""
    import common.environment  # noqa: F401  # TensorFlow without its start-up messages

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # the errors are exceptions too
    logging.getLogger("grpc").setLevel(logging.CRITICAL + 1)
    try:
        import grpc
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
    except ImportError as error:
        raise RequestError(
            "gRPC needs tensorflow-serving-api: pip install 'kapps[serving]'"
        ) from error
    import tensorflow as tf

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = server.model, SIGNATURE
    if server.version:
        request.model_spec.version.value = server.version
    request.inputs[INPUT].CopyFrom(tf.make_tensor_proto(list(images)))
    limit = MAX_BYTES + len(images) * MAX_BYTES_PER_IMAGE
    options = [("grpc.max_receive_message_length", limit), ("grpc.enable_http_proxy", 0)]

    def predict():
        with grpc.insecure_channel(str(server), options) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            return stub.Predict(request, timeout=server.seconds)

    try:
        response = run_within(server, predict)
    except grpc.RpcError as error:
        name, details = error.code().name, main_line(error.details())
        if name in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
            raise RequestError(no_response(server, f"{name}, {details}")) from error
        raise RequestError(f"{server} returned {name}: {details}") from error
    try:
        columns = {key: _values(tf, key, value) for key, value in response.outputs.items()}
        return check_outputs(columns, len(images))
    except ResponseError as error:
        raise RequestError(f"{server} returned a response without predictions: {error}") from error


def _values(tf, name, proto):
    """Returns an output of a gRPC response as nested lists."""
    shape = [dimension.size for dimension in proto.tensor_shape.dim]
    if min(shape, default=0) < 0 or proto.tensor_shape.unknown_rank:
        raise ResponseError(f"its output {printable(name)!r} has the shape {shape}")
    if math.prod(shape) > MAX_VALUES:
        raise ResponseError(
            f"its output {printable(name)!r} has the shape {shape}; at most {MAX_VALUES:,} values are allowed"
        )
    try:
        return tf.make_ndarray(proto).tolist()
    except Exception as error:  # depends on the field that does not fit
        reason = main_line(error or type(error).__name__)
        raise ResponseError(f"its output {printable(name)!r} is not a tensor: {reason}") from error
