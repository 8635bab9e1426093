"""The command line: what models there are, what is known of one, what one takes.

    python -m kapps list 'resn*'
    python -m kapps show resnext50
    python -m kapps profile resnext50 --input 320x320x3 --block
    python -m kapps profile model.keras --layer --csv > layers.csv
    python -m kapps profile resnext50 --html resnext50.html --plot resnext50.png
    python -m kapps table --plot zoo.png
    python -m kapps verify saved_models/resnext50/1.tflite --model=runs/imagenet/model.keras --dataset=digits
    python -m kapps demo saved_models/resnext50/1.tflite

`list` and `show` read the index alone; `profile` builds the model, or loads the file, and runs nothing; `table` does so
for every network whose published figures it has, and runs them only to measure; `verify` runs an exported file beside
its model; `demo` opens one in the browser.
"""

import argparse
import json
import os
import sys

from kapps import cards


class Fault(Exception):  # noqa: N818  # it is the user's, and one line says what it is
    """Something that the user can mend."""


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
    """Returns the parser of the commands."""
    top = Parser(prog="python -m kapps", description=__doc__.splitlines()[0])
    commands = top.add_subparsers(
        dest="command", required=True, metavar="list | show | profile | table | verify | demo"
    )
    each = commands.add_parser("list", help="the models' names")
    each.add_argument("pattern", nargs="?", default="*", help="shell pattern, such as 'resn*'")
    each = commands.add_parser("show", help="what is known of a model")
    each.add_argument("name")
    each = commands.add_parser("profile", help="multiply-accumulates, parameters, memory, fields")
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
    each = commands.add_parser("table", help="networks side by side, beside what was published")
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
        help="time the pairs of regnet on this machine [8 pictures at once]",
    )
    each = commands.add_parser("verify", help="an exported file beside its model, in its runtime")
    each.add_argument("file", help="a SavedModel's directory or a .tflite file")
    each.add_argument("--model", required=True, help="the .keras file it came from")
    each.add_argument("--dataset", help="a TFDS name, or digits")
    each.add_argument("--data_dir", help="class folders, TFRecord shards, or TFDS's directory")
    each.add_argument("--pictures", type=int, default=256, help="how many are compared")
    each.add_argument("--difference", type=float, help="most that float32 may differ by [1e-4]")
    each.add_argument("--agreement", type=float, help="least top-1 agreement otherwise [0.98]")
    each.add_argument("--json", nargs="?", const="-", metavar="FILE")
    each = commands.add_parser("demo", help="a .tflite file in the browser, on this machine alone")
    each.add_argument("file", help="a .tflite file")
    each.add_argument("--port", type=int, default=0, help="[any that is free]")
    return top


def names(options):
    """Returns the names that match, a line each."""
    found = cards.list_models(options.pattern)
    if not found:
        near = cards.nearest(options.pattern, cards.list_models())
        raise Fault(f"no model's name matches {options.pattern!r}.{near}")
    return "\n".join(found)


def card(options):
    """Returns a model's card as text, and the sources of its figures."""
    known = cards.card(options.name)
    steps = known.preprocessing
    lines = {
        "name": known.name,
        "family": f"{known.family} ({known.module})",
        "paper": known.paper,
        "year": known.year or "",
        "parameters": f"{known.params:,} trainable, {known.classes:,} classes",
        "MACs": f"{known.macs:,}" if known.macs else "",
        "input": "x".join(map(str, known.input_shape)) + f", at least {known.minimum} pixels",
        "preprocessing": f"{steps.interpolation} to {'x'.join(map(str, steps.size))}, crop {steps.crop}, "
        f"scale {steps.scale:.6g}, mean {_numbers(steps.mean)}, std {_numbers(steps.std)}",
        "weights": "none are published; weights= takes a .weights.h5 file",
    }
    return "\n".join(f"{key:14} {value}" for key, value in lines.items() if value)


def _numbers(values):
    return " ".join(f"{value:g}" for value in values)


def profile(options):
    """Returns a model's profile as text, CSV, JSON or a page."""
    model = build(options)
    from kapps.analysis import profile, sheets

    found = profile(model, options.input, options.batch, options.dtype)
    if options.plot:
        picture(lambda: found.plot(options.plot), options.plot)
    if options.json:
        totals = {"name": found.name, "inputs": found.inputs, "dtype": found.dtype}
        totals |= {name: getattr(found, name) for name in ("macs", "additions", "elementwise")}
        totals |= {name: getattr(found, name) for name in ("trainable", "non_trainable")}
        totals |= {name: getattr(found, name) for name in ("inference_bytes", "training_bytes")}
        return json.dumps({**totals, options.by + "s": found.records(options.by)}, indent=1)
    if options.csv:
        return sheets.comma_separated(found.records(options.by))
    if options.html:
        return found.page()
    return found.table(options.by)


