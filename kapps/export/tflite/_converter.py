"""TensorFlow's LiteRT converter at arm's length: a process that answers jobs, and may die of one."""

import pathlib
import re

from kapps.export._worker import CrashError, Worker

WORKER = Worker(pathlib.Path(__file__).with_name("_convert_child.py"))


def run(job: dict) -> None:
    """Has the converter do a job (see `_convert_child.py`).

    Raises:
        ValueError: of one line, for what it refuses, and where it crashed.
    """
    try:
        error = WORKER.ask(job).get("error")
    except CrashError as crash:
        raise ValueError(f"TensorFlow's converter crashed ({crash})") from crash
    if error:
        raise ValueError(lacking(error))


def lacking(message: str) -> str:
    """Returns the operations that a converter's many lines complain of, else their first line."""
    found = re.findall(r"TF (?:Select|Custom) ops: (.*)", message)
    found += re.findall(r"'tf\.(\w+)' op", message)
    names = sorted({name.strip() for line in found for name in line.split(",")})
    return f"no builtin operation for {', '.join(names)}" if names else message.splitlines()[0]
