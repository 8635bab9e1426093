"""The parser of the command lines that argparse reads: each mistake is one line, with the nearest match."""

import argparse
import math
import os
from collections.abc import Callable, Sequence

from kapps import _errors
from kapps._local_paths import local_path, nearest_parent
from kapps._names import nearest

PLOTS = (".png", ".svg", ".pdf")
"""Suffixes of plots."""


class _StoreOnce(argparse.Action):
    """Stores a value, and rejects a second one."""

    def __call__(self, _, namespace, values, option_string=None):
        stored = namespace.__dict__.setdefault("_stored", set())
        if option_string and self.dest in stored:
            raise argparse.ArgumentError(self, f"given twice, the second time with {values!r}")
        stored.add(self.dest)
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """Prints an error in one line, without the usage, and exits with status 2.

    Options cannot be abbreviated, and no option can be given twice.
    """

    def __init__(self, **options):
        super().__init__(
            **{
                "formatter_class": argparse.RawDescriptionHelpFormatter,
                **options,
                "allow_abbrev": False,
            }
        )
        for name in (None, "store"):
            self.register("action", name, _StoreOnce)

    def error(self, message):
        _errors.print_line(self.prog, message)
        self.exit(2)

    def parse_args(self, args: Sequence[str] | None = None, namespace=None):
        options, unknown = self.parse_known_args(args, namespace)
        vars(options).pop("_stored", None)
        if unknown:
            name, equals, _ = unknown[0].partition("=")
            names = self.option_names()
            if equals and f"--{name}" in names:
                self.error(
                    f"the argument {unknown[0]!r} is not an option: did you mean --{unknown[0]}?"
                )
            self.error(f"unknown argument {unknown[0]!r}.{nearest(name, names)} See --help")
        return options

    def option_names(self) -> list[str]:
        """Returns the options of this parser and of its commands."""
        names = [name for action in self._actions for name in action.option_strings]
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    names += parser.option_names()
        return list(dict.fromkeys(names))

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            allowed = list(map(str, action.choices))
            raise argparse.ArgumentError(
                action,
                f"{value!r} does not exist.{nearest(str(value), allowed)} Allowed: {', '.join(allowed)}",
            )


def integer(low: int, high: int) -> Callable[[str], int]:
    """Returns a type of an argument: an integer from `low` to `high`."""

    def parse(text):
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not an integer from {low} to {high}")
        return value

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """Returns a type of an argument: a finite number from `low` to `high`."""

    def parse(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return value

    return parse


def path(text: str) -> str:
    """The type of an argument that is a local path, or the name of a builder."""
    try:
        return os.fspath(local_path(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("path=")) from None


def plot_path(text: str) -> str:
    """The type of an argument that is the path of a plot to write."""
    if not text.lower().endswith(PLOTS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a file of {', '.join(PLOTS)}")
    return output_path(text)


def output_path(text: str) -> str:
    """The type of an argument that is the path of a file to write, or "-" for standard output."""
    if text == "-":
        return text
    file = path(text)
    parent = nearest_parent(os.path.dirname(os.path.abspath(file)))
    if os.path.isdir(file):
        raise argparse.ArgumentTypeError(f"cannot write {text}: it is a folder; pass a file")
    if not os.path.isdir(parent):
        raise argparse.ArgumentTypeError(f"cannot write {text}: {parent} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"cannot write {text}: {parent} cannot be written")
    return file
