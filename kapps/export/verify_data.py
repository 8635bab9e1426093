"""Images and arrays from files that exported files are verified on: what `kapps verify` and `kapps export` do."""

import keras
import numpy as np

from kapps import data
from kapps.data.array_files import read_array
from kapps.export.export_and_verify import to_pixels
from kapps.export.verify import Report, verify
from kapps.model_preprocessing import find_preprocessing
from kapps.preprocessing import Preprocessing


def verify_on_dataset(
    model: keras.Model,
    path: str,
    dataset: str | None,
    data_dir: str | None,
    count: int,
    verbose: int = 1,
    trust: bool = False,
    preprocessing: Preprocessing | str | None = None,
) -> Report:
    """Verifies an exported file on the evaluation images of a dataset, and measures its latency.

    Args:
        model: the model that was exported.
        path: of a SavedModel's directory or of a .tflite file, exported with its preprocessing.
        dataset: a TFDS name, or "digits"; None to read `data_dir` only.
        data_dir: class folders, TFRecord shards, or TFDS's directory.
        count: the number of images, of mixed classes.
        verbose, trust: as for `verify`.

    Raises:
        ValueError: if file and model do not fit.
        DataError: for images that cannot be read.
    """
    preprocessing = _sized(model, preprocessing)
    images = evaluation_images(model, dataset, data_dir, "validation", count, preprocessing)
    return verify(
        model, path, to_pixels(images, preprocessing), preprocessing=preprocessing, timed=True,
        trust=trust, verbose=verbose,
    )  # fmt: skip


def evaluation_images(
    model: keras.Model,
    dataset: str | None,
    data_dir: str | None,
    split: str,
    count: int,
    preprocessing: Preprocessing | str | None = None,
) -> np.ndarray:
    """Returns images of a dataset as the evaluation pipeline makes them, float32 [count, height, width, channels].

    Args:
        model: that takes the images.
        dataset: a TFDS name, or "digits"; None to read `data_dir` only.
        data_dir: class folders, TFRecord shards, or TFDS's directory.
        split: "validation" or "train".
        count: the number of images, of mixed classes.
        preprocessing: None for what the model records.

    Raises:
        DataError: for images that cannot be read.
    """
    source = data.open_source(dataset, data_dir, split)
    batches = data.eval_dataset(
        source, _sized(model, preprocessing), 32, classes=len(source.class_names),
        channels=model.input_shape[-1], seed=0,
    )  # fmt: skip
    return data.take_images(batches, count)


def _sized(model, preprocessing):
    """Returns a preprocessing at the size of the model's input."""
    preprocessing, _ = find_preprocessing(model, preprocessing)
    _, height, width, _ = model.input_shape
    return preprocessing.at((height or preprocessing.size[0], width or preprocessing.size[1]))


def verify_on_arrays(
    model: keras.Model,
    path: str,
    file: str,
    count: int,
    verbose: int = 1,
    trust: bool = False,
) -> Report:
    """Verifies an exported file on arrays, such as sequences or tokens, and measures its latency.

    Args:
        model: the model that was exported.
        path: of a SavedModel's directory or of a .tflite file.
        file: an .npy file of inputs [n, ...] as the exported file takes them.
        count: the number of inputs, the first ones of the file.
        verbose, trust: as for `verify`.

    Raises:
        ValueError: if file and model do not fit, or `file` is not an .npy file.
    """
    array = read_array(file)
    if array.dtype.kind not in "iufb" or not array.ndim or not array.size:
        raise ValueError(
            f"{file} has {array.dtype} {list(array.shape)}: pass an .npy file of numbers [n, ...]"
        )
    return verify(model, path, array[:count], timed=True, trust=trust, verbose=verbose)
