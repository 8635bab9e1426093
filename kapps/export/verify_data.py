"""An exported file beside the model it came from, on images of a data set: what `python -m kapps verify` does."""

import keras
import numpy as np

from kapps import cards, data
from kapps.export.export_and_verify import pixels
from kapps.export.verify import Report, verify


def verify_on_dataset(
    model: keras.Model, path: str, dataset: str | None, data_dir: str | None, count: int
) -> Report:
    """Compares an exported file with its model on the evaluation images of a data set, and times it.

    Args:
        path: of a SavedModel's directory or of a .tflite file, exported with its preprocessing.
        model: what it was exported from.
        dataset: a TFDS name, or "digits"; None for `data_dir` alone.
        data_dir: class folders, TFRecord shards, or TFDS's directory.
        count: of the images, with the classes mixed.

    Raises:
        ValueError: for a file or model that does not fit.
        DataError: for images that cannot be read.
    """
    _, height, width, channels = model.input_shape
    known = model.name in cards.list_models(kind="image")
    own = cards.card(model).preprocessing if known else cards.IMAGENET
    preprocessing = own.at((height or own.size[0], width or own.size[1]))
    source = data.open_source(dataset, data_dir, "validation")
    batches = data.eval_dataset(
        source, preprocessing, 32, classes=len(source.class_names), channels=channels, seed=0
    )
    images = pixels(data.take_images(batches, count), preprocessing)
    return verify(model, path, images, preprocessing=preprocessing, timed=True)


def verify_on_arrays(model: keras.Model, path: str, file: str, count: int) -> Report:
    """Compares an exported file with its model on arrays, and times it; for what takes sequences or tokens.

    Args:
        path: as for `verify_on_dataset`.
        model: what it was exported from.
        file: a .npy file of inputs [n, ...] as the exported file takes them.
        count: of them, the first ones.

    Raises:
        ValueError: for a file or model that does not fit, and for what is no .npy file.
    """
    try:
        arrays = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{file} is no .npy file of numbers: {reason}") from error
    if not isinstance(arrays, np.ndarray):
        raise ValueError(f"{file} holds several arrays; give a .npy file of one")
    return verify(model, path, arrays[:count], timed=True)
