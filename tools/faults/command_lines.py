"""Runs command lines that mean nothing, and reports those that do not end with one line on stderr.

    python tools/faults/command_lines.py --cases 400 --seed 1

A case is a fault if it is accepted, has a traceback, has not exactly one line on stderr, takes more than 5 seconds
after the imports, or more than 2 GiB of memory. The cases run in forks of one process that has imported TensorFlow and
executed nothing. Every 25th case, and those of the environment, run in a new process, which has the time of the imports
in addition: that of `recipes/imagenet.py --help`, measured first.
"""

import io
import json
import os
import pathlib
import resource
import runpy
import signal
import sys
import tempfile
import time

import measure
from command_line_cases import (
    Case,
    choose,
    environment_cases,
    flag_cases,
    mistake_cases,
    write_files,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS, MEMORY = 5.0, 2 * 2**30
REAL_EVERY = 25
"""One of so many cases runs in a new process."""
RECIPES = sorted(path.name for path in (ROOT / "recipes").glob("*.py"))


def preload():
    """Imports what the programs import, and executes no operation of TensorFlow, so that forks can."""
    sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]
    import common.environment

    import keras  # noqa: F401
    from absl import flags

    import kapps.new_family  # noqa: F401

    for recipe in RECIPES:
        before = set(flags.FLAGS)
        runpy.run_path(str(ROOT / "recipes" / recipe), run_name="preloaded")
        for name in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, name)
    return common.environment


