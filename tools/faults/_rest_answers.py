"""Answers of a hostile REST server: how a response is sent, and what its body is, by a seeded generator.

Every answer is a function of the connection, after the request was read.
"""

import contextlib
import gzip
import json
import random
import socket
import time

CONTROL = [
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "a\rb",
    "a\nb",
    "\x00",
    "\u202egpj",
    "\x9b2J",
    "\ud800",
    "\x7f",
]
SECONDS = 8
"""The longest time that an endless answer is sent."""


def right(rng: random.Random, images: int) -> tuple[bytes, str]:
    """Returns a body of one of TensorFlow Serving's formats, and a text that the client has to print."""
    scores = [[0.25, 0.75] for _ in range(images)]
    label = rng.choice(["green", "grün", *CONTROL])
    labels = [[label, "red"] for _ in range(images)]
    classes = [[1, 0] for _ in range(images)]
    columns = {"probabilities": scores, "classes": classes, "labels": labels}
    if rng.random() < 0.3:
        text = label.encode(errors="replace").decode()
        columns["labels"] = [[{"b64": _base64(text)}, "red"] for _ in range(images)]
    kind = rng.choice(["rows", "columns", "unnamed rows", "unnamed columns", "no labels", "scores"])
    if kind.startswith("unnamed"):
        key = "predictions" if kind == "unnamed rows" else "outputs"
        return _json({key: [[0.5]] * images}), "[0.5]"
    if kind == "no labels":
        del columns["labels"]
    if kind == "scores":
        columns = {"probabilities": scores}
    if rng.random() < 0.5:
        body = {"outputs": columns}
    else:
        rows = zip(*columns.values(), strict=True)
        body = {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}
    expected = {"no labels": "class 1 0.750, class 0 0.250", "scores": "'probabilities': [0.25"}
    return _json(body), expected.get(kind, " 0.750, red 0.250")


def wrong(rng: random.Random, images: int) -> tuple[str, bytes]:
    """Returns the kind and the bytes of a body without predictions."""
    good = {"probabilities": [0.25, 0.75], "classes": [1, 0], "labels": ["a", "b"]}

    def changed(**changes):
        row = {**good, **changes}
        row = {key: value for key, value in row.items() if value is not ...}
        return {"predictions": [row] * images}

    deep = rng.choice([20, 900, 3000, 100_000])
    count = rng.choice([n for n in (0, 1, 2, images + 1, 1000) if n != images])
    junk = rng.choice(
        [None, True, [], {}, "x", 1e400, -1, 10**400, [[1]], {"b64": "!"}, {"a": None}]
    )
    bodies = {
        "nothing": b"",
        "html": b"<html><head><title>Log in \x1b[2J</title></head></html>",
        "text": rng.choice(CONTROL).encode(errors="replace"),
        "random bytes": rng.randbytes(rng.choice([1, 100, 10_000])),
        "a number": rng.choice([b"3", b"null", b"true", b'"x"', b"[]", b"{}", b"NaN", b"-"]),
        "an error": _json({"error": rng.choice(["x", "", None, [1], *CONTROL])}),
        "deep": b"[" * deep + b"]" * deep,
        "deep predictions": b'{"predictions": ' + b"[" * deep + b"]" * deep + b"}",
        "other keys": _json({rng.choice(["prediction", "output", *CONTROL]): [good]}),
        "predictions of another kind": _json({"predictions": junk}),
        "outputs of another kind": _json({"outputs": junk if junk != [[1]] else 5}),
        "other rows": _json({"predictions": [good] * count}),
        "other rows in columns": _json({"outputs": {key: [x] * count for key, x in good.items()}}),
        "unnamed rows": _json({"predictions": [[0.5]] * count}),
        "row of another kind": _json({"predictions": [good] * (images - 1) + [junk if images > 1 else None]}),
        "different outputs": _json({"predictions": [good, {"probabilities": [0.1]}]}),
        "junk scores": _json(changed(probabilities=junk if junk != [[1]] else "y")),
        "junk classes": _json(changed(classes=rng.choice([None, 3, [1.5], ["a"], [2, 0], [-1, 0], [True], [10**30]]))),
        "junk labels": _json(changed(labels=rng.choice([None, 3, "ab", ["a"], ["a", "b", "c"], [1, 2], [["a"], ["b"]]]))),
        "not finite": _json(changed(probabilities=[rng.choice([float("nan"), float("inf")]), 0.5])),
        "not probabilities": _json(changed(probabilities=[-3.0, 250.0])),
        "ragged": _json({"predictions": [[0.5], [0.5, 0.5]][: max(images, 2)]}),
        "cut": _json(changed())[: rng.randrange(1, 40)],
        "utf-16": json.dumps({"a": 1}).encode("utf-16"),
        "many digits": b'{"predictions": [' + b"9" * 10_000 + b"]}",
        "many lists": b'{"predictions": [' + b"[]," * 500_000 + b"[]]}",
    }  # fmt: skip
    kind = rng.choice(sorted(bodies))
    return kind, bodies[kind]


def send(connection: socket.socket, content: bytes) -> None:
    """Sends bytes; the client may have gone."""
    with contextlib.suppress(OSError):
        connection.sendall(content)


def respond(body: bytes, status: str = "200 OK", headers: str = "", length: object = None):
    """Returns the bytes of a response."""
    length = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    return f"{head}{headers}\r\n".encode("latin-1", "replace") + body


