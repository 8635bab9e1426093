"""Answers of a hostile gRPC server, in protobuf's wire format, so that TensorFlow is not imported here."""

import concurrent.futures
import random
import struct
import time

import grpc

FLOAT, INT64, STRING, RESOURCE = 1, 9, 7, 20
STATUSES = ["NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "INTERNAL", "UNIMPLEMENTED", "UNAVAILABLE"]  # fmt: skip


def varint(number: int) -> bytes:
    """Returns a number in base 128."""
    number &= 2**64 - 1
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def field(number: int, value: bytes | int) -> bytes:
    """Returns a field of a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(dtype: int, shape: list[int], *fields: bytes) -> bytes:
    """Returns a TensorProto."""
    dimensions = b"".join(field(2, field(1, size)) for size in shape)
    return field(1, dtype) + field(2, dimensions) + b"".join(fields)


def floats(values: list[float]) -> bytes:
    """Returns float values as a tensor's content."""
    return field(4, struct.pack(f"<{len(values)}f", *values))


def response(**outputs: bytes) -> bytes:
    """Returns a PredictResponse."""
    return b"".join(field(1, field(1, k.encode()) + field(2, v)) for k, v in outputs.items())


def right(rng: random.Random, images: int) -> tuple[bytes, str]:
    """Returns a response, and a text that the client has to print."""
    scores = tensor(FLOAT, [images, 2], floats([0.25, 0.75] * images))
    if rng.random() < 0.3:
        return response(probabilities=scores), "'probabilities': [0.25"
    classes = tensor(INT64, [images, 2], *[field(10, n) for n in (1, 0) * images])
    if rng.random() < 0.3:
        return response(probabilities=scores, classes=classes), "class 1 0.750, class 0 0.250"
    label = rng.choice([b"green", "grün".encode(), b"\x1b[31m", b"\xff\xfe", b"\r\n"])
    labels = tensor(STRING, [images, 2], *[field(8, x) for x in (label, b"red") * images])
    return response(probabilities=scores, classes=classes, labels=labels), " 0.750, red 0.250"


def wrong(rng: random.Random, images: int) -> tuple[str, bytes]:
    """Returns the kind and the bytes of a response without predictions."""
    scores = tensor(FLOAT, [images, 2], floats([0.25, 0.75] * images))
    classes = tensor(INT64, [images, 2], *[field(10, n) for n in (1, 0) * images])
    bodies = {
        "nothing": b"",
        "random bytes": rng.randbytes(100),
        "cut": response(probabilities=scores)[:-5],
        "huge shape": response(probabilities=tensor(FLOAT, [images, 10**9, 10**9], field(5, b"\0\0\0\0"))),
        "large shape": response(probabilities=tensor(FLOAT, [images, 2**28], field(5, b"\0\0\0\0"))),
        "negative shape": response(probabilities=tensor(FLOAT, [images, -1], floats([1.0]))),
        "unknown rank": response(probabilities=field(1, FLOAT) + field(2, field(3, 1))),
        "content of another length": response(probabilities=tensor(FLOAT, [images, 3], floats([1.0]))),
        "other rows": response(probabilities=tensor(FLOAT, [images + 1, 1], floats([1.0] * (images + 1)))),
        "no rows": response(probabilities=tensor(FLOAT, [], floats([1.0]))),
        "dtype": response(probabilities=tensor(rng.choice([0, RESOURCE, 21, 99, 120, 8, 18]), [images, 2], floats([1.0] * 2 * images))),
        "text for scores": response(probabilities=tensor(STRING, [images, 1], *[field(8, b"x")] * images), classes=classes),
        "not finite": response(probabilities=tensor(FLOAT, [images, 1], floats([float("nan")] * images))),
        "large classes": response(probabilities=scores, classes=tensor(INT64, [images, 1], *[field(10, 7)] * images)),
        "float classes": response(probabilities=scores, classes=scores),
        "other labels": response(probabilities=scores, classes=classes, labels=tensor(STRING, [images, 1], *[field(8, b"x")] * images)),
        "many outputs": response(**{f"o{i}": scores for i in range(100)}, x=tensor(FLOAT, [1], b"")),
        "too large": response(probabilities=tensor(FLOAT, [images, 4_000_000], floats([0.0] * 4_000_000))),
    }  # fmt: skip
    kind = rng.choice(sorted(bodies))
    return kind, bodies[kind]


def serve(current: dict) -> tuple[grpc.Server, int]:
    """Starts a server that calls `current["answer"](context)` for the bytes of each response; returns it and its port."""

    def predict(_, context):
        return current["answer"](context)

    handlers = {"Predict": grpc.unary_unary_rpc_method_handler(predict)}
    service = "tensorflow.serving.PredictionService"
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def fail(rng: random.Random):
    """Returns an answer with an error of gRPC."""
    status = grpc.StatusCode[rng.choice(STATUSES)]
    details = rng.choice(["", "no such model", "a\nb\n\x1b[31mc", "x" * 5000])

    def answer(context):
        context.abort(status, details)

    return answer


def late(_):
    """Answers after the deadline."""
    time.sleep(3)
    return b""