def run_program(case: Case) -> int:
    """Runs a program in this process, and returns its exit status."""
    from kapps import _errors

    _errors.install(case.program)
    try:
        if case.program == "kapps":
            from kapps.cli import main

            return main(case.arguments)
        if case.program.endswith(".py"):
            path = str(ROOT / "recipes" / case.program)
            sys.argv = [path, *case.arguments]
            runpy.run_path(path, run_name="__main__")
        else:
            sys.argv = [case.program, *case.arguments]
            sys.modules.pop(case.program, None)
            runpy.run_module(case.program, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def in_fork(function, folder, seconds=SECONDS, memory=MEMORY) -> measure.Result:
    """Runs a function that returns an exit status in a fork of this process, under limits."""
    files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
    start = time.monotonic()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.setsid()
            os.chdir(folder)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number, file in enumerate(files, start=1):
                os.dup2(file.fileno(), number)
            # The standard streams of a new process, whatever those of this one are.
            sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", False), "utf-8", "surrogateescape")
            sys.stderr = io.TextIOWrapper(
                io.FileIO(2, "w", False), "utf-8", "backslashreplace", line_buffering=True
            )
            code = function()
            sys.stdout.flush()
        finally:
            os._exit(code)
    fault, peak, status = None, 0, None
    base = measure._resident_memory(os.getpid())
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            break
        peak = max(peak, measure._resident_memory(pid))
        if time.monotonic() - start > seconds:
            fault = f"over {seconds:g} s"
        elif peak > memory + base:
            fault = f"over {memory / 2**20:,.0f} MiB"
        if fault:
            os.killpg(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
            break
        time.sleep(measure.POLL)
    texts = []
    for file in files:
        file.seek(0)
        texts.append(file.read(2**20).decode(errors="replace"))
        file.close()
    elapsed, code = time.monotonic() - start, os.waitstatus_to_exitcode(status)
    result = measure.Result(code, *texts, elapsed, usage.ru_maxrss * 1024, fault)
    result.fault = fault or measure.describe_fault(result, may_succeed=False)
    return result


def describe(case: Case, result: measure.Result) -> str | None:
    """Returns the fault of a case, the lines of its error included."""
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    text = result.fault
    if text is None and len(lines) != 1:
        text = f"{len(lines)} lines on stderr"
    if text is None and case.words and not any(word in lines[0] for word in case.words):
        text = f"the error does not contain {' or '.join(case.words)}"
    return text and f"{text}: {' | '.join(lines)[:400]}"


def flag_types(program: str) -> dict[str, str]:
    """Returns the type of each flag of a recipe, in the words of `command_line_cases.WRONG_VALUES`."""
    from absl import flags

    types = {}
    before = set(flags.FLAGS)
    runpy.run_path(str(ROOT / "recipes" / program), run_name="types")
    for flag in (flags.FLAGS[name] for name in sorted(set(flags.FLAGS) - before)):
        kind = getattr(flag.parser, "kind", None) or flag.parser.flag_type()
        kind = {
            "bool": "boolean",
            "int": "integer",
            "string enum": "enum",
            "multi string enum": "enum",
        }.get(kind, kind)
        types[flag.name] = kind
    return types


def make_models() -> int:
    """Writes the model and the image that the cases name."""
    import keras
    import numpy as np

    members = [keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    keras.Sequential([keras.Input((8, 8, 3)), *members], name="net").save("net.keras")
    pixels = np.arange(192, dtype="uint8").reshape(8, 8, 3)
    keras.utils.array_to_img(pixels, scale=False).save("image.png")
    images, labels = np.stack([pixels] * 4), np.array([0, 1, 0, 1])
    np.savez("set.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    return 0


def all_cases(folder: pathlib.Path) -> list[Case]:
    """Returns all cases of all programs."""
    cases = [*mistake_cases()]
    for recipe in RECIPES:

        def write(recipe=recipe):
            pathlib.Path("types.json").write_text(json.dumps(flag_types(recipe)), encoding="utf-8")
            return 0

        in_fork(write, folder, seconds=120)
        types = json.loads((folder / "types.json").read_text(encoding="utf-8"))
        cases += flag_cases(recipe, types)
        (folder / "types.json").unlink()
    return [
        *cases,
        *environment_cases([recipe for recipe in RECIPES if recipe != "serving_client.py"]),
    ]


def command(case: Case) -> list[str]:
    """Returns the command of a case in a new process."""
    if case.program.endswith(".py"):
        return [sys.executable, str(ROOT / "recipes" / case.program), *case.arguments]
    return [sys.executable, "-m", case.program, *case.arguments]


def main() -> int:
    """Runs the cases, and prints their faults and the time."""
    options = measure.parse_arguments(__doc__, cases=40)
    start = time.monotonic()
    help_ = measure.run(
        [sys.executable, str(ROOT / "recipes" / "imagenet.py"), "--help"],
        seconds=300, memory=MEMORY, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    preload()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_files(folder)
        in_fork(make_models, folder, seconds=120)
        cases = [case for case in all_cases(folder) if options.only in case.name]
        chosen = choose(cases, options.cases, options.seed)
        count = len(chosen)
        print(
            f"{count} of {len(cases):,} command lines, of {len({case.program for case in chosen})} programs; at most "
            f"{SECONDS:g} s and {MEMORY / 2**30:g} GiB beyond the imports, which take {help_.seconds:.1f} s",
            flush=True,
        )
        results, slowest = [], 0.0

        def outcomes():
            nonlocal slowest
            for number, case in enumerate(chosen):
                if case.environment or number % REAL_EVERY == 0:
                    env = {"PYTHONPATH": str(ROOT)} | dict(case.environment)
                    if env["PYTHONPATH"] != str(ROOT):
                        env["PYTHONPATH"] = f"{folder / env['PYTHONPATH']}{os.pathsep}{ROOT}"
                    result = measure.run(
                        command(case), seconds=SECONDS + 2 * help_.seconds, memory=MEMORY, cwd=folder, env=env,
                        may_succeed=False,
                    )  # fmt: skip
                else:
                    result = in_fork(lambda case=case: run_program(case), folder)
                    slowest = max(slowest, result.seconds)
                results.append(result)
                if os.environ.get("SHOW_LINES"):
                    print(f"{case.name}\n    {result.stderr.strip()}", flush=True)
                yield case.name, describe(case, result)

        status = measure.report(outcomes())
    print(
        f"{time.monotonic() - start:.0f} s in total; the slowest case in a fork took {slowest:.1f} s; peak memory "
        f"{max((result.memory for result in results), default=0) / 2**20:,.0f} MiB; "
        f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime:.0f} s of CPU in the cases"
    )
    return status


if __name__ == "__main__":
    sys.exit(main())
