"""Runs a program in a process that a test started. Imports nothing, so that the program imports everything itself."""

import os
import sys


def run(program, arguments, folder, environment):
    """Runs Python code in a folder, and writes its output to the file output.txt there."""
    os.chdir(folder)
    os.environ.update(environment)
    with open("output.txt", "w", encoding="utf-8") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.path.insert(0, environment["PYTHONPATH"])
    sys.argv = ["-c", *arguments]
    try:
        exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
