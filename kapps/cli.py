"""The command line: what models there are, what is known of one, what one takes.

    python -m kapps list 'resn*'
    python -m kapps show resnext50
    python -m kapps profile resnext50 --input 320x320x3 --block
    python -m kapps profile model.keras --layer --csv > layers.csv
    python -m kapps profile resnext50 --html resnext50.html --plot resnext50.png
    python -m kapps table --plot zoo.png
    python -m kapps verify saved_models/resnext50/1.tflite --model=runs/imagenet/model.keras --dataset=digits
    python -m kapps verify saved_models/poem/1 --model=poem.keras --inputs=tokens.npy
    python -m kapps demo saved_models/resnext50/1.tflite

`list` and `show` read the index alone; `profile` builds the model, or loads the file, and runs nothing; `table` does so
for every network whose published figures it has, and runs them only to measure; `verify` runs an exported file beside
its model; `demo` opens one in the browser.
"""

import argparse
import os
import sys

from kapps import _commands, cards


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, without the usage above it."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")


def size(text):
    """Returns (320, 320, 3) from 320x320x3."""
    try:
        lengths = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        lengths = ()
    if not lengths or min(lengths) < 1:
        raise argparse.ArgumentTypeError(f"a size is such as 320x320x3, not {text!r}")
    return lengths


def parser():
    """Returns the parser of the _commands."""
    top = Parser(prog="kapps", description=__doc__.splitlines()[0])
    kinds = top.add_subparsers(
        dest="command", required=True, metavar="list | show | profile | table | verify | demo"
    )
    each = kinds.add_parser("list", help="the models' names")
    each.add_argument("pattern", nargs="?", default="*", help="shell pattern, such as 'resn*'")
    each.add_argument("--kind", choices=cards.KINDS, help="what goes in")
    each = kinds.add_parser("show", help="what is known of a model")
    each.add_argument("name")
    each = kinds.add_parser("profile", help="multiply-accumulates, parameters, memory, fields")
    each.add_argument("model", metavar="NAME|FILE", help="a model's name, or a .keras file")
    each.add_argument("--input", type=size, metavar="320x320x3", help="without the batch")
    each.add_argument("--batch", type=int, default=1)
    each.add_argument("--dtype", default="float32", help="that memory is given at")
    by = each.add_mutually_exclusive_group()
    for what in ("level", "block", "layer"):
        by.add_argument(f"--{what}", dest="by", action="store_const", const=what)
    form = each.add_mutually_exclusive_group()
    for what in ("csv", "json", "html"):
        form.add_argument(
            f"--{what}", nargs="?", const="-", metavar="FILE", help="there, or to standard output"
        )
    each.add_argument("--plot", metavar="FILE", help="by depth, .png, .svg or .pdf")
    each.set_defaults(by="level")
    each = kinds.add_parser("table", help="networks side by side, beside what was published")
    each.add_argument(
        "tables",
        nargs="*",
        metavar="accuracy | regnet",
        help="accuracy and costs; RegNet, EfficientNet",
    )
    form = each.add_mutually_exclusive_group()
    for what in ("csv", "markdown", "html"):
        form.add_argument(
            f"--{what}", nargs="?", const="-", metavar="FILE", help="there, or to standard output"
        )
    each.add_argument("--plot", metavar="FILE", help="accuracy against costs, .png, .svg or .pdf")
    each.add_argument(
        "--measure",
        nargs="?",
        type=int,
        const=8,
        metavar="BATCH",
        help="time the pairs of regnet on this machine [8 images at once]",
    )
    each = kinds.add_parser("verify", help="an exported file beside its model, in its runtime")
    each.add_argument("file", help="a SavedModel's directory or a .tflite file")
    each.add_argument("--model", required=True, help="the .keras file it came from")
    each.add_argument("--dataset", help="a TFDS name, or digits")
    each.add_argument("--data_dir", help="class folders, TFRecord shards, or TFDS's directory")
    each.add_argument(
        "--inputs", metavar="FILE.npy", help="sequences or tokens, as the file takes them"
    )
    each.add_argument("--images", type=int, default=256, help="how many are compared")
    each.add_argument("--difference", type=float, help="most that float32 may differ by [1e-4]")
    each.add_argument("--agreement", type=float, help="least top-1 agreement otherwise [0.98]")
    each.add_argument("--json", nargs="?", const="-", metavar="FILE")
    each = kinds.add_parser("demo", help="a .tflite file in the browser, on this machine alone")
    each.add_argument("file", help="a .tflite file")
    each.add_argument("--port", type=int, default=0, help="[any that is free]")
    return top


def coloured(text):
    """Returns a table with its heading and its total in bold."""
    lines = text.split("\n")
    return "\n".join(
        f"\033[1m{line}\033[0m" if i < 2 or line.startswith("total ") else line
        for i, line in enumerate(lines)
    )


def write(text, path):
    """Writes to a file, each aside first, or to standard output."""
    if path not in (None, "-"):
        from kapps._files import write_atomically

        try:
            with write_atomically(path) as temporary, open(temporary, "w") as file:
                file.write(text + "\n")
        except OSError as error:
            raise _commands.Fault(f"cannot write {path}: {error.strerror}") from error
        return
    print(text, flush=True)


FORMS = ("csv", "json", "markdown", "html")
RUN = {
    "list": _commands.names,
    "show": _commands.card,
    "profile": _commands.profile,
    "table": _commands.table,
    "verify": _commands.verify,
    "demo": _commands.demo,
}


def main(arguments=None):
    """Runs one command; returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        text = RUN[options.command](options)
        path = next(filter(None, (getattr(options, form, None) for form in FORMS)), None)
        is_table = options.command == "profile" and path is None
        if is_table and sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
            text = coloured(text)
        if text is not None:
            write(text, path)
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (_commands.Fault, ValueError) as fault:
        print(f"kapps: {fault}", file=sys.stderr)
        return 1
    return 0

