"""The command `kapps export`: writes a SavedModel and .tflite files of an image model, and verifies each."""

import sys

from kapps import _commands, cards
from kapps._commands import UserError
from kapps._names import nearest

NOISE = 8
"""Number of images of random pixels that the files are verified on without data."""


def export(options):
    """Returns a line for each file; the exit status is 1 if a file fails the verification."""
    is_file = _commands.is_model_file(options.model)
    if not is_file and options.weights is None:
        name = cards.image_card(options.model).name
        raise UserError(f"{name} has random weights: pass --weights=imagenet or --weights=FILE")
    if is_file and options.weights is not None:
        raise UserError(f"--weights={options.weights}: {options.model} has its own weights")
    has_data = bool(options.dataset or options.data_dir)
    class_names = _commands.read_labels(options.labels) if options.labels else None
    model = _commands.load_model(options.model, weights=options.weights)
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
        _commands.print_error(failure)
    return "\n".join(map(str, reports)), 1 if failures else 0


def _images(model, options, preprocessing, splits):
    """Returns images of each split of a dataset, or of random pixels, as the evaluation pipeline returns them."""
    from kapps.export.verify_data import evaluation_images, noise_images

    if not splits:
        return [noise_images(model, preprocessing, NOISE)]
    source = options.dataset, options.data_dir
    return [
        evaluation_images(model, *source, split, options.images, preprocessing) for split in splits
    ]
