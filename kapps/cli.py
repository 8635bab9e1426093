"""The command line: lists, describes, profiles and runs models.

    kapps list 'resn*'
    kapps show resnext50
    kapps predict resnet50 cat.jpg dog.jpg --weights imagenet
    kapps predict runs/flowers/model.keras rose.jpg --labels labels.txt --json
    kapps profile resnext50 --input 320x320x3 --block
    kapps profile model.keras --layer --csv > layers.csv
    kapps profile resnext50 --html resnext50.html --plot resnext50.png
    kapps table --plot accuracy.png
    kapps visualize resnet50 cat.jpg --weights imagenet --html cat.html
    kapps visualize runs/poem --text "Two roads diverged" --html poem.html
    kapps export resnet50 saved_models --weights imagenet --tflite float16 --tflite_in_saved_model
    kapps verify saved_models/resnext50/1.tflite --model=runs/imagenet/model.keras --dataset=digits
    kapps verify saved_models/poem/1 --model=poem.keras --inputs=tokens.npy
    kapps demo saved_models/resnext50/1.tflite

`python -m kapps` is the same command. `list` and `show` do not load Keras. The exit status is 0 for success, 1 if a
verification fails or an image cannot be read, and 2 for a wrong argument.
"""

import argparse
import math
import os
import sys
from collections.abc import Sequence

from kapps import (
    _commands,
    _errors,
    _export_command,
    _interrupts,
    _visualize_arguments,
    _visualize_command,
    cards,
)
from kapps._arguments import Parser, integer, output_path, path, plot_path
from kapps._export_arguments import OUTPUT, PREPROCESSING, add_demo, add_export, add_verify

LARGEST_INPUT = 2**28
"""Number of values of the largest input."""


