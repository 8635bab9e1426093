"""Hostile clients of the demo server: requests, and what the server may answer."""

import contextlib
import random
import socket
import time

HOSTILE_HOSTS = ["evil.example", "127.0.0.1.evil.example:{port}", "localhost:1", "localhost", "", "127.0.0.1:{port}@evil", "[::1]", "0.0.0.0:{port}", "\x1b[31m"]  # fmt: skip
OWN_HOSTS = ["127.0.0.1:{port}", "localhost:{port}", "LocalHost:{port}", "[::1]:{port}"]
PATHS = [
    "/../__init__.py", "/%2e%2e/__init__.py", "/litertjs/../../fold.py", "//etc/passwd", "/etc/passwd", "/model.tflite/..",
    "/%00", "/\0", "/" + "a" * 5000, "/litertjs/", "/litertjs", "/litertjs/LICENSE", "/__init__.py", "http://evil.example/",
    "/..\\..\\x", "/index.html%00.js", "*", "/model.tflite%2f..%2f..", "/\x1b[31m", "/%c0%ae%c0%ae/",
]  # fmt: skip
METHODS = [
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PATCH",
    "get",
    "X" * 300,
    "\x1b",
]


def request(port: int, content: bytes, seconds: float = 5) -> bytes:
    """Sends bytes, ends the sending side, and returns what the server answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
        parts = []
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(2**16):
                parts.append(piece)
        return b"".join(parts)


def get(port: int, path: str = "/about.json", host: str = "127.0.0.1:{port}", more: str = "", method: str = "GET") -> bytes:  # fmt: skip
    """Returns the bytes of a request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {host.format(port=port)}\r\n{more}\r\n"
    return head.encode("latin-1", "replace")


def is_ok(answer: bytes) -> bool:
    """Whether an answer is a page."""
    return answer.startswith((b"HTTP/1.0 200 ", b"HTTP/1.1 200 "))


def clients(rng: random.Random, port: int) -> dict:
    """Returns {kind: function that returns a fault in a few words or None}."""
    host, own = rng.choice(HOSTILE_HOSTS), rng.choice(OWN_HOSTS)
    path, method = rng.choice(PATHS), rng.choice(METHODS)
    page = rng.choice(
        ["/", "/index.html", "/model.tflite", "/about.json", "/litertjs/core.js", "/?x=1"]
    )

    def fails(content):
        return lambda: "answered with a page" if is_ok(request(port, content)) else None

    def works(content):
        return lambda: None if is_ok(request(port, content)) else "did not answer with a page"

    return {
        "own host": works(get(port, page, own)),
        "head": works(get(port, page, own, method="HEAD")),
        "other host": fails(get(port, page, host)),
        "no host": fails(b"GET / HTTP/1.1\r\n\r\n"),
        "two hosts": fails(get(port, page, own, f"Host: {host.format(port=port)}\r\n")),
        "other origin": fails(get(port, page, own, f"Origin: {rng.choice(['http://evil.example', 'null', 'file://'])}\r\n")),
        "own origin": works(get(port, page, more=f"Origin: http://127.0.0.1:{port}\r\n")),
        "path": fails(get(port, path, own)),
        "method": fails(get(port, page, own, method=method)),
        "method with a body": fails(get(port, page, own, "Content-Length: 100000\r\n", "POST") + b"x" * 100_000),
        "body of a page": works(get(port, page, own, "Content-Length: 50000\r\n") + b"x" * 50_000),
        "no version": fails(b"GET /about.json\r\n\r\n"),
        "other version": fails(rng.choice([b"GET / HTTP/2.0\r\n", b"GET / HTTP/x\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n", b"GET / HTTP/1.1 x\r\n", b"GET / FTP/1.0\r\n"]) + b"\r\n"),
        "garbage": fails(rng.choice([rng.randbytes(500), b"\x16\x03\x01\x02\0\x01", b"\r\n" * 100, b"\0" * 5000, b"\n", b"GET"])),
        "long line": fails(b"GET /" + b"a" * rng.choice([20_000, 70_000, 1_000_000]) + b" HTTP/1.1\r\n\r\n"),
        "long headers": fails(get(port, page, own, f"X: {'a' * rng.choice([20_000, 200_000, 5_000_000])}\r\n")),
        "many headers": fails(get(port, page, own, "X: y\r\n" * rng.choice([200, 10_000, 500_000]))),
        "header garbage": fails(b"GET / HTTP/1.1\r\n" + rng.randbytes(300) + b"\r\n\r\n"),
        "several requests": works(get(port, page, own) * 50),
        "closed at once": lambda: _leave(port, b""),
        "closed in the request": lambda: _leave(port, get(port)[: rng.randrange(1, 30)]),
        "closed before the page": lambda: _leave(port, get(port, "/litertjs/litert_wasm_internal.wasm")),
        "idle": lambda: _idle(port, b"", 0),
        "slow request": lambda: _idle(port, get(port)[:-2], 0.3),
        "many clients": lambda: _many(port, rng.choice([20, 60, 300])),
    }  # fmt: skip


def _leave(port, content):
    """Closes the connection by a reset."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    connection.sendall(content)
    connection.close()


def _idle(port, content, pause):
    """Sends a request slowly or not at all, and waits for the server to end the connection."""
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=0.2) as connection:
        while time.monotonic() - start < 20:
            try:
                if content and pause:
                    connection.sendall(content[:1])
                    content = content[1:] or b"x"
                    time.sleep(pause)
                if not connection.recv(1000):
                    return None
            except TimeoutError:
                continue
            except ConnectionError:
                return None
    return "not disconnected after 20 s"


def _many(port, count):
    """Opens idle connections, and asks for a page while they are open and after they are closed."""
    connections = []
    try:
        for _ in range(count):
            with contextlib.suppress(OSError):
                connections.append(socket.create_connection(("127.0.0.1", port), timeout=5))
        start = time.monotonic()
        with contextlib.suppress(OSError):
            request(port, get(port))
        if time.monotonic() - start > 4:
            return "no answer in 4 s next to many clients"
    finally:
        for connection in connections:
            connection.close()
    time.sleep(0.5)
    return None
