"""Runs a program in a process that a test has started; imports nothing, so that the program finds nothing imported."""

import os
import sys


def run(program, arguments, folder, environment):
    """Runs Python code in a folder, and writes there what it prints."""
    os.chdir(folder)
    os.environ.update(environment)
    with open("printed.txt", "w") as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
    sys.path.insert(0, environment["PYTHONPATH"])
    sys.argv = ["-c", *arguments]
    try:
        exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
