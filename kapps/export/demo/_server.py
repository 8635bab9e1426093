"""An HTTP server of a few files for the browser of this machine's user, with limits for every client.

A page of another site can send requests to a local server, and by DNS rebinding read its answers, so the server answers
only requests whose Host is its own address. It reads no other files than those that it is started with.
"""

import contextlib
import http
import http.server
import io
import pathlib
import socket
import sys
import threading
import time
import typing

MAX_CLIENTS = 32
"""Connections at one time."""
MAX_REQUEST_BYTES = 2**14
REQUEST_SECONDS = 10
"""The longest time until a request is complete."""
RESPONSE_SECONDS = 120
"""The longest time until a client has read a response."""
PIECE = 2**18
HEADERS = {
    # The first two headers allow WebAssembly to use threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Page(typing.NamedTuple):
    """A response.

    Args:
        content: bytes, or the path of a file that is read at each request.
        headers: its type and encoding.
    """

    content: bytes | pathlib.Path
    headers: dict[str, str]


class PageServer(http.server.ThreadingHTTPServer):
    """Serves pages by their URL's path.

    Args:
        address: (host, port); port 0 for any free port.
        pages: {path: page}.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], pages: dict[str, Page]):
        self.pages = pages
        self.free_places = threading.BoundedSemaphore(MAX_CLIENTS)
        super().__init__(address, Handler)
        host, port = self.server_address[:2]
        hosts = {host, "localhost", "127.0.0.1", "[::1]"}
        self.hosts = {f"{host}:{port}" for host in hosts} | (hosts if port == 80 else set())
        self.origins = {f"http://{host}" for host in self.hosts}

    def process_request(self, request, client_address):
        """Answers a request in a thread, if there are not too many clients."""
        if not self.free_places.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.settimeout(1)
                request.sendall(b"HTTP/1.0 503 Too many clients\r\nContent-Length: 0\r\n\r\n")
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no more threads
            self.free_places.release()
            self.shutdown_request(request)

    def process_request_thread(self, request, client_address):
        """Answers a request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.free_places.release()

    def handle_error(self, request, client_address):  # noqa: ARG002
        """Prints an error on one line, and nothing about a connection that the client closed."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            print(f"kapps demo: {type(error).__name__}: {error!r}", file=sys.stderr, flush=True)


class TooLongError(Exception):
    """A request of more than `MAX_REQUEST_BYTES`."""


class LimitedReader(io.RawIOBase):
    """Reads a request from a socket up to a size and a time.

    Args:
        connection: the socket.
    """

    def __init__(self, connection: socket.socket):
        self.connection, self.left = connection, MAX_REQUEST_BYTES
        self.end = time.monotonic() + REQUEST_SECONDS

    def readable(self):
        return True

    def readinto(self, buffer):
        if self.left <= 0:
            raise TooLongError
        self.connection.settimeout(max(self.end - time.monotonic(), 0.001))
        count = self.connection.recv_into(buffer, min(len(buffer), self.left))
        self.left -= count
        return count


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request of a connection."""

    default_request_version = "HTTP/1.0"  # errors of requests without a version have a status line
    server_version, sys_version = "kapps", ""

    def setup(self):
        super().setup()
        self.rfile = io.BufferedReader(LimitedReader(self.connection), 4096)

    def handle(self):
        """Reads and answers the request."""
        self.requestline, self.command, self.request_version = "", "", "HTTP/1.0"
        self.close_connection = True
        try:
            self.raw_requestline = self.rfile.readline(MAX_REQUEST_BYTES + 1)
            if not self.raw_requestline or not self.parse_request():
                return
            self.answer()
        except TooLongError:
            self.send_error(http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        except TimeoutError:
            with contextlib.suppress(OSError):
                self.send_error(http.HTTPStatus.REQUEST_TIMEOUT)

    def answer(self):
        """Sends the page, or an error."""
        if len(self.requestline.split()) != 3:
            self.send_error(http.HTTPStatus.BAD_REQUEST, "The request has no HTTP version")
        elif self.command not in ("GET", "HEAD"):
            self.send_error(http.HTTPStatus.METHOD_NOT_ALLOWED)
        elif [x.lower() for x in self.headers.get_all("Host", [])] not in (
            [host] for host in self.server.hosts
        ):
            self.send_error(http.HTTPStatus.MISDIRECTED_REQUEST, "The Host is not this server")
        elif set(map(str.lower, self.headers.get_all("Origin", []))) - self.server.origins:
            self.send_error(http.HTTPStatus.FORBIDDEN, "The request is from another site")
        else:
            page = self.server.pages.get(self.path.partition("?")[0])
            if page is None:
                self.send_error(http.HTTPStatus.NOT_FOUND)
            else:
                self.send_page(page)

    def send_page(self, page):
        """Sends a page."""
        with contextlib.ExitStack() as stack:
            if isinstance(page.content, bytes):
                file, size = io.BytesIO(page.content), len(page.content)
            else:
                try:
                    file = stack.enter_context(page.content.open("rb"))
                    size = page.content.stat().st_size
                except OSError:  # the file was deleted
                    self.send_error(http.HTTPStatus.NOT_FOUND)
                    return
            self.send_response(http.HTTPStatus.OK)
            for name, value in page.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if self.command != "HEAD":
                self.send_content(file, size)

    def send_content(self, file, size):
        """Sends `size` bytes of a file; a client that reads slowly is disconnected."""
        end = time.monotonic() + RESPONSE_SECONDS
        while size > 0:
            piece = file.read(min(PIECE, size))
            if not piece:
                return
            self.connection.settimeout(max(end - time.monotonic(), 0.001))
            self.connection.sendall(piece)
            size -= len(piece)

    def send_error(self, code, message=None, explain=None):
        """Sends an error page."""
        self.connection.settimeout(5)
        super().send_error(code, message, explain)

    def end_headers(self):
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def finish(self):
        """Closes the connection after the client had a moment to read the response.

        A connection that is closed with data of the client unread is reset, and the client loses the response.
        """
        super().finish()
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            end = time.monotonic() + 1
            while (left := end - time.monotonic()) > 0:
                self.connection.settimeout(left)
                if not self.connection.recv(PIECE):
                    break

    def log_message(self, *_):
        """Prints nothing."""
