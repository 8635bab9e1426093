"""What the commands of `python -m kapps` do: each takes the parsed options and returns the text to print, or None."""

import json
import os

from kapps import cards


class Fault(Exception):  # noqa: N818  # it is the user's, and one line says what it is
    """Something that the user can mend."""


def names(options):
    """Returns the names that match, a line each."""
    found = cards.list_models(options.pattern, options.kind)
    if not found:
        every = cards.list_models(kind=options.kind)
        near = cards.nearest(options.pattern, every)
        of = f" of kind {options.kind}" if options.kind else ""
        raise Fault(f"no model{of} has a name that matches {options.pattern!r}.{near}")
    return "\n".join(found)


def card(options):
    """Returns a model's card as text, and the sources of its figures."""
    known = cards.card(options.name)
    images = known.kind == "image"
    steps = known.preprocessing
    sizes = {"tokens": known.vocabulary, "classes": known.classes}
    sizes = "".join(f", {size:,} {what}" for what, size in sizes.items() if size)
    shape = "x".join("any" if size is None else str(size) for size in known.input_shape)
    lines = {
        "name": known.name,
        "family": f"{known.family} ({known.module})",
        "paper": known.paper,
        "year": known.year or "",
        "parameters": f"{known.params:,} trainable{sizes}",
        "MACs": f"{known.macs:,}" if known.macs else "",
        "input": f"{shape}, at least {known.minimum} pixels" if images else f"{known.kind} {shape}",
        "preprocessing": steps
        and f"{steps.interpolation} to {'x'.join(map(str, steps.size))}, crop {steps.crop}, "
        f"scale {steps.scale:.6g}, mean {_numbers(steps.mean)}, std {_numbers(steps.std)}",
        "weights": cards.described(known.name),
    }
    return "\n".join(f"{key:14} {value}" for key, value in lines.items() if value)


def _numbers(values):
    return " ".join(f"{value:g}" for value in values)


def profile(options):
    """Returns a model's profile as text, CSV, JSON or a page."""
    model = build(options)
    from kapps import tables
    from kapps.analysis import html_page, profile

    found = profile(model, options.input, options.batch, options.dtype)
    if options.plot:
        from kapps.visualize import plot_profile

        image(lambda: plot_profile(found, options.plot), options.plot)
    if options.json:
        totals = {"name": found.name, "inputs": found.inputs, "dtype": found.dtype}
        totals |= {name: getattr(found, name) for name in ("macs", "additions", "elementwise")}
        totals |= {name: getattr(found, name) for name in ("trainable", "non_trainable")}
        totals |= {name: getattr(found, name) for name in ("inference_bytes", "training_bytes")}
        return json.dumps({**totals, options.by + "s": found.records(options.by)}, indent=1)
    if options.csv:
        return tables.to_csv(found.records(options.by))
    if options.html:
        return html_page(found)
    return found.table(options.by)


def table(options):
    """Returns tables of networks as text, CSV, Markdown or HTML."""
    from kapps import tables
    from kapps.analysis import profile, published_results

    wanted = options.tables or list(published_results.TABLE_NAMES)
    for name in wanted:
        if name not in published_results.TABLE_NAMES:
            raise Fault(
                f"there is no table {name!r}: {' and '.join(published_results.TABLE_NAMES)}"
            )
    if options.csv and len(wanted) > 1:
        raise Fault("a CSV file holds one table: say accuracy or regnet")
    if options.measure is not None and options.measure < 1:
        raise Fault(f"--measure={options.measure}: at least 1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import kapps

    here, profiles, times = set(cards.list_models()), {}, {}
    for name in dict.fromkeys(
        builder for each in wanted for builder in published_results.table_builders(each)
    ):
        if name in here:
            profiles[name] = profile(getattr(kapps, name)())
    if options.plot:
        from kapps.visualize import plot_accuracy

        points = published_results.accuracy_points(profiles)
        image(lambda: plot_accuracy(points, options.plot), options.plot)
    if options.measure and "regnet" in wanted:
        for pair in published_results.regnet_pairs():
            models = {name: getattr(kapps, name)() for name in pair if name in here}
            times |= published_results.measure_seconds(models, options.measure)
    made = {
        "accuracy": lambda: published_results.accuracy_table(profiles),
        "regnet": lambda: published_results.regnet_table(profiles, times),
    }
    found = [made[name]() for name in wanted]
    if options.csv:
        return tables.to_csv(found[0].records)
    if options.html:
        return tables.html_page(found)
    return "\n\n".join(each.markdown() if options.markdown else each.text() for each in found)


def image(draw, path):
    """Draws to a file."""
    try:
        draw()
    except OSError as error:
        raise Fault(f"cannot write {path}: {error.strerror}") from error


def verify(options):
    """Returns what an exported file gives beside its model; a file that falls short is a fault."""
    options.input = None
    if not (options.dataset or options.data_dir or options.inputs):
        raise Fault(
            "no images: give --data_dir, or --dataset=digits; of sequences or tokens --inputs"
        )
    if options.images < 1:
        raise Fault(f"--images={options.images}: at least 1")
    if not os.path.exists(options.file):
        raise Fault(f"there is no file {options.file}")
    if not options.model.endswith(".keras"):
        raise Fault(f"{options.model} is no .keras file")
    model = build(options)
    from kapps.export.verify_data import verify_on_arrays, verify_on_dataset

    if options.inputs:
        report = verify_on_arrays(model, options.file, options.inputs, options.images)
    else:
        report = verify_on_dataset(
            model, options.file, options.dataset, options.data_dir, options.images
        )
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
