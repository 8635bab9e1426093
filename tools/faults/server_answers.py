"""Answers of hostile servers to `recipes/serving_client.py`, and hostile clients of the demo server.

    python tools/faults/server_answers.py --cases 60 --seed 0

Three quarters of the cases are answers over REST and gRPC: right ones in every format of TensorFlow Serving, and others
that are wrong in their content or in how they are sent. The client prints the classes and exits with 0, or prints one
line and exits with 1, in at most its --timeout and half a second, and no character that a terminal interprets. The
client runs in a process that is used again. The other cases are requests to the demo server, which must still answer
its own page, print nothing, and end with Ctrl+C.
"""

import importlib.util
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import _demo_clients
import _grpc_answers
import _rest_answers
from _tflite_file import write_tflite
from measure import _resident_memory, parse_arguments, report

ROOT = pathlib.Path(__file__).parents[2]
TIMEOUT, MARGIN = 1.5, 0.5
"""Seconds of the client's --timeout, and what it may take longer."""
KINDS = 2 * ("rest", "rest content") + ("rest right", "grpc", "grpc right", "other protocol")
MEMORY = 2**29
"""Bytes that the client and the demo server may allocate in addition to what they have at the start."""


def load_worker():
    """Returns a process that runs the client."""
    path = ROOT / "kapps" / "export" / "_worker.py"
    spec = importlib.util.spec_from_file_location("_worker", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Worker(pathlib.Path(__file__).with_name("_serving_client.py")), module.CrashError


class RestServer:
    """Reads requests over HTTP and calls `answer(connection)` for each."""

    def __init__(self):
        self.answer = None
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self._run, args=(connection, self.answer), daemon=True).start()

    def _run(self, connection, answer):
        with connection:
            connection.settimeout(10)
            try:
                content = b""
                while b"\r\n\r\n" not in content:
                    piece = connection.recv(2**16)
                    if not piece:
                        return
                    content += piece
                head, _, body = content.partition(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                )
                while len(body) < length:
                    body += connection.recv(2**16)
                answer(connection)
            except (OSError, StopIteration):
                pass


def client_cases(count: int, rng: random.Random, folder: pathlib.Path):
    """Yields (name, fault) of answers to the client."""
    worker, crash_error = load_worker()
    rest = RestServer()
    current = {}
    grpc_server, grpc_port = _grpc_answers.serve(current)
    files = [folder / f"{i}.jpg" for i in range(3)]
    for file in files:
        file.write_bytes(rng.randbytes(500))
    for _ in range(count):
        images = rng.choice([1, 1, 2, 3])
        case = random.Random(rng.random())
        kind = case.choice(KINDS)
        expected, port, flags = None, rest.port, []
        if kind == "rest":
            table = _rest_answers.transports(case, images)
            name = case.choice(sorted(table))
            rest.answer = table[name]
        elif kind == "rest content":
            name, body = _rest_answers.wrong(case, images)
            sent = _rest_answers.respond(body)
            rest.answer = lambda connection, sent=sent: _rest_answers.send(connection, sent)
        elif kind == "rest right":
            body, expected = _rest_answers.right(case, images)
            name = case.choice(["length", "chunks", "no length"])
            sent = {
                "length": _rest_answers.respond(body),
                "chunks": _rest_answers.chunked(case, body),
                "no length": b"HTTP/1.0 200 OK\r\n\r\n" + body,
            }[name]
            rest.answer = lambda connection, sent=sent: _rest_answers.send(connection, sent)
        elif kind == "other protocol":
            name = case.choice(["grpc to REST", "REST to grpc", "grpc to garbage"])
            body = case.choice([b"HTTP/1.1 200 OK\r\n\r\n", case.randbytes(200)])
            rest.answer = lambda connection, body=body: _rest_answers.send(connection, body)
            current["answer"] = _grpc_answers.late
            if name == "REST to grpc":
                port = grpc_port
            else:
                flags = ["--protocol=grpc"]
        else:
            flags, port = ["--protocol=grpc"], grpc_port
            if kind == "grpc right":
                name = "right"
                body, expected = _grpc_answers.right(case, images)
                current["answer"] = lambda _, body=body: body
            else:
                name = case.choice(["content", "content", "content", "status", "late"])
                if name == "content":
                    name, body = _grpc_answers.wrong(case, images)
                    current["answer"] = lambda _, body=body: body
                else:
                    answers = {"late": _grpc_answers.late, "status": _grpc_answers.fail(case)}
                    current["answer"] = answers[name]
        arguments = ["--model=m", f"--server=127.0.0.1:{port}", f"--timeout={TIMEOUT}", *flags]
        arguments += map(str, files[:images])
        try:
            result = worker.run({"arguments": arguments}, 20, MEMORY)
            fault = client_fault(result, images, expected)
        except crash_error as error:
            fault = f"the client ended: {error}"
        yield f"{kind}, {name}", fault
    worker.close()
    grpc_server.stop(None)


