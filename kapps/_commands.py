"""The commands of `kapps`: each takes the parsed options and returns (text to write or None, exit status)."""

import json
import os
import sys

from kapps import _errors, _names, cards, pretrained
from kapps._log_lines import without_log_lines

# TensorFlow logs harmless lines as errors. A real error is also an exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class UserError(Exception):
    """A wrong argument; the message is printed in one line."""


def print_error(message) -> None:
    """Prints one line to standard error."""
    _errors.print_line("kapps", message)


def list_models(options):
    """Lists the names that match a pattern, one a line."""
    names = cards.list_models(options.pattern, options.kind)
    if not names:
        kind = f" of kind {options.kind}" if options.kind else ""
        nearest = _names.nearest(options.pattern, cards.list_models(kind=options.kind))
        raise UserError(f"no model{kind} has a name that matches {options.pattern!r}.{nearest}")
    return "\n".join(names), 0


def show(options):
    """Shows a model's card."""
    card = cards.card(options.name)
    image = card.kind == "image"
    preprocessing = card.preprocessing
    sizes = {"tokens": card.vocabulary, "classes": card.classes}
    sizes = "".join(f", {size:,} {name}" for name, size in sizes.items() if size)
    shape = "x".join("any" if size is None else str(size) for size in card.input_shape)
    lines = {
        "name": card.name,
        "family": f"{card.family} ({card.module})",
        "paper": card.paper,
        "year": card.year or "",
        "parameters": f"{card.params:,} trainable{sizes}",
        "MACs": f"{card.macs:,}" if card.macs else "",
        "input": f"{shape}, at least {card.minimum} pixels" if image else f"{card.kind} {shape}",
        "preprocessing": preprocessing
        and f"{preprocessing.interpolation} to {'x'.join(map(str, preprocessing.size))}, "
        f"crop {preprocessing.crop}, scale {preprocessing.scale:.6g}, "
        f"mean {_numbers(preprocessing.mean)}, std {_numbers(preprocessing.std)}",
        "padding": card.padding and f"{card.padding}, where convolutions and poolings have strides",
        "weights": pretrained.describe_checkpoint(card.name),
    }
    return "\n".join(f"{key:14} {value}" for key, value in lines.items() if value), 0


def _numbers(values):
    return " ".join(f"{value:g}" for value in values)


def predict(options):
    """Predicts the classes of images, after the preprocessing that the model records."""
    check_weights(options)
    class_names = read_labels(options.labels) if options.labels else None
    model = load_model(options.model, weights=options.weights)
    import kapps
    from kapps.model_record import main_output

    preprocessing = print_preprocessing(model, options.preprocessing)
    _check_labels(options, class_names, model)
    size, channels = input_size(model)
    results, status = [], 0
    for path in options.images:
        try:
            batch = kapps.preprocess(path, preprocessing, size=size, channels=channels)
        except ValueError as error:
            print_error(error)
            status = 1
            continue
        scores = model.predict(batch, verbose=0)
        scores = scores[main_output(model.output_names)] if isinstance(scores, list) else scores
        top = min(options.top, scores.shape[-1])
        results.append((path, kapps.decode_predictions(scores, top, class_names)[0]))
    if not results:
        return None, status
    if options.json:
        keys = ("class", "name", "probability")
        rows = [
            {"image": path, "predictions": [dict(zip(keys, row, strict=True)) for row in rows]}
            for path, rows in results
        ]
        return json.dumps(rows, indent=1), status
    lines = []
    for path, rows in results:
        lines.append(path)
        lines += [f"  {score:7.4f}  {name}" for _, name, score in rows]
    return "\n".join(lines), status


def print_preprocessing(model, passed):
    """Returns the preprocessing of a model's images, and prints it on standard error if it is not the recorded one."""
    from kapps.model_preprocessing import find_preprocessing_of_option

    preprocessing, text = find_preprocessing_of_option(model, passed)
    if text != "recorded in the model":
        print(f"preprocessing: {preprocessing} ({text})", file=sys.stderr)
    return preprocessing


def _check_labels(options, class_names, model):
    from kapps.model_record import main_output
    from kapps.predictions import IMAGENET_CLASSES

    outputs = model.output_shape
    classes = (outputs[main_output(model.output_names)] if isinstance(outputs, list) else outputs)[
        -1
    ]
    if class_names is None and classes != IMAGENET_CLASSES:
        raise UserError(
            f"{options.model} has {classes} classes, and ImageNet has {IMAGENET_CLASSES}: pass --labels=FILE with one "
            "name a line (an exported SavedModel has assets/labels.txt)"
        )
    if class_names is not None and len(class_names) != classes:
        raise UserError(
            f"--labels={options.labels} has {len(class_names)} names, and {options.model} has {classes} classes"
        )


