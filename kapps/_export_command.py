"""The commands that write, verify and show exported files: `kapps export`, `kapps verify` and `kapps demo`."""

import json
import os
import sys

from kapps import _commands
from kapps._commands import UserError, print_error
from kapps._log_lines import without_log_lines
from kapps._names import nearest

NOISE = 8
"""Number of images of random pixels that the files are verified on without data."""


def export(options):
    """Writes a SavedModel and .tflite files of an image model, and verifies each; the exit status is 1 if one fails."""
    _commands.check_weights(options)
    has_data = bool(options.dataset or options.data_dir)
    class_names = _commands.read_labels(options.labels) if options.labels else None
    with without_log_lines():
        from kapps.export import export_and_verify
        from kapps.export.tflite import CALIBRATED, PRECISIONS

    for precision in options.tflite:
        if precision not in PRECISIONS:
            raise UserError(
                f"--tflite={precision}: the precisions are {', '.join(PRECISIONS)}.{nearest(precision, PRECISIONS)}"
            )
        if precision in CALIBRATED and not has_data:
            raise UserError(
                f"--tflite={precision} is calibrated with images: pass --data_dir or --dataset"
            )
    model = _commands.load_model(options.model, weights=options.weights)
    if len(model.inputs) > 1 or len(model.inputs[0].shape) != 4:
        raise UserError(
            f"{options.model} does not take images: export it with kapps.export.saved_model and kapps.export.tflite"
        )
    preprocessing = _commands.print_preprocessing(model, options.preprocessing)
    splits = ["validation"] + ["train"] * any(x in CALIBRATED for x in options.tflite)
    images, *calibration = _images(model, options, preprocessing, splits if has_data else ())
    reports, failures = export_and_verify(
        model, options.directory, images, preprocessing=preprocessing, class_names=class_names,
        precisions=list(dict.fromkeys(options.tflite)), calibration=calibration[0] if calibration else None,
        tflite_in_saved_model=options.tflite_in_saved_model, verbose=sys.stderr.isatty(),
    )  # fmt: skip
    for failure in failures:
        print_error(failure)
    return "\n".join(map(str, reports)), 1 if failures else 0


def _images(model, options, preprocessing, splits):
    """Returns images of each split of a dataset, or of random pixels, as the evaluation pipeline returns them."""
    import numpy as np

    import kapps
    from kapps.export.verify_data import evaluation_images

    if not splits:
        size, channels = _commands.input_size(model)
        shape = (NOISE, *(size or (224, 224)), channels)
        pixels = np.random.default_rng(0).integers(0, 256, shape, "uint8")
        return [kapps.preprocess(pixels, preprocessing, size=size, channels=channels)]
    source = options.dataset, options.data_dir
    return [
        evaluation_images(model, *source, split, options.images, preprocessing) for split in splits
    ]


def verify(options):
    """Compares an exported file with its model; the exit status is 1 if it fails the verification."""
    if not (options.dataset or options.data_dir or options.inputs):
        raise UserError(
            "no inputs: pass --data_dir or --dataset=digits for images, --inputs for sequences or tokens"
        )
    if not os.path.exists(options.file):
        raise UserError(f"there is no file {options.file}")
    if not options.model.endswith(".keras"):
        raise UserError(f"--model={options.model} is not a .keras file")
    model = _commands.load_model(options.model)
    from kapps.export.verify_data import verify_on_arrays, verify_on_dataset

    verbose = sys.stderr.isatty()
    if options.inputs:
        report = verify_on_arrays(
            model, options.file, options.inputs, options.images, verbose, options.trust
        )
    else:
        report = verify_on_dataset(
            model, options.file, options.dataset, options.data_dir, options.images, verbose,
            options.trust, _commands.print_preprocessing(model, options.preprocessing),
        )  # fmt: skip
    limits = {"max_difference": options.difference, "min_agreement": options.agreement}
    failure = report.failure(**{key: value for key, value in limits.items() if value is not None})
    if failure:
        print_error(failure)
        return None, 1
    return json.dumps(report.record(), indent=1) if options.json else str(report), 0


def demo(options):
    """Serves the demo page until Ctrl+C."""
    import webbrowser

    with without_log_lines():
        from kapps.export import demo

    try:
        server = demo.make_server(options.file, options.port, trust=options.trust)
        url = f"http://{demo.HOST}:{server.server_address[1]}"
        print(f"{options.file} at {url} (Ctrl+C stops the server)", flush=True)
        webbrowser.open(url)
        server.serve_forever()
    except KeyboardInterrupt:
        print(file=sys.stderr)  # the terminal shows ^C
    return None, 0
