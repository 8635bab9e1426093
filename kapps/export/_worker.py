"""A child process that runs jobs.

Conversion and verification run in child processes for two reasons: TensorFlow's converter can crash and would end the
caller's process, and a SavedModel has to be run in a process where Keras is not imported.
"""

import atexit
import contextlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading


class CrashError(Exception):
    """The process ended before its job did; the message is the signal or the exit status."""


class Worker:
    """A child process that runs a program's function `run(job)` for each job.

    The process starts with the first job and runs all later ones too, because importing TensorFlow takes seconds. It
    uses the CPU only, because the parent process may hold all memory of the accelerator.

    Args:
        program: path of a Python file that imports nothing of kapps.
    """

    def __init__(self, program):
        self.command = [sys.executable, __file__, str(program)]
        self.process, self.lock = None, threading.Lock()

    def run(self, job: dict) -> dict:
        """Runs a job and returns its result.

        Args:
            job: the arguments, in JSON's types.

        Returns:
            The dictionary that the program returns; {"error": message} if the program raises an exception.

        Raises:
            CrashError: if the process ends during the job. The next job starts a new process.
        """
        with self.lock:
            try:
                self.process = self.process or self._start()
                print(json.dumps(job), file=self.process.stdin, flush=True)
                result = self.process.stdout.readline()
            except OSError:
                result = ""
            if not result:
                raise CrashError(self._end())
        return json.loads(result)

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
        }
        process = subprocess.Popen(
            self.command,
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        atexit.register(process.kill)
        return process

    def _end(self):
        process, self.process = self.process, None
        if process is None:
            return "it did not start"
        status = process.wait()
        atexit.unregister(process.kill)
        with contextlib.suppress(BrokenPipeError):  # the job that the process did not read
            process.stdin.close()
        process.stdout.close()
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def run_jobs(run) -> None:
    """Runs jobs from standard input, one JSON object a line, and writes each result to standard output.

    Other output of the program goes to standard error, so that it is not mistaken for a result.
    """
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            result = run(json.loads(line)) or {}
        except Exception as error:
            result = {"error": str(error) or type(error).__name__}
        print(json.dumps(result), file=results, flush=True)


if __name__ == "__main__":
    run_jobs(runpy.run_path(sys.argv[1])["run"])
