"""Ctrl-C and SIGTERM end a program in one line, in every situation, and never print a traceback."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[1]
START = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from kapps import _interrupts
_interrupts.install("program")
"""
SAVER = """
class Saver:
    grace, is_saving = 0.2, False
    def request_stop(self, number):
        print("requested", number.name, flush=True)
    def describe_stall(self, number):
        return f"{number.name}: no step ended"
saver = Saver()
_interrupts.register(saver)
"""
SITUATIONS = {
    "Python code": "print('ready', flush=True)\nwhile True: pass",
    "sleep": "print('ready', flush=True)\ntime.sleep(60)",
    "input": "print('ready', flush=True)\nsys.stdin.read()",
    "a lock": "import threading\nlock = threading.Lock()\nlock.acquire()\nprint('ready', flush=True)\nlock.acquire()",
    "except": "print('ready', flush=True)\nwhile True:\n    try: time.sleep(9)\n    except BaseException: pass",
}


@pytest.fixture
def start(tmp_path):
    """`start(program)` starts Python code, waits until it prints "ready", and returns the process."""
    started = []

    def start(program):
        process = subprocess.Popen(
            [sys.executable, "-c", START + program], cwd=tmp_path, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
            encoding="utf-8",
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")]
)
def test_a_signal_ends_the_process_in_one_line(start, situation, number, name):
    process = start(SITUATIONS[situation])
    process.send_signal(number)
    process.wait(20)
    _, errors = process.communicate()
    assert process.returncode == 128 + number
    assert errors == f"program: {name}; nothing was saved\n"


def test_a_training_that_does_not_end_its_step_is_ended_after_the_grace_time(start):
    process = start(SAVER + SITUATIONS["a lock"])
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (143, "program: SIGTERM: no step ended\n")
    assert output == "requested SIGTERM\n"


def test_saving_is_not_interrupted_except_by_a_second_ctrl_c(start):
    process = start(SAVER + "saver.is_saving = True\n" + SITUATIONS["sleep"])
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and errors.startswith("program: Ctrl-C twice")


def test_a_training_that_saves_prints_its_own_line(start):
    process = start(
        SAVER
        + "saver.is_saving = True\nprint('ready', flush=True)\ntime.sleep(1)\n"
        + "_interrupts.unregister(ending=True)\nprint('saved', file=sys.stderr)\nsys.exit(143)"
    )
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (143, "saved\n")


def test_temporary_directories_are_removed(start, tmp_path):
    process = start(
        "from kapps._files import write_atomically\n"
        "with write_atomically('a.txt') as path:\n    path.write_text('a')\n    print('ready', flush=True)\n"
        "    time.sleep(60)"
    )
    assert list(tmp_path.iterdir())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert not list(tmp_path.iterdir())


def test_cleanups_are_called(start):
    process = start(
        "_interrupts.add_cleanup(lambda: 1 / 0)\n"
        "_interrupts.add_cleanup(lambda: print('cleaned', flush=True))\n" + SITUATIONS["sleep"]
    )
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert output == "cleaned\n"


def test_a_forked_process_has_the_default_handlers(start):
    process = start(
        "import os\nchild = os.fork()\nif not child:\n    time.sleep(60)\nprint('ready', flush=True)\n"
        "time.sleep(0.2)\nos.kill(child, signal.SIGTERM)\nprint(os.waitpid(child, 0)[1], flush=True)"
    )
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output.split(), errors) == (0, [str(int(signal.SIGTERM))], "")


def test_an_ignored_ctrl_c_stays_ignored(tmp_path):
    """As for a program in the background of a shell script."""
    program = (
        START.replace("signal.default_int_handler", "signal.SIG_IGN") + "signal.raise_signal(2)"
    )
    subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=20, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(
    "command", ["predict lenet5 a.png --weights=imagenet", "profile resnet50", "list", "table"]
)
def test_ctrl_c_in_a_command_prints_no_traceback(tmp_path, command):
    program = (
        "import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"from kapps.cli import main\nprint('ready', flush=True)\nsys.argv = ['kapps', *{command.split()}]\n"
        "sys.exit(main())"
    )
    for seconds in (0.05, 0.3, 1, 3):
        process = subprocess.Popen(
            [sys.executable, "-c", program], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, encoding="utf-8"
        )  # fmt: skip
        assert process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        ended = process.poll() is not None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert "Traceback" not in errors
        # Python restores the signal's default handler when it finalizes, after the command's last line.
        ended = ended or (process.returncode, errors) == (-signal.SIGINT, "")
        assert ended or (process.returncode, errors) == (130, "kapps: Ctrl-C\n")
