"""The flags that all recipes share, and the function that runs a recipe's `main`."""

import functools
import math
import os
import re
import sys
from collections.abc import Callable, Sequence

import tensorflow as tf
from absl import app, flags

from kapps import _errors
from kapps._names import nearest
from kapps.training.checkpoints import TrainingStopped
from kapps.training.distribution.cluster import describe_lost_worker
from kapps.training.distribution.devices import PRECISIONS, STRATEGIES
from kapps.training.flag_types import (
    PathParser,
    define_path,
    resolve_paths,
    try_output_folders,
)

flags.disclaim_key_flags()  # the flags below are flags of the recipe: in its --help and its run.json

LARGEST_INTEGER = 2**31 - 1
"""The largest value of an integer flag: TensorFlow's sizes are int32."""
_MEMORY_FLAGS = ("batch_size", "tokens", "image_size", "length", "units", "limit", "longest")
"""Flags whose smaller values need less memory."""


def define_flags(model_dir: str, export_dir: str = "saved_models") -> None:
    """Defines the flags that all recipes share: devices, precision, seed, checkpoints and output directories.

    Args:
        model_dir: default of --model_dir.
        export_dir: default of --export_dir.
    """
    flags.DEFINE_enum("precision", "auto", list(PRECISIONS), "precision of the computation")
    flags.DEFINE_enum("strategy", "default", list(STRATEGIES), "devices of the training")
    flags.DEFINE_integer(
        "worker_timeout",
        300,
        "seconds that multi_worker waits for the other workers",
        lower_bound=1,
    )
    flags.DEFINE_integer("checkpoint_every", 500, "steps between two checkpoints", lower_bound=1)
    flags.DEFINE_bool(
        "deterministic", False, "repeat results bit for bit on a GPU too, which is slower"
    )
    flags.DEFINE_integer(
        "seed",
        0,
        "seed of the weights, of the order of the examples and of their augmentation",
        lower_bound=0,
    )
    flags.DEFINE_bool(
        "strict_data", False, "stop at an example that cannot be decoded instead of skipping it"
    )
    define_path(
        "model_dir",
        model_dir,
        "directory of checkpoints, model, curves and record, for all workers",
        "output",
    )
    define_path("export_dir", export_dir, "directory of the SavedModel and .tflite files", "output")
    flags.DEFINE_multi_enum(
        "tflite",
        ["float32"],
        ["float32", "float16", "dynamic", "int8", "int16"],
        "precision of a .tflite file; repeat the flag for several files",
    )


def get_flag_values() -> dict:
    """Returns the current values of the recipe's flags by name."""
    recipe_flags = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    return {flag.name: flag.value for flag in recipe_flags}


def run_main(
    main: Callable[[list[str]], None],
    writes: Callable[[], bool] = lambda: True,
    arguments: str | None = None,
) -> None:
    """Parses absl's flags and runs the `main` of a recipe; an error is printed on one line.

    The exit code is 0 on success, 143 after SIGTERM and 130 after Ctrl-C, and 1 after an error.

    Args:
        main: function of a list: the name of the program, and the arguments that are not flags.
        writes: returns whether `main` will write to the output folders with these flags. If it will, they are created
            and written to before `main` is called.
        arguments: what the program takes in addition to flags, such as "images"; `None` if it takes flags only.
    """
    parse = functools.partial(_parse_or_exit, arguments)
    app.run(functools.partial(_run, main, writes), flags_parser=parse)


def _program():
    return os.path.basename(sys.argv[0])


def _parse_or_exit(arguments, argv):
    try:
        return parse_flags(argv, arguments)
    except ValueError as error:
        _errors.print_line(_program(), error)
        sys.exit(1)


def _run(main, writes, argv):
    """Calls `main`, prints its errors on one line without a traceback, and exits."""
    tf.get_logger().setLevel("WARNING")  # otherwise a line for every collective operation
    values = flags.FLAGS
    try:
        strategy = values["strategy"].value if "strategy" in values else "default"
        if writes() and strategy != "multi_worker":  # of several workers only the first one writes
            try_output_folders(values)
        main(argv)
        sys.stdout.flush()
    except TrainingStopped as error:
        _exit(error.code, str(error))
    except (Exception, KeyboardInterrupt) as error:
        lost = describe_lost_worker(error)
        if lost:
            _exit(1, lost)
        names = [f"--{name}" for name in _MEMORY_FLAGS if name in values]
        _errors.print_error(
            _program(),
            error,
            folder=values["model_dir"].value if "model_dir" in values else None,
            memory_advice=f"lower {' or '.join(names)}" if names else "",
        )
        _exit(_errors.INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1)


