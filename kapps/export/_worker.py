"""A program of ours in a process of its own, which answers jobs and may die of one."""

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
    """The process ended before it answered; the message says how."""


class Worker:
    """A process that does jobs, each a line of JSON, by a program's function `answer(job)`.

    It starts with the first job and serves all that follow, for TensorFlow takes seconds to import. It runs on the
    CPU: this process may hold all of the accelerator's memory.

    Args:
        program: path of a Python file that imports nothing of kapps.
    """

    def __init__(self, program):
        self.command = [sys.executable, __file__, str(program)]
        self.process, self.lock = None, threading.Lock()

    def ask(self, job: dict) -> dict:
        """Returns the answer to a job; CrashError where there is none, after which the next job starts anew."""
        with self.lock:
            try:
                self.process = self.process or self._start()
                print(json.dumps(job), file=self.process.stdin, flush=True)
                answer = self.process.stdout.readline()
            except OSError:
                answer = ""
            if not answer:
                raise CrashError(self._end())
        return json.loads(answer)

    def close(self) -> None:
        """Ends the process."""
        if self.process:
            self.process.kill()
            self._end()

    def _start(self):
        settings = {
            "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONSAFEPATH": "1",  # its own folder is no place to import from
        }
        process = subprocess.Popen(
            self.command,
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        atexit.register(process.kill)
        return process

    def _end(self):
        process, self.process = self.process, None
        if process is None:
            return "it did not start"
        status = process.wait()
        atexit.unregister(process.kill)
        with contextlib.suppress(BrokenPipeError):  # of the job that it did not read
            process.stdin.close()
        process.stdout.close()
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def serve(answer) -> None:
    """Does jobs until there are no more, and says {} or {"error": message} to each.

    What is printed on the way goes to standard error, so that it does not get between the answers.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            found = answer(json.loads(line)) or {}
        except Exception as error:
            found = {"error": str(error) or type(error).__name__}
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    serve(runpy.run_path(sys.argv[1])["answer"])
