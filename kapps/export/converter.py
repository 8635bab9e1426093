"""TensorFlow's LiteRT converter at arm's length: a process that answers jobs, and may die of one."""

import atexit
import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

_LOCK = threading.Lock()


def run(job: dict) -> None:
    """Has the converter do a job (see `_convert.py`).

    Raises:
        ValueError: of one line, for what it refuses, and where it crashed.
    """
    with _LOCK:
        process = _process()
        try:
            print(json.dumps(job), file=process.stdin, flush=True)
            answer = process.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            _process.cache_clear()
            raise ValueError(f"TensorFlow's converter crashed ({_end(process.wait())})")
    error = json.loads(answer).get("error")
    if error:
        raise ValueError(lacking(error))


@functools.cache
def _process() -> subprocess.Popen:
    """Starts the process; it serves all that is converted, for TensorFlow takes seconds to import."""
    program = pathlib.Path(__file__).with_name("_convert.py")
    settings = {
        "CUDA_VISIBLE_DEVICES": "-1",  # the other process may hold all of the accelerator's memory
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONSAFEPATH": "1",
    }
    process = subprocess.Popen(
        [sys.executable, str(program)],
        env=os.environ | settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    atexit.register(process.kill)
    return process


def _end(status: int) -> str:
    if status < 0:
        return f"signal {signal.Signals(-status).name}"
    return f"exit status {status}"


def lacking(message: str) -> str:
    """Returns the operations that a converter's many lines complain of, else their first line."""
    found = re.findall(r"TF (?:Select|Custom) ops: (.*)", message)
    found += re.findall(r"'tf\.(\w+)' op", message)
    names = sorted({name.strip() for line in found for name in line.split(",")})
    return f"no builtin operation for {', '.join(names)}" if names else message.splitlines()[0]