def _exit(code, message=None):
    if message is not None:
        _errors.print_line(_program(), message)
    # A regular exit of TensorFlow would wait for workers that no longer run.
    os._exit(code)


def parse_flags(argv: Sequence[str], arguments: str | None = None) -> list[str]:
    """Parses the flags of a command line.

    Args:
        argv: program and arguments.
        arguments: what the program takes in addition to flags, such as "images"; `None` if it takes flags only.

    Returns:
        The program and the arguments that are not flags.

    Raises:
        ValueError: for an unknown flag, a wrong value, a flag that is given twice and an argument that is not a flag.
    """
    values = flags.FLAGS
    try:
        _check_doubled(values, argv[1:])
        rest = values(argv)
    except SystemExit as end:  # absl exits with 1 after --help
        sys.exit(0 if end.code == 1 else end.code)
    except flags.UnrecognizedFlagError as error:
        close = nearest(error.flagname, list(values)).replace("Did you mean ", "Did you mean --")
        raise ValueError(
            f"there is no flag --{error.flagname}.{close.replace(' or ', ' or --')} See --help"
        ) from None
    except flags.Error as error:
        raise ValueError(_describe_wrong_value(values, str(error))) from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:  # of --flagfile
        raise ValueError(f"--flagfile cannot be read: {_errors.describe(error)[0]}") from None
    if len(rest) > 1 and arguments is None:
        raise ValueError(_describe_stray(values, argv, rest[1]))
    _check_numbers(values)
    resolve_paths(values)
    return rest


def _describe_wrong_value(values, message):
    match = re.match(r"flag --(\w+)=(.*?): ", message, re.DOTALL)
    if not match or match[1] not in values:
        return message
    name, value, reason = match[1], match[2], message[match.end() :]
    flag, shown = values[name], f"--{name}={value if len(value) <= 100 else value[:97] + '...'}"
    if "must have a value other than None" in reason:
        return f"--{name} is missing"
    allowed = getattr(flag.parser, "enum_values", None)
    if allowed:
        return f"{shown} does not exist.{nearest(value, allowed)} Allowed: {', '.join(allowed)}"
    if flag.boolean:
        return f"{shown} is not true or false: pass --{name} or --no{name}"
    if flag.parser is not None and flag.parser.syntactic_help:
        return f"{shown} is not {flag.parser.syntactic_help}"
    return f"{shown}: {reason}"


def _describe_stray(values, argv, stray):
    name, equals, _ = stray.partition("=")
    before = argv[argv.index(stray) - 1].lstrip("-")
    if before in values and values[before].boolean:
        return f"the argument {stray!r} is not a flag: pass --{before} or --no{before}"
    if name in values:
        return f"the argument {stray!r} is not a flag: did you mean --{stray}?"
    close = nearest(name, list(values)) if equals else ""
    close = close.replace("Did you mean ", "Did you mean --").replace(" or ", " or --")
    return (
        f"the argument {stray!r} is not a flag: flags have the form --name=value.{close} See --help"
    )


def _check_doubled(values, arguments):
    """Raises ValueError if a flag that has one value is given twice."""
    seen, arguments = {}, iter(arguments)
    for argument in arguments:
        if argument == "--" or not argument.startswith("-"):
            return
        name, equals, _ = argument.lstrip("-").partition("=")
        if name.startswith("no") and name not in values and name[2:] in values:
            name = name[2:]
        if name not in values or name in ("flagfile", "undefok"):
            continue
        if not values[name].boolean and not equals:
            argument = f"{argument} {next(arguments, '')}"
        if name in seen and not isinstance(values[name], flags.MultiFlag):
            raise ValueError(
                f"{seen[name]} and {argument} contradict each other: give --{name} once"
            )
        seen[name] = argument


def _check_numbers(values):
    """Raises ValueError for numbers that are not finite, and for integers that TensorFlow cannot hold."""
    for name in values:
        flag = values[name]
        if not flag.present or isinstance(flag.parser, PathParser):
            continue
        for value in flag.value if isinstance(flag.value, list) else [flag.value]:
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"--{name}={value} is not a finite number")
            if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
                shown = str(value)[:30] if abs(value) < 10**30 else "..."
                raise ValueError(f"--{name}={shown} is too large: at most {LARGEST_INTEGER}")