def read_labels(path: str) -> list[str]:
    """Returns the class names of a text file, one a line."""
    with without_log_lines():
        from kapps.data.text_files import read_class_names

    try:
        return list(read_class_names(path))
    except ValueError as error:
        raise UserError(f"cannot read --labels={path}: {error}") from error


def profile(options):
    """Profiles a model, as text, CSV, JSON or a page."""
    model = load_model(options.model, input_shape=options.input)
    from kapps import tables
    from kapps.analysis import html_page, profile

    result = profile(model, options.input, options.batch, options.dtype)
    if options.plot:
        from kapps.visualize import plot_profile

        save_plot(lambda: plot_profile(result, options.plot), options.plot)
    if options.json:
        names = ("name", "inputs", "dtype", "macs", "additions", "elementwise", "trainable")
        names += ("non_trainable", "inference_bytes", "training_bytes")
        totals = {name: getattr(result, name) for name in names}
        return json.dumps({**totals, options.by + "s": result.records(options.by)}, indent=1), 0
    if options.csv:
        return tables.to_csv(result.records(options.by)), 0
    if options.html:
        return html_page(result), 0
    return result.table(options.by), 0


def table(options):
    """Writes tables of networks, as text, CSV, Markdown or HTML."""
    from kapps import tables

    with without_log_lines():
        from kapps.analysis import profile, published_results

    names = options.tables or list(published_results.TABLE_NAMES)
    for name in names:
        if name not in published_results.TABLE_NAMES:
            allowed = " and ".join(published_results.TABLE_NAMES)
            raise UserError(f"there is no table {name!r}. Allowed: {allowed}")
    if options.csv and len(names) > 1:
        raise UserError("a CSV file holds one table: pass accuracy or regnet")
    import kapps

    profiles, times = {}, {}
    builders = [name for table in names for name in published_results.table_builders(table)]
    for name in dict.fromkeys(builders):
        if name in cards.list_models():
            profiles[name] = profile(getattr(kapps, name)())
    if options.plot:
        from kapps.visualize import plot_accuracy

        points = published_results.accuracy_points(profiles)
        save_plot(lambda: plot_accuracy(points, options.plot), options.plot)
    if options.measure and "regnet" in names:
        for pair in published_results.regnet_pairs():
            models = {name: getattr(kapps, name)() for name in pair if name in cards.list_models()}
            times |= published_results.measure_seconds(models, options.measure)
    make = {
        "accuracy": lambda: published_results.accuracy_table(profiles),
        "regnet": lambda: published_results.regnet_table(profiles, times),
    }
    results = [make[name]() for name in names]
    if options.csv:
        return tables.to_csv(results[0].records), 0
    if options.html:
        return tables.html_page(results), 0
    texts = [table.markdown() if options.markdown else table.text() for table in results]
    return "\n\n".join(texts), 0


def save_plot(draw, path: str) -> None:
    """Calls a function that writes a plot to a file."""
    try:
        draw()
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def is_model_file(model: str) -> bool:
    """Whether an argument is the path of a .keras file and not a builder's name.

    Raises:
        UserError: for the path of another file, and for a file that does not exist.
    """
    is_file = os.path.splitext(model)[1] in (".keras", ".h5", ".tflite") or os.path.exists(model)
    if is_file and not model.endswith(".keras"):
        raise UserError(f"{model} is not a .keras file or a builder's name")
    if is_file and not os.path.exists(model):
        raise UserError(f"there is no file {model}")
    return is_file


def input_size(model) -> tuple[tuple[int, int] | None, int]:
    """Returns height and width of a model's images, None if they are variable, and the number of channels."""
    *size, channels = model.input_shape[1:]
    return None if None in size else tuple(size), channels


def check_weights(options) -> None:
    """Raises UserError for a builder of images without weights, and for a .keras file with other weights."""
    if is_model_file(options.model):
        if options.weights is not None:
            raise UserError(f"--weights={options.weights}: {options.model} has its own weights")
        return
    card = cards.image_card(options.model)
    if options.weights is None:
        raise UserError(
            f"{card.name} has random weights: pass --weights=imagenet or --weights=FILE"
        )


def load_model(model: str, **arguments):
    """Returns the model of a builder's name, with the builder's arguments, or of a .keras file."""
    is_file = is_model_file(model)
    name = None if is_file else cards.card(model).name  # an error here does not load Keras
    with without_log_lines():
        import kapps
        from kapps.weights import saved_models
    if not is_file:
        return getattr(kapps, name)(**arguments)
    try:
        return saved_models.load_model(model)
    except ValueError as error:
        raise UserError(error) from error
