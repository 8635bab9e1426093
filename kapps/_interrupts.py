"""Ends a program on Ctrl-C and on SIGTERM in one line, whatever it does at the moment.

Python calls a signal handler between two operations of the main thread. A training step that waits for data is one
operation, so that a handler may never be called. Here a thread waits for the signals. If a training can save its
state, the thread requests it and waits; otherwise, or if no step ends in time, it ends the process.

Modules of TensorFlow and Keras are not imported here, so that their import can be interrupted too.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol

from kapps import _files, _log_lines

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
GRACE = 5.0
"""Seconds that a training step may take to its end after a signal, unless the steps before it were longer."""
_EXIT_SECONDS = 10.0
"""Seconds from the end of a training to the end of the process."""


class Saver(Protocol):
    """A training that can save its state after the current step."""

    grace: float
    """Seconds to wait for the end of the current step."""
    is_saving: bool
    """Whether the step has ended and the state is being written, which is not interrupted."""

    def request_stop(self, number: int) -> None:
        """Requests to save and to end the training because of a signal."""

    def describe_stall(self, number: int) -> str:
        """Returns one line for the case that no step ends within `grace`."""


_cleanups: list[Callable[[], None]] = []


class _Watcher:
    """Waits for signals in a thread, and ends the process."""

    current: "_Watcher | None" = None

    def __init__(self, program, description):
        self.program = program
        self.saver: Saver | None = None
        self.describe: Callable[[], str] = lambda: description
        self.ending = False  # whether a training has ended because of the signal
        self.exits = False  # whether the thread ends the process
        self.process = os.getpid()
        self.reader, writer = socket.socketpair()
        self.writer = writer  # closed with this object
        writer.setblocking(False)
        for number in NAMES:
            # A program in the background of a shell script ignores Ctrl-C.
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _do_nothing)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self.watch, name="kapps signals", daemon=True).start()

    def watch(self):
        number = self.read(None)
        saver, start = self.saver, time.monotonic()
        if saver is not None:
            saver.request_stop(number)
            while self.saver is saver:
                if self.read(0.05) == signal.SIGINT:
                    self.exit(number, f"{NAMES[number]} twice; {self.describe()}")
                if time.monotonic() - start > saver.grace and not saver.is_saving:
                    self.exit(number, saver.describe_stall(number))
        end = time.monotonic() + _EXIT_SECONDS
        while self.ending and time.monotonic() < end:
            if self.read(0.05) == signal.SIGINT:
                break
        description = self.describe()
        self.exit(number, f"{NAMES[number]}{'; ' * bool(description)}{description}")

    def read(self, seconds):
        """Returns the number of the next signal, or `None` after so many seconds."""
        while select.select([self.reader], [], [], seconds)[0]:
            number = self.reader.recv(1)[0]
            if number in NAMES:
                return signal.Signals(number)
        return None

    def exit(self, number, message):
        self.exits = True
        sys.excepthook = _wait  # the main thread may fail meanwhile, because its files are removed
        start = "\n" if sys.stdout is not None and sys.stdout.isatty() else ""
        line = f"{start}{self.program}: {message}\n"
        # The main thread may hold the locks of the streams.
        flush = threading.Thread(target=_flush, daemon=True)
        flush.start()
        flush.join(0.5)
        with contextlib.suppress(OSError):
            os.write(_log_lines.standard_error(), line.encode(errors="replace"))
        for function in (*_cleanups, _files.remove_active):
            with contextlib.suppress(Exception):
                function()
        os._exit(128 + number)


def install(program: str | None = None, description: str = "nothing was saved") -> None:
    """Makes Ctrl-C and SIGTERM end this process with one line and exit code 130 or 143. Later calls do nothing.

    Args:
        program: name of the program in the line; by default that of the main file.
        description: what the line says until `set_description` is called.
    """
    if _Watcher.current is None and threading.current_thread() is threading.main_thread():
        _Watcher.current = _Watcher(program or os.path.basename(sys.argv[0]), description)


def is_installed() -> bool:
    """Returns whether `install` was called in this process."""
    return _Watcher.current is not None


def set_description(describe: Callable[[], str]) -> None:
    """Sets the function that returns, for the line, what is saved and how to resume."""
    if _Watcher.current is not None:
        _Watcher.current.describe = describe


def add_cleanup(function: Callable[[], None]) -> None:
    """Adds a function that is called when a signal ends this process, such as one that ends a child process.

    Functions of `atexit` are not called, because those of other packages may wait.
    """
    _cleanups.append(function)


def register(saver: Saver) -> None:
    """Sets the training that saves its state after a signal."""
    if _Watcher.current is not None:
        _Watcher.current.saver = saver


def unregister(*, ending: bool = False) -> None:
    """Removes the training.

    Args:
        ending: whether the training has ended because of a signal, so that the program prints the line itself.
    """
    if _Watcher.current is not None:
        _Watcher.current.ending = ending
        _Watcher.current.saver = None


def wait_if_exiting() -> None:
    """Waits for the end of this process if a signal ends it. Call this before an error is printed."""
    if _Watcher.current is not None and _Watcher.current.exits:
        _wait()


def _wait(*_):
    time.sleep(_EXIT_SECONDS)


def _do_nothing(number, frame):
    """Handles a signal: Python writes the number of a signal that has a handler to the socket."""


def _flush():
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _forget():
    """Restores the default handlers in a forked process, which has no thread that waits for signals."""
    if _Watcher.current is not None:
        _Watcher.current = None
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(-1)
            for number, handler in (
                (signal.SIGINT, signal.default_int_handler),
                (signal.SIGTERM, signal.SIG_DFL),
            ):
                if signal.getsignal(number) is _do_nothing:
                    signal.signal(number, handler)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
