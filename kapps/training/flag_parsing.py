"""Reads the flags of a command line: each mistake is one line, with the nearest match. Does not import TensorFlow."""

import math
import os
import re
import sys
from collections.abc import Sequence

from absl import flags

from kapps import _errors
from kapps._names import nearest
from kapps.training.flag_types import PathParser, resolve_paths

flags.disclaim_key_flags()  # the flags are flags of the recipe

LARGEST_INTEGER = 2**31 - 1
"""The largest value of an integer flag: TensorFlow's sizes are int32."""


def parse_or_exit(argv: Sequence[str], arguments: str | None = None) -> list[str]:
    """Does what `parse_flags` does; after an error it prints one line and ends the program with exit status 1."""
    try:
        return parse_flags(argv, arguments)
    except ValueError as error:
        _errors.print_line(os.path.basename(sys.argv[0]), error)
        sys.exit(1)


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
    if message.startswith("Missing value for flag "):
        name = message.split()[-1].lstrip("-")
        return f"--{name} has no value: pass --{name}=VALUE"
    if "Unable to open flagfile" in message:
        return f"--flagfile cannot be read: {message.partition('] ')[2] or message}"
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
    if "--" in argv:
        return f"the argument {stray!r} after -- is not read as a flag: remove the --"
    before = argv[argv.index(stray) - 1].lstrip("-") if stray in argv else ""
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