def table(options):
    """Returns tables of networks as text, CSV, Markdown or HTML."""
    from kapps.analysis import plotting, profile, sheets, zoo

    wanted = options.tables or list(zoo.NAMES)
    for name in wanted:
        if name not in zoo.NAMES:
            raise Fault(f"there is no table {name!r}: {' and '.join(zoo.NAMES)}")
    if options.csv and len(wanted) > 1:
        raise Fault("a CSV file holds one table: say accuracy or regnet")
    if options.measure is not None and options.measure < 1:
        raise Fault(f"--measure={options.measure}: at least 1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import kapps

    here, profiles, times = set(cards.list_models()), {}, {}
    for name in dict.fromkeys(builder for each in wanted for builder in zoo.builders(each)):
        if name in here:
            profiles[name] = profile(getattr(kapps, name)())
    if options.plot:
        picture(lambda: plotting.zoo(zoo.points(profiles), options.plot), options.plot)
    if options.measure and "regnet" in wanted:
        for pair in zoo.pairs():
            models = {name: getattr(kapps, name)() for name in pair if name in here}
            times |= zoo.seconds(models, options.measure)
    made = {
        "accuracy": lambda: zoo.accuracy(profiles),
        "regnet": lambda: zoo.regnet(profiles, times),
    }
    found = [made[name]() for name in wanted]
    if options.csv:
        return sheets.comma_separated(found[0].records)
    if options.html:
        return sheets.page(found)
    return "\n\n".join(each.markdown() if options.markdown else each.text() for each in found)


def picture(draw, path):
    """Draws to a file."""
    try:
        draw()
    except OSError as error:
        raise Fault(f"cannot write {path}: {error.strerror}") from error


def verify(options):
    """Returns what an exported file gives beside its model; a file that falls short is a fault."""
    options.input = None
    if not (options.dataset or options.data_dir):
        raise Fault("no pictures: give --data_dir, or --dataset=digits")
    if options.pictures < 1:
        raise Fault(f"--pictures={options.pictures}: at least 1")
    if not os.path.exists(options.file):
        raise Fault(f"there is no file {options.file}")
    if not options.model.endswith(".keras"):
        raise Fault(f"{options.model} is no .keras file")
    model = build(options)
    from kapps.export.checking import check

    report = check(options.file, model, options.dataset, options.data_dir, options.pictures)
    given = {"difference": options.difference, "agreement": options.agreement}
    fault = report.fault(**{key: value for key, value in given.items() if value is not None})
    if fault:
        raise Fault(fault)
    return json.dumps(report.record(), indent=1) if options.json else str(report)


def demo(options):
    """Serves the page until the user ends it; there is nothing to print then."""
    import webbrowser

    from kapps.export import demo

    server = demo.server(options.file, demo.litert_js(), options.port)
    url = f"http://{demo.HOST}:{server.server_address[1]}"
    print(f"{options.file} at {url} (Ctrl+C ends it)", flush=True)
    webbrowser.open(url)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


def build(options):
    """Returns the model of a name or a file."""
    is_file = options.model.endswith((".keras", ".h5")) or os.path.exists(options.model)
    if is_file and not options.model.endswith(".keras"):
        raise Fault(f"{options.model} is no .keras file")
    if is_file and not os.path.exists(options.model):
        raise Fault(f"there is no file {options.model}")
    if not is_file:
        known = cards.card(options.model)  # a misspelt name is refused before Keras is loaded
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    if not is_file:
        import kapps

        return getattr(kapps, known.name)(input_shape=options.input)
    try:
        return keras.saving.load_model(options.model, compile=False, safe_mode=True)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Fault(f"{options.model} cannot be loaded: {reason}") from error


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
        from kapps.files import aside

        try:
            with aside(path) as temporary, open(temporary, "w") as file:
                file.write(text + "\n")
        except OSError as error:
            raise Fault(f"cannot write {path}: {error.strerror}") from error
        return
    print(text, flush=True)


FORMS = ("csv", "json", "markdown", "html")


def main(arguments=None):
    """Runs one command; returns the exit code."""
    options = parser().parse_args(arguments)
    commands = {"list": names, "show": card, "profile": profile}
    commands |= {"table": table, "verify": verify, "demo": demo}
    run = commands[options.command]
    try:
        text = run(options)
        path = next(filter(None, (getattr(options, form, None) for form in FORMS)), None)
        is_table = options.command == "profile" and path is None
        if is_table and sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
            text = coloured(text)
        if text is not None:
            write(text, path)
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (Fault, ValueError) as fault:
        print(f"python -m kapps: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
