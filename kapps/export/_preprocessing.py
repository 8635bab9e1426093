"""The preprocessing of an exported file: as passed, or as the model records it."""

import sys

import keras

from kapps.export._inputs import IMAGE, model_input
from kapps.model_preprocessing import find_preprocessing, has_preprocessing
from kapps.preprocessing import Preprocessing


def export_preprocessing(
    model: keras.Model, passed: Preprocessing | str | bool | None, verbose: int = 0
) -> Preprocessing | None:
    """Returns the preprocessing of an exported file, or None if its images are the model's own input.

    Args:
        model: a model that can be exported.
        passed: a preprocessing or its name; None for what the model records or its own layers compute; False for the
            model's own input.
        verbose: 1 for one line on standard error if the images are the model's own input because its preprocessing is
            not known, or if the model records another one than was passed.

    Raises:
        ValueError: for an unknown name, and for preprocessing of another model than an image model.
    """
    name = model_input(model).name
    if passed is False or (passed is None and name != IMAGE):
        return None
    if name != IMAGE:
        raise ValueError(f"{model.name} takes {name}, and preprocessing is for image models only")
    if passed is None and not has_preprocessing(model):
        if verbose:
            print(
                f"{model.name} does not record the preprocessing of its images: no serve_bytes, and `image` is the "
                "model's own input; pass preprocessing= if it takes other values than pixels",
                file=sys.stderr,
            )
        return None
    if passed is True:
        raise ValueError("preprocessing=True is not a preprocessing, its name, None or False")
    preprocessing, text = find_preprocessing(model, passed)
    if verbose and text not in ("as passed", "recorded in the model"):
        print(f"preprocessing of {model.name}: {preprocessing} ({text})", file=sys.stderr)
    return preprocessing