def client_fault(result: dict, images: int, expected: str | None) -> str | None:
    """Returns what is wrong with the client's output, or None."""
    if "error" in result:
        return result["error"]
    out, err = result["stdout"], result["stderr"]
    if "Traceback" in out + err:
        return f"traceback: {err.strip().splitlines()[-1]}"
    if result["seconds"] > TIMEOUT + MARGIN:
        return f"{result['seconds']:.1f} s"
    unsafe = [x for x in out + err if not x.isprintable() and x != "\n"]
    if unsafe:
        return f"the character {unsafe[0]!r} was printed"
    lines = (out if expected else err).splitlines()
    if expected:
        if result["code"] or err or len(lines) != images or not all(expected in x for x in lines):
            return f"right answer, code {result['code']}: {(out + err)[:300]!r}"
        return None
    if result["code"] == 0:
        return f"accepted: {out[:200]!r}"
    if result["code"] != 1 or out or len(lines) != 1 or len(lines[0]) > 1000:
        return f"code {result['code']}, {len(lines)} lines: {(out + err)[:300]!r}"
    return None


def demo_cases(count: int, rng: random.Random, folder: pathlib.Path):
    """Yields (name, fault) of clients of the demo server, and of the server's end."""
    file = write_tflite(folder / "model.tflite")
    command = [sys.executable, "-m", "kapps", "demo", str(file)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "BROWSER": "true"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    server = subprocess.Popen(command, env=env, text=True, encoding="utf-8", **pipes)
    try:
        port = int(server.stdout.readline().partition("http://127.0.0.1:")[2].split()[0])
        memory = _resident_memory(server.pid)
        for _ in range(count):
            table = _demo_clients.clients(random.Random(rng.random()), port)
            name = rng.choice(sorted(table))
            try:
                fault = table[name]()
                start = time.monotonic()
                answer = _demo_clients.request(port, _demo_clients.get(port))
                if not _demo_clients.is_ok(answer) or time.monotonic() - start > 2:
                    fault = fault or "afterwards the server does not answer"
                if _resident_memory(server.pid) > memory + MEMORY:
                    fault = fault or "more memory"
            except OSError as error:
                fault = f"{type(error).__name__}: {error}"
            yield f"demo, {name}", fault
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=10)
        # As every command of kapps: one line, and exit code 130.
        is_clean = server.returncode == 130 and errors == "kapps: Ctrl-C\n"
        yield "demo, Ctrl+C", None if is_clean else f"{server.returncode}: {errors[-300:]!r}"
    finally:
        server.kill()
        server.wait()


def main() -> int:
    """Runs the cases and returns the exit status."""
    options = parse_arguments(__doc__, 60)
    rng = random.Random(options.seed)
    demos = max(options.cases // 4, 1)

    def results(folder):
        if "demo".startswith(options.only) or options.only.startswith("demo"):
            yield from demo_cases(demos - 1, rng, folder)
        if options.only != "demo":
            yield from client_cases(options.cases - demos, rng, folder)

    with tempfile.TemporaryDirectory() as folder:
        return report(results(pathlib.Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
