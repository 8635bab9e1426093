"""Prints an error in one line: the same for the recipes, the console script, and the modules that `python -m` runs.

An error of a known kind (a wrong value, a file, the disk, the memory, a missing package) is one line. Of every other
error, and of one whose message is shortened, the traceback is also saved to a file that the line names.
"""

import contextlib
import errno
import os
import pathlib
import re
import sys
import tempfile
import traceback
from collections.abc import Callable

LONGEST = 500
"""Maximum length of a line that is made from another library's message, in characters."""
INTERRUPTED = 130
"""Exit status after Ctrl-C, 128 + SIGINT."""
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DISK_WORDS = re.compile(
    "No space left on device|Disk quota exceeded|File too large", re.IGNORECASE
)
_MEMORY_WORDS = re.compile(
    "OOM when allocating|out of memory|Unable to allocate|bad_alloc|failed to allocate|"
    "Cannot allocate memory|RESOURCE_EXHAUSTED",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# Lines with which Keras and TensorFlow surround the reason of an error.
_NO_REASON = re.compile(
    r"Graph execution error|Detected at node|File \"|<stack|Traceback|\[\[|Hint:|Exception encountered|"
    r"Arguments received|The op is created|Original stack|Stack trace|Errors may have|\d+ root error|\(\d+\) |"
    r"Full kwargs|at: "
)
_ABSENT_FILE = re.compile(
    r"^(\S.*?)[;:] (No such file or directory|Permission denied|Is a directory|Not a directory)"
)


def join_lines(text: object) -> str:
    """Returns a text with every run of white space and control characters replaced by one space."""
    return _CONTROL.sub(" ", str(text)).strip()


def main_sentence(message: str) -> str:
    """Returns the reason of an error in one line: the first line that is not a location in the code.

    Args:
        message: of an exception of Keras, TensorFlow or another library.
    """
    lines = [line.strip() for line in _COLOURS.sub("", message).splitlines()]
    lines = [re.sub(r"^(\(\d+\) [A-Z_ ]+: )", "", line) for line in lines if line]
    reasons = [line for line in lines if not _NO_REASON.match(line)]
    text = join_lines((reasons or lines or [""])[0])
    text = re.sub(r"\{\{function_node [^}]*\}\} ?", "", text)
    text = re.sub(r" ?\[Op:[^]]*\]( name:.*)?$", "", text)
    text = re.sub(r" on /job:\S+ by allocator \S+", "", text)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def describe(error: BaseException, memory_advice: str = "") -> tuple[str, bool]:
    """Returns an error in one line, and whether it is of a known kind that the line describes completely.

    Args:
        error: the error.
        memory_advice: what to do if the memory is not enough, such as "lower --batch_size".
    """
    text, name = str(error), type(error).__name__
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", True
    if getattr(error, "errno", None) in _DISK or _DISK_WORDS.search(text):
        return _full_disk(error, text), True
    if (
        isinstance(error, MemoryError)
        or name == "ResourceExhaustedError"
        or _MEMORY_WORDS.search(text)
    ):
        reason = main_sentence(text)
        reason = f"the memory is not enough{f' ({reason})' if reason else ''}"
        return f"{reason}: {memory_advice or 'use smaller sizes'}", True
    if isinstance(error, ImportError):
        return _missing_package(error, text)
    if isinstance(error, OSError) and error.strerror and not text.count("\n"):
        names = [
            join_lines(os.fsdecode(n))
            for n in (error.filename, error.filename2)
            if isinstance(n, str | bytes)
        ]
        return ": ".join([" and ".join(names), error.strerror] if names else [error.strerror]), True
    if _is_tensorflow_error(error):
        absent = _ABSENT_FILE.match(main_sentence(text))
        if absent:
            return f"{absent[1]}: {absent[2]}", True
        return main_sentence(text) or name, False
    complete = isinstance(error, ValueError | OSError) or type(error).__module__.startswith(
        "kapps."
    )
    if complete and text and "\n" not in text.strip() and len(text) <= 4 * LONGEST:
        return join_lines(_COLOURS.sub("", text)), True
    if isinstance(error, ValueError | OSError) and text:
        return main_sentence(text), False
    return f"{name}: {main_sentence(text)}" if text else name, False


def _full_disk(error, text):
    path = getattr(error, "filename", None)
    if path is None:
        match = re.search(r"(?:name = '([^']+)'|^([^;{}\s]*/[^;\s]*);)", main_sentence(text))
        path = match and (match[1] or match[2])
    where = f" for {join_lines(os.fsdecode(path))}" if isinstance(path, str | bytes) else ""
    reason = getattr(error, "strerror", None)
    if not reason or "\n" in reason or len(reason) > 60:
        reason = _DISK_WORDS.search(text)
        reason = reason[0] if reason else "No space left on device"
    return f"the disk has no space left{where} ({reason}): free space, or write to another disk"


def _missing_package(error, text):
    package = (getattr(error, "name", None) or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and package and package != "kapps":
        return f"the package {package} is not installed: pip install {package}", True
    if package == "kapps" and "\n" not in text:
        return join_lines(text), True
    return f"a package cannot be imported: {main_sentence(text)}", False


def _is_tensorflow_error(error):
    return any(
        base.__name__ == "OpError" and base.__module__.startswith("tensorflow")
        for base in type(error).__mro__
    )


def save_traceback(error: BaseException, folder: str | os.PathLike | None = None) -> str | None:
    """Writes the traceback of an error to a file, and returns its path; `None` if no file can be written.

    Args:
        error: the error.
        folder: an existing folder for `traceback.txt`. Without one, or if it cannot be written, the file is in the
            temporary directory.
    """
    text = f"{' '.join(sys.argv)}\n\n{''.join(traceback.format_exception(error))}"
    text = text.encode("utf-8", "backslashreplace")
    with contextlib.suppress(OSError, ValueError):
        if folder is not None and os.path.isdir(folder):
            path = pathlib.Path(folder, "traceback.txt")
            path.write_bytes(text)
            return str(path)
    with contextlib.suppress(OSError):
        descriptor, path = tempfile.mkstemp(prefix="kapps-traceback-", suffix=".txt")
        with open(descriptor, "wb") as file:
            file.write(text)
        return path
    return None


def print_any_character() -> None:
    """Lets standard output print every character: one that the locale's encoding lacks has an escape."""
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) in ("strict", "surrogateescape"):
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")


def print_line(program: str, message: object) -> None:
    """Prints one line to standard error, after everything that was printed to standard output."""
    with contextlib.suppress(OSError, ValueError):  # standard output may be closed or full
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        print(f"{program}: {join_lines(message)}", file=sys.stderr, flush=True)


def print_error(
    program: str,
    error: BaseException,
    *,
    folder: str | os.PathLike | None = None,
    memory_advice: str = "",
) -> None:
    """Prints an error in one line, and saves the traceback of one that the line does not describe completely.

    Args:
        program: name of the program, the start of the line.
        error: the error.
        folder: folder for the traceback, of `save_traceback`.
        memory_advice: of `describe`.
    """
    line, complete = describe(error, memory_advice)
    if not complete:
        path = save_traceback(error, folder)
        line = f"{line.rstrip('.')} (the traceback is in {path})" if path else line
    print_line(program, line)


def run(main: Callable[[], int | None], program: str, status: int = 2) -> int:
    """Calls the `main` of a program, and returns its exit status; an error is printed in one line.

    Args:
        main: function that returns the exit status, or `None` for success.
        program: name of the program.
        status: exit status after an error.

    Returns:
        The status of `main`; after an error `status`; 130 after Ctrl-C; 0 if the reader of a pipe has closed it.
    """
    print_any_character()
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:
        print_error(program, error)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else status
    return code or 0


def install(program: str) -> None:
    """Prints an error in one line also outside `run`, such as one of an import: sets `sys.excepthook`.

    Standard output prints every character from then on.
    """

    def hook(_, error, __):
        print_error(program, error)

    print_any_character()
    sys.excepthook = hook