def chunked(rng: random.Random, body: bytes) -> bytes:
    """Returns a response in chunks of random sizes."""
    parts = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]
    while body:
        size = rng.randrange(1, 200)
        parts.append(f"{len(body[:size]):x}\r\n".encode() + body[:size] + b"\r\n")
        body = body[size:]
    return b"".join(parts) + b"0\r\n\r\n"


def endless(connection: socket.socket, start: bytes, piece: bytes, pause: float = 0.0) -> None:
    """Sends a piece again and again until the client closes the connection."""
    end = time.monotonic() + SECONDS
    with contextlib.suppress(OSError):
        connection.sendall(start)
        while time.monotonic() < end:
            connection.sendall(piece)
            time.sleep(pause)


def transports(rng: random.Random, images: int) -> dict:
    """Returns {kind: function of the connection} of responses that are wrong in how they are sent."""
    body = right(random.Random(1), images)[0]
    whole = respond(body)
    plain = b"HTTP/1.1 200 OK\r\n"
    bomb = gzip.compress(b" " * 50_000_000)
    status = rng.choice([
        "100 Continue", "204 No Content", "206 Partial", "400 Bad Request", "401 Unauthorized", "403 Forbidden",
        "404 Not Found", "413 Request Entity Too Large", "429 Too Many Requests", "500 Error", "502 Bad Gateway",
        "503 Service Unavailable", "504 Timeout", "999 \x1b[31m", "599", "418 teapot",
    ])  # fmt: skip
    target = rng.choice(
        ["/", "http://127.0.0.1:1/", "x" * 5000, "\x1b[2J", "file:///etc/passwd", ""]
    )
    return {
        "silence": lambda c: time.sleep(SECONDS / 2),
        "closed": lambda c: None,
        "reset": _reset,
        "cut in the head": lambda c: send(c, whole[: rng.randrange(1, 60)]),
        "cut in the body": lambda c: send(c, whole[: -rng.randrange(1, 50)]),
        "length too large": lambda c: send(c, respond(body, length=len(body) + rng.choice([1, 10**6, 10**18]))),
        "length too small": lambda c: send(c, respond(body, length=rng.randrange(1, len(body)))),
        "length of another kind": lambda c: send(c, respond(b"", length=rng.choice(["-5", "abc", "1e3", "9" * 5000]))),
        "chunks cut": lambda c: send(c, chunked(rng, body)[:-rng.randrange(6, 60)]),
        "chunks of garbage": lambda c: send(c, plain + b"Transfer-Encoding: chunked\r\n\r\n" + rng.randbytes(300)),
        "chunk of a huge size": lambda c: send(c, plain + b"Transfer-Encoding: chunked\r\n\r\nffffffffffff\r\nabc"),
        "chunk of a negative size": lambda c: send(c, plain + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n0\r\n\r\n"),
        "endless body": lambda c: endless(c, plain + b"\r\n", b" " * 2**16),
        "endless body of a length": lambda c: endless(c, respond(b"", length=10**12), b"[" * 2**16),
        "endless chunks": lambda c: endless(c, plain + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 1000),
        "endless status line": lambda c: endless(c, b"HTTP/1.1 200 ", b"x" * 2**16),
        "endless headers": lambda c: endless(c, plain, b"X-A: b\r\n" * 1000),
        "endless header": lambda c: endless(c, plain + b"X: ", b"x" * 2**16),
        "endless continue": lambda c: endless(c, b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        "endless trailers": lambda c: endless(c, plain + b"Transfer-Encoding: chunked\r\n\r\n1\r\n \r\n0\r\n", b"X: y\r\n" * 100),
        "slow head": lambda c: endless(c, plain, b"X", 0.1),
        "slow body": lambda c: endless(c, plain + b"\r\n", b" ", 0.1),
        "slow chunks": lambda c: endless(c, plain + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 0.1),
        "no http": lambda c: send(c, rng.choice([
            b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b"220 mail\r\n", b"HTTP/0.9\r\n\r\n",
            b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18), b"HTTP/2 200\r\n\r\n", b"<html>", b"\x1b[31m\r\n",
            rng.randbytes(100), b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 99999 x\r\n\r\n", b"\r\n" * 50, b"ICY 200 OK\r\n\r\n",
        ])),
        "status": lambda c: send(c, respond(rng.choice([b"", b"<html><title>413</title>", b'{"error": "a\\u001bb"}', body]), status)),
        "redirect": lambda c: send(c, respond(b"", rng.choice(["301 Moved", "302 Found", "307 Temp", "308 Perm"]), f"Location: {target}\r\n")),
        "compressed": lambda c: send(c, respond(rng.choice([bomb, gzip.compress(body), b"xx"]), headers=f"Content-Encoding: {rng.choice(['gzip', 'br', 'deflate', 'x' * 900])}\r\n")),
        "header garbage": lambda c: send(c, plain + rng.randbytes(200).replace(b"\n", b"") + b"\r\n\r\n"),
        "two lengths": lambda c: send(c, plain + b"Content-Length: 5\r\nContent-Length: 500\r\n\r\nabcde"),
    }  # fmt: skip


def _reset(connection):
    """Closes a connection by a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def _json(value):
    return json.dumps(value).encode(errors="replace")


def _base64(text):
    import base64

    return base64.b64encode(text.encode()).decode()
