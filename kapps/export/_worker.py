"""A child process that runs jobs.

Conversion and verification run in child processes for three reasons: TensorFlow's converter can crash and would end the
caller's process, as can LiteRT with a corrupt file; a SavedModel has to be run in a process where Keras is not
imported; and limits of time and memory hold for a process.
"""

import atexit
import contextlib
import json
import os
import pathlib
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import warnings

MEMORY = "memory"
"""The key of a job with its limit of memory."""
FOLDER = "folder"
"""The key of a job with the caller's current directory, from which relative paths start."""
READY = "ready"


class CrashError(Exception):
    """The process ended before its job did; the message is the signal and its place, or the exit status."""


class _SignalError(CrashError):
    """The process ended by a signal that is a fault of a program."""


class Worker:
    """A child process that runs a program's function `run(job)` for each job.

    The process starts with the first job and runs all later ones too, because importing TensorFlow takes seconds. It
    uses the CPU only, because the parent process may hold all memory of the accelerator.

    TensorFlow can crash the process in ways that do not depend on the job: a few of some thousand SavedModels have
    ended with SIGSEGV and have run in the next process. A job that crashes is therefore run once more, in a new
    process, and a crash that does not occur again is a warning.

    Args:
        program: path of a Python file that imports nothing of kapps. If it has a function `prepare`, which imports what
            `run` needs, the limits of the first job do not include it.
    """

    def __init__(self, program):
        self.command = [sys.executable, __file__, str(program)]
        self.process, self.errors, self.lock = None, None, threading.Lock()

    def run(self, job: dict, seconds: float | None = None, memory: int | None = None) -> dict:
        """Runs a job and returns its result.

        Args:
            job: the arguments, in JSON's types.
            seconds: the longest time of the job; None for no limit.
            memory: bytes that the process may allocate for the job; None for no limit. It has no effect where the
                operating system has no such limit.

        Returns:
            The dictionary that the program returns; {"error": message} if the program raises an exception.

        Raises:
            CrashError: if the process ends during the job, twice, or at a limit. The next job starts a new process.
        """
        job = job | {MEMORY: memory, FOLDER: os.getcwd()}
        with self.lock:
            try:
                return self._run_once(job, seconds)
            except _SignalError as crash:
                result = self._run_once(job, seconds)
                warnings.warn(
                    f"a child process crashed ({crash}); its job has run in a new process",
                    stacklevel=3,
                )
                return result

    def _run_once(self, job, seconds):
        try:
            if self.process is None:
                self.process = self._start()
                self.process.stdout.readline()  # `prepare` has returned
            result, is_late = self._send(job, seconds)
        except OSError:
            result, is_late = "", False
        if result:
            return json.loads(result)
        crash = self._end()
        raise CrashError(f"it took more than {seconds:.0f} s") if is_late else crash

    def _send(self, job, seconds):
        """Returns a line of the process, and whether it was killed because it took more than `seconds`."""
        late = threading.Event()
        process = self.process

        def kill():
            late.set()
            process.kill()

        timer = threading.Timer(seconds or 0, kill)
        timer.daemon = True
        if seconds is not None:
            timer.start()
        try:
            print(json.dumps(job), file=process.stdin, flush=True)
            return process.stdout.readline(), late.is_set()
        finally:
            timer.cancel()

    def close(self) -> None:
        """Ends the process."""
        if self.process:
            self.process.kill()
            self._end()

    def _start(self):
        settings = {
            "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONSAFEPATH": "1",  # do not import modules from this file's directory
            "PYTHONFAULTHANDLER": "1",  # write the place of a crash to standard error
        }
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (`_end` closes it)
        process = subprocess.Popen(
            self.command,
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            encoding="utf-8",
        )
        from kapps import _interrupts  # not in the process that runs this file

        atexit.register(process.kill)
        _interrupts.add_cleanup(process.kill)
        return process

    def _end(self):
        """Ends the process, and returns the error that says how it ended."""
        process, self.process = self.process, None
        if process is None:
            return CrashError("it did not start")
        status = process.wait()
        atexit.unregister(process.kill)
        with contextlib.suppress(BrokenPipeError):  # the job that the process did not read
            process.stdin.close()
        process.stdout.close()
        with self.errors as file:
            file.seek(0)
            text = file.read().decode("utf-8", "replace")
        if status >= 0:
            return CrashError(f"exit status {status}")
        name = signal.Signals(-status).name
        # The innermost line of the thread that crashed; of another one, if it was not a thread of Python.
        frames = r"hread .*\n  File \"(.*)\", line (\d+) in (.*)"
        line = re.search("Current t" + frames, text) or re.search("T" + frames, text)
        place = f" in {line[3]} ({pathlib.Path(line[1]).name}, line {line[2]})" if line else ""
        error = CrashError if name == "SIGKILL" else _SignalError  # a user, or the operating system
        return error(f"signal {name}{place}")


def run_jobs(run, prepare=lambda: None) -> None:
    """Runs jobs from standard input, one JSON object a line, and writes each result to standard output.

    Other output of the program goes to standard error, so that it is not mistaken for a result.
    """
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    prepare()
    print(READY, file=results, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        memory = job.pop(MEMORY, None)
        os.chdir(job.pop(FOLDER, "."))
        limit_memory(memory)
        try:
            result = run(job) or {}
        except MemoryError:
            result = {"error": f"it needs more than {(memory or 0) / 2**30:.1f} GiB of memory"}
        except Exception as error:
            has_text = str(error) and not isinstance(error, KeyError)  # whose text is the key
            result = {"error": str(error) if has_text else f"{type(error).__name__} {error}"}
        print(json.dumps(result), file=results, flush=True)


def limit_memory(memory: int | None) -> None:
    """Limits what this process may allocate in addition to what it has; None removes the limit."""
    try:
        import resource

        status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
        kilobytes = next(x.split()[1] for x in status.splitlines() if x.startswith("VmData:"))
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        soft = hard if memory is None else int(kilobytes) * 1024 + memory
        if hard == resource.RLIM_INFINITY or soft <= hard:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    except (ImportError, OSError, StopIteration):  # not Linux
        pass


if __name__ == "__main__":
    module = runpy.run_path(sys.argv[1])
    run_jobs(module["run"], module.get("prepare", lambda: None))
