"""Requests to end a training, by SIGTERM and Ctrl-C."""

import contextlib
import signal
import threading
import time

from kapps import _interrupts

_MAX_GRACE = 60.0


class TrainingStopped(RuntimeError):  # noqa: N818  # not an error of the program
    """A training that ended early; the message is one line: the reason, and how to resume.

    Args:
        message: that line.
        code: exit code of a program that ends with this exception.
    """

    def __init__(self, message: str, code: int = 1):
        super().__init__(message)
        self.code = code


class StopRequests:
    """Receives SIGTERM and Ctrl-C while a training runs, and knows whether its steps end.

    In a program (`kapps.training.run_main`) the thread of `kapps._interrupts` requests the end, and ends the process if
    no step ends. Elsewhere, such as in a notebook, this object handles the signals itself; a second Ctrl-C raises
    `KeyboardInterrupt` at once.

    Args:
        checkpoints: the `Checkpoints` of the training.

    Attributes:
        signal: number of the signal, or 0.
        is_saving: whether a checkpoint is being written.
    """

    def __init__(self, checkpoints):
        self.checkpoints = checkpoints
        self.signal, self.is_saving = 0, False
        self._step_time, self._step_seconds = None, 0.0
        self._previous_handlers = {}

    @property
    def name(self) -> str:
        """Name of the signal for a message."""
        return _interrupts.NAMES[self.signal]

    @property
    def grace(self) -> float:
        """Seconds to wait for the end of a step."""
        return min(_MAX_GRACE, max(_interrupts.GRACE, 3 * self._step_seconds))

    def start(self) -> None:
        """Starts to receive signals."""
        self.signal, self._step_time = 0, None
        if _interrupts.is_installed():
            _interrupts.register(self)
        elif threading.current_thread() is threading.main_thread():
            for number in _interrupts.NAMES:
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._previous_handlers[number] = signal.signal(number, self._handle)

    def end(self, *, stopped: bool = False) -> None:
        """Stops to receive signals.

        Args:
            stopped: whether the training has ended with an error or because of a signal.
        """
        _interrupts.unregister(ending=stopped)
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        self._previous_handlers = {}

    def end_step(self) -> None:
        """Measures the time of a step."""
        now = time.monotonic()
        if self._step_time is not None:
            self._step_seconds = now - self._step_time
        self._step_time = now

    @contextlib.contextmanager
    def saving(self):
        """Sets `is_saving` inside the block."""
        self.is_saving = True
        try:
            yield
        finally:
            self.is_saving = False

    def request_stop(self, number: int) -> None:
        """Requests the end of the training after the current step."""
        self.signal = number

    def describe_stall(self, number: int) -> str:
        """Returns one line for a training whose step does not end."""
        checkpoints = self.checkpoints
        return (
            f"step {checkpoints.step}: {_interrupts.NAMES[number]}; no step ended in {self.grace:.0f} seconds, so that "
            f"nothing new was saved; {checkpoints.describe_last()}"
        )

    def _handle(self, number, frame):
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
