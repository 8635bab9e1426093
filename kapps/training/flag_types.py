"""Types of flags: paths, and numbers in a range. Wrong values are found before anything is trained."""

import os
import pathlib
from collections.abc import Iterable

from absl import flags

from kapps._files import temporary_directory
from kapps._local_paths import local_path, nearest_parent
from kapps._names import nearest
from kapps._values import split_address

flags.disclaim_key_flags()  # the flags are flags of the recipe

KINDS = ("output", "file", "folder", "data")
"""Kinds of paths: a folder to write to, an existing file, an existing folder, and a file or folder of data."""


class PathParser(flags.ArgumentParser):
    """Parses a local path of one kind; `names` are values that are no paths, such as "imagenet"."""

    syntactic_help = "a local path"

    def __init__(self, kind: str, names: tuple[str, ...] = ()):
        super().__init__()
        self.kind, self.names = kind, names

    def flag_type(self) -> str:
        return "path"

    def parse(self, argument: str) -> str:
        return argument


class PositiveParser(flags.ArgumentParser):
    """Parses a number that is larger than 0."""

    def __init__(self, upper_bound: float):
        super().__init__()
        self.upper_bound = upper_bound
        self.syntactic_help = f"a number above 0 and at most {upper_bound:g}"

    def flag_type(self) -> str:
        return "float"

    def parse(self, argument: str | float) -> float:
        value = float(argument)
        if not 0 < value <= self.upper_bound:
            raise ValueError(f"{value} is not {self.syntactic_help}")
        return value


class AddressParser(flags.ArgumentParser):
    """Parses HOST:PORT."""

    syntactic_help = "HOST:PORT, such as 10.0.0.1:5050"

    def flag_type(self) -> str:
        return "address"

    def parse(self, argument: str) -> str:
        split_address(argument)
        return argument


def define_address(name: str, default: str | None, description: str) -> None:
    """Defines a flag that is HOST:PORT.

    Args:
        name: name of the flag.
        default: default value.
        description: of the flag, for --help.
    """
    flags.DEFINE(AddressParser(), name, default, description)


def define_path(
    name: str,
    default: str | None,
    description: str,
    kind: str = "data",
    names: tuple[str, ...] = (),
) -> None:
    """Defines a flag that is a path. `resolve_paths` makes its value absolute and examines it.

    Args:
        name: name of the flag.
        default: default value.
        description: of the flag, for --help.
        kind: one of `KINDS`.
        names: values that are no paths, such as "imagenet".
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} does not exist. Allowed: {', '.join(KINDS)}")
    flags.DEFINE(PathParser(kind, names), name, default, description)


def define_positive(
    name: str, default: float | None, description: str, upper_bound: float = 1000.0
) -> None:
    """Defines a flag that is a number above 0, such as a learning rate.

    Args:
        name: name of the flag.
        default: default value.
        description: of the flag, for --help.
        upper_bound: the largest value.
    """
    flags.DEFINE(PositiveParser(upper_bound), name, default, description)


def path_flags(values: flags.FlagValues, *kinds: str) -> list[flags.Flag]:
    """Returns the flags of `define_path` that have a path as value, of the given kinds."""
    return [
        flag
        for flag in (values[name] for name in values)
        if isinstance(flag.parser, PathParser)
        and flag.value is not None
        and flag.value not in flag.parser.names
        and (not kinds or flag.parser.kind in kinds)
    ]


def resolve_paths(values: flags.FlagValues) -> None:
    """Makes the values of all path flags absolute, with "~" replaced by the home directory, and examines them.

    Args:
        values: the parsed flags.

    Raises:
        ValueError: for a remote path, a missing file, a file in place of a folder, and the reverse.
    """
    for flag in path_flags(values):
        option = f"--{flag.name}"
        flag.value = path = os.path.abspath(local_path(flag.value, option))
        kind, parent = flag.parser.kind, nearest_parent(path)
        if kind == "output" and not os.path.isdir(parent):
            raise ValueError(
                f"{option}={path}: {parent} is a file, not a folder; pass another folder"
            )
        if kind in ("file", "folder") and not os.path.exists(path):
            raise ValueError(f"{option}={path} does not exist: pass an existing {kind}")
        if kind == "file" and os.path.isdir(path):
            raise ValueError(f"{option}={path} is a folder: pass a file")
        if kind == "folder" and not os.path.isdir(path):
            raise ValueError(f"{option}={path} is a file: pass a folder")
        if kind in ("file", "folder") and not os.access(path, os.R_OK):
            raise ValueError(f"{option}={path} cannot be read: permission denied")


def try_output_folders(values: flags.FlagValues) -> None:
    """Creates each output folder and writes a file to it, and removes what was created.

    Args:
        values: the parsed flags.

    Raises:
        ValueError: for a folder that cannot be written.
    """
    for flag in path_flags(values, "output"):
        try:
            try_folder(flag.value)
        except OSError as error:
            raise ValueError(
                f"--{flag.name}={flag.value} cannot be written: {error.strerror or error}; pass another folder"
            ) from error


def try_folder(folder: str | os.PathLike) -> None:
    """Creates a folder and writes a file to it, and removes what was created.

    Raises:
        OSError: if one of these fails.
    """
    with temporary_directory(pathlib.Path(folder)) as directory:
        directory.joinpath("trial").write_bytes(bytes(4096))


def forbid_both(first: str, second: str, reason: str) -> None:
    """Raises ValueError if two flags are on the command line that contradict each other.

    Args:
        first: name of a flag.
        second: name of the other flag.
        reason: why only one of them can be given, and what to do.
    """
    values = flags.FLAGS
    if values[first].present and values[second].present:
        raise ValueError(
            f"--{first}={values[first].value} and --{second}={values[second].value} contradict each other: {reason}"
        )


def names_of_list(flag: str, allowed: Iterable[str]) -> list[str]:
    """Returns the names of a flag that is a list.

    Args:
        flag: name of the flag.
        allowed: the names that exist.

    Raises:
        ValueError: for an empty list, an unknown name and a name that is given twice.
    """
    names, allowed = flags.FLAGS[flag].value, list(allowed)
    if not names or names == [""]:
        raise ValueError(f"--{flag} is empty. Allowed: {', '.join(allowed)}")
    for name in names:
        if name not in allowed:
            raise ValueError(
                f"--{flag}={name} does not exist.{nearest(name, allowed)} Allowed: {', '.join(allowed)}"
            )
        if names.count(name) > 1:
            raise ValueError(f"--{flag} has {name} twice: give each name once")
    return names


def forbid_without(flag: str, needed: str, is_given: bool) -> None:
    """Raises ValueError if a flag is on the command line that has no effect with the other flags.

    Args:
        flag: name of the flag.
        needed: what the flag needs, such as "--tokens=words".
        is_given: whether the other flags are so.
    """
    value = flags.FLAGS[flag]
    if value.present and not is_given:
        raise ValueError(
            f"--{flag}={value.value} has no effect without {needed}: remove it, or pass {needed}"
        )
