"""Verifies exported files on data from files: what `python -m kapps verify` does."""

import keras

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
    _, height, width, channels = model.input_shape
    preprocessing, _ = find_preprocessing(model, preprocessing)
    size = (height or preprocessing.size[0], width or preprocessing.size[1])
    preprocessing = preprocessing.at(size)
    source = data.open_source(dataset, data_dir, "validation")
    batches = data.eval_dataset(
        source, preprocessing, 32, classes=len(source.class_names), channels=channels, seed=0
    )
    images = to_pixels(data.take_images(batches, count), preprocessing)
    return verify(
        model, path, images, preprocessing=preprocessing, timed=True, trust=trust, verbose=verbose
    )


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
