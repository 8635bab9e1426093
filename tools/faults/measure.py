"""Runs a command under limits of time and memory, and reports what a user would call a fault of the program.

A fault is a traceback, an abort by a signal, an error exit without a line on stderr, more time than `seconds`, or
more memory than `memory`.
"""

import argparse
import dataclasses
import os
import pathlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence

POLL = 0.02
"""Seconds between two measurements of a running command."""


@dataclasses.dataclass
class Result:
    """What a command did.

    Args:
        code: exit code; negative for a signal.
        stdout: its output.
        stderr: its errors.
        seconds: wall-clock time.
        memory: peak resident memory in bytes.
        fault: the fault in a few words, or `None`.
    """

    code: int
    stdout: str
    stderr: str
    seconds: float
    memory: int
    fault: str | None = None


def run(
    command: Sequence[str | os.PathLike],
    *,
    seconds: float,
    memory: int,
    cwd: str | os.PathLike | None = None,
    env: dict[str, str] | None = None,
    may_succeed: bool = True,
    interrupt_after: float | None = None,
    interrupt_signal: int = signal.SIGTERM,
) -> Result:
    """Runs a command to its end, or ends it and its children at a limit.

    Args:
        command: program and arguments.
        seconds: limit of the wall-clock time.
        memory: limit of the resident memory in bytes.
        cwd: working directory.
        env: variables of the environment, in addition to those of this process.
        may_succeed: whether the exit code 0 is allowed. `False` for a command that means nothing.
        interrupt_after: seconds after which the command gets `interrupt_signal`.
        interrupt_signal: SIGTERM, SIGINT or SIGKILL.

    Returns:
        A `Result`; `fault` is `None` if the command behaved.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        process = subprocess.Popen(
            [os.fspath(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            cwd=cwd, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(env or {})},
            start_new_session=True,
        )  # fmt: skip
        fault, peak = None, 0
        while process.poll() is None:
            elapsed, peak = time.monotonic() - start, max(peak, _resident_memory(process.pid))
            if interrupt_after is not None and elapsed > interrupt_after:
                process.send_signal(interrupt_signal)
                interrupt_after = None
            if elapsed > seconds:
                fault = f"over {seconds:g} s"
            elif peak > memory:
                fault = f"over {memory / 2**20:,.0f} MiB"
            if fault:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                break
            time.sleep(POLL)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read(2**20).decode(errors="replace"))
        result = Result(process.returncode, *texts, time.monotonic() - start, peak, fault)
    if result.fault is None:
        result.fault = describe_fault(result, may_succeed=may_succeed, killed=interrupt_signal)
    return result


def describe_fault(result: Result, *, may_succeed: bool = True, killed: int = 0) -> str | None:
    """Returns the fault of a finished command in a few words, or `None`."""
    if "Traceback (most recent call last)" in result.stderr + result.stdout:
        return "traceback"
    if result.code < 0 and -result.code != killed:
        return f"ended by signal {-result.code}"
    if result.code == 0:
        return None if may_succeed else "accepted"
    if result.code > 0 and not result.stderr.strip():
        return f"exit code {result.code} without a line on stderr"
    return None


def _resident_memory(pid):
    """Returns the peak resident memory of a process in bytes; 0 where the system does not tell."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def parse_arguments(description: str, cases: int) -> argparse.Namespace:
    """Parses the arguments that all scripts of this folder share: --cases, --seed and --only.

    Args:
        description: of the script, for --help.
        cases: default of --cases.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=cases, help="number of cases")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of cases")
    parser.add_argument("--only", default="", help="only cases whose name contains this text")
    return parser.parse_args()


def report(results: Iterable[tuple[str, str | None]]) -> int:
    """Prints each fault as it occurs, then one line of counts.

    Args:
        results: pairs of a case's name and its fault or `None`.

    Returns:
        The exit status: 0 if there is no fault.
    """
    count, faults = 0, 0
    for name, fault in results:
        count += 1
        if fault:
            faults += 1
            print(f"FAULT {name}: {fault}", flush=True)
    print(f"{count} cases, {faults} faults")
    return int(faults > 0 or count == 0)