def size(text: str) -> tuple[int, ...]:
    """Returns (320, 320, 3) for "320x320x3"."""
    try:
        lengths = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        lengths = ()
    if not lengths or min(lengths) < 1 or len(lengths) > 8:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 320x320x3")
    if math.prod(lengths) > LARGEST_INPUT:
        raise argparse.ArgumentTypeError(
            f"{text!r} has {math.prod(lengths):,} values: at most {LARGEST_INPUT:,}"
        )
    return lengths


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the commands."""
    top = Parser(prog="kapps", description=__doc__)
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    add_list(commands.add_parser("list", help="list the names of the models"))
    add_show(commands.add_parser("show", help="show a model's card"))
    add_predict(commands.add_parser("predict", help="classify images"))
    add_profile(
        commands.add_parser("profile", help="count multiply-accumulates, parameters and memory")
    )
    add_table(commands.add_parser("table", help="compare networks with published results"))
    _visualize_arguments.add_arguments(
        commands.add_parser("visualize", help="show what is inside a model, as a page"),
        output_help=OUTPUT, preprocessing_help=PREPROCESSING,
    )  # fmt: skip
    add_export(commands.add_parser("export", help="write an image model for servers and phones"))
    add_verify(commands.add_parser("verify", help="compare an exported file with its model"))
    add_demo(commands.add_parser("demo", help="run a .tflite file in the browser"))
    return top


def add_list(command):
    """Adds the arguments of `kapps list`."""
    command.add_argument("pattern", nargs="?", default="*", help="shell pattern, such as 'resn*'")
    command.add_argument("--kind", choices=cards.KINDS, help="kind of input")


def add_show(command):
    """Adds the arguments of `kapps show`."""
    command.add_argument("name", help="a builder's name")


def add_predict(command):
    """Adds the arguments of `kapps predict`."""
    command.add_argument(
        "model", type=path, metavar="MODEL", help="a builder's name or a .keras file"
    )
    command.add_argument(
        "images", nargs="+", type=path, metavar="IMAGE", help="JPEG, PNG, GIF, BMP or WebP"
    )
    command.add_argument(
        "--weights", type=path, help='of a builder: "imagenet" (downloaded once) or a weights file'
    )
    command.add_argument(
        "--top", type=integer(1, 10**6), default=5, help="number of classes to print [5]"
    )
    command.add_argument(
        "--labels", type=path, metavar="FILE", help="class names, one a line [ImageNet's]"
    )
    command.add_argument("--preprocessing", "--card", metavar="NAME", help=PREPROCESSING)
    command.add_argument(
        "--json", type=output_path, nargs="?", const="-", metavar="FILE", help=OUTPUT
    )


def add_profile(command):
    """Adds the arguments of `kapps profile`."""
    command.add_argument(
        "model", type=path, metavar="NAME|FILE", help="a builder's name or a .keras file"
    )
    command.add_argument(
        "--input", type=size, metavar="320x320x3", help="input shape without the batch"
    )
    command.add_argument("--batch", type=integer(1, 2**20), default=1, help="batch size [1]")
    command.add_argument("--dtype", default="float32", help="dtype of the memory [float32]")
    rows = command.add_mutually_exclusive_group()
    for name in ("level", "block", "layer"):
        rows.add_argument(
            f"--{name}", dest="by", action="store_const", const=name, help=f"one row a {name}"
        )
    forms = command.add_mutually_exclusive_group()
    for name in ("csv", "json", "html"):
        forms.add_argument(
            f"--{name}", type=output_path, nargs="?", const="-", metavar="FILE", help=OUTPUT
        )
    command.add_argument(
        "--plot", type=plot_path, metavar="FILE", help="plot by depth, .png, .svg or .pdf"
    )
    command.set_defaults(by="level")


def add_table(command):
    """Adds the arguments of `kapps table`."""
    command.add_argument(
        "tables",
        nargs="*",
        metavar="accuracy | regnet",
        help="accuracy and costs; RegNet and EfficientNet [both]",
    )
    forms = command.add_mutually_exclusive_group()
    for name in ("csv", "markdown", "html"):
        forms.add_argument(
            f"--{name}", type=output_path, nargs="?", const="-", metavar="FILE", help=OUTPUT
        )
    command.add_argument(
        "--plot",
        type=plot_path,
        metavar="FILE",
        help="plot of accuracy against costs, .png, .svg or .pdf",
    )
    command.add_argument(
        "--measure",
        nargs="?",
        type=integer(1, 4096),
        const=8,
        metavar="BATCH",
        help="time the pairs of the table regnet on this machine [batches of 8 images]",
    )


FORMS = ("csv", "json", "markdown", "html")
RUN = {
    "list": _commands.list_models,
    "show": _commands.show,
    "predict": _commands.predict,
    "profile": _commands.profile,
    "table": _commands.table,
    "visualize": _visualize_command.visualize,
    "export": _export_command.export,
    "verify": _export_command.verify,
    "demo": _export_command.demo,
}


def bold(text: str) -> str:
    """Returns a table with its heading and its total in bold."""
    lines = text.split("\n")
    return "\n".join(
        f"\033[1m{line}\033[0m" if i < 2 or line.startswith("total ") else line
        for i, line in enumerate(lines)
    )


def write(text: str, path: str | None) -> None:
    """Writes text to a file, in one step, or to standard output."""
    if path in (None, "-"):
        print(text, flush=True)
        return
    from kapps._files import write_atomically

    try:
        with write_atomically(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise _commands.UserError(f"cannot write {path}: {error.strerror}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: those of the command line, `sys.argv[1:]` by default.

    Returns:
        The exit status.
    """
    if arguments is None:  # a process of its own
        _interrupts.install("kapps", "")
    top = parser()
    try:
        options = top.parse_args(arguments)
    except SystemExit as stop:  # of argparse, after --help or an error
        return stop.code
    if options.command is None:
        top.print_help()
        return 0
    return _errors.run(lambda: _run(options), "kapps")


def _run(options):
    text, status = RUN[options.command](options)
    path = next(filter(None, (getattr(options, form, None) for form in FORMS)), None)
    is_table = options.command == "profile" and path is None
    if is_table and sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        text = bold(text)
    if text is not None:
        write(text, path)
    return status
