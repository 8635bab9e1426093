"""TensorFlow's LiteRT converter at arm's length: a process that answers jobs, and may die of one."""

import re

from kapps.export.worker import CrashError, Worker

WORKER = Worker("_convert.py")


def run(job: dict) -> None:
    """Has the converter do a job (see `_convert.py`).

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
