"""An exported file run in its own runtime and compared with the model it came from."""

import dataclasses
import os
import pathlib

import keras
import numpy as np

from kapps.cards import Preprocessing
from kapps.export import _inputs as inputs
from kapps.export import inference_model as network
from kapps.export import runtime
from kapps.export._quiet import quiet
from kapps.export.tflite import precision as precision_of

BATCH = 32
THREADS = (1, 2)
SAID = ("classes", "labels")
"""What a SavedModel says beside the model's own outputs."""
FLOAT, QUANTIZED = 1e-4, 0.98
"""What a file must keep to: in float32 the largest difference, relative to the largest value where that is above 1;
in every other precision the top-1 agreement."""


@dataclasses.dataclass(frozen=True)
class Report:
    """What `verify` found.

    Args:
        path: the exported file or directory.
        kind: "saved_model" or "tflite".
        precision: "float32", or another of `kapps.export.tflite.PRECISIONS`.
        images: how many were compared.
        largest_difference: largest absolute difference of any output value; infinite where one is
            not a number.
        largest_value: largest magnitude in the model's outputs.
        top1_agreement: share of the images of which file and model say the same, in [0, 1].
        bytes: size of all that was exported.
        milliseconds: what one image takes, by the number of threads; empty where it was not measured.
    """

    path: pathlib.Path
    kind: str
    precision: str
    images: int
    largest_difference: float
    largest_value: float
    top1_agreement: float
    bytes: int
    milliseconds: dict[int, float]

    def __str__(self) -> str:
        """Returns all of it on one line."""
        return (
            f"{self.path}: {self.kind}, {self.precision}, {self.bytes:,} bytes, {self.images} images, "
            f"largest difference {self.largest_difference:.1e}, "
            f"top-1 agreement {self.top1_agreement:.1%}"
            + "".join(f", {ms:.1f} ms on {n} threads" for n, ms in self.milliseconds.items())
        )

    def fault(self, difference: float = FLOAT, agreement: float = QUANTIZED) -> str | None:
        """Returns in one line how the file falls short, None where it does not.

        Args:
            difference: most that a float32 file may differ by, relative to `largest_value` above 1.
            agreement: least top-1 agreement of any other precision.
        """
        allowed = difference * max(1.0, self.largest_value)
        if self.precision == "float32" and not self.largest_difference <= allowed:
            return f"{self.path} differs by {self.largest_difference:.1e}, and {allowed:.1e} is allowed"
        if not self.top1_agreement >= agreement:
            return (
                f"{self.path} ({self.precision}) agrees on {self.top1_agreement:.1%} of {self.images} "
                f"images, and {agreement:.1%} is wanted"
            )
        return None

    def record(self) -> dict:
        """Returns all of it in JSON's types."""
        return {**dataclasses.asdict(self), "path": str(self.path)}


def verify(
    model: keras.Model,
    path: str | os.PathLike,
    images: np.ndarray | dict[str, np.ndarray],
    *,
    preprocessing: Preprocessing | None = None,
    timed: bool = False,
) -> Report:
    """Runs an exported file in its own runtime and compares it with `model` rebuilt in float32.

    A SavedModel runs in a new process that has TensorFlow and no Keras, a .tflite file in the
    LiteRT interpreter; both on the CPU. The comparison is with the float32 rebuild, so that what
    half precision rounds in training is not laid at the file's door.

    Args:
        model: the model that was exported.
        path: what `saved_model` or `tflite` returned.
        images: numbers [n, height, width, channels], n from 1, as the file takes them: raw pixels
            in [0, 255] where it was exported with `preprocessing`; or sequences [n, time, features], frames
            [n, time, height, width, channels], or tokens [n, time]; of several inputs a dictionary of arrays.
        preprocessing: what it was exported with.
        timed: whether to measure what an image takes with 1 and with 2 threads.

    Returns:
        The largest absolute difference over all outputs, and the top-1 agreement of the first. Of
        an output one wide: the same side of one half for a probability, else of zero.

    Raises:
        ValueError: where the path is no exported file, or file, model and images do not fit.
    """
    path = pathlib.Path(path)
    kind = runtime.kind(path)
    reference = network.serving(model, None, folded=False)
    images = _images(images, reference)
    expected = _expected(reference, images, preprocessing)
    found = runtime.run(path, images)
    found = {name: found[name] for name in found if name in expected or name not in SAID}
    shapes = [{k: v.shape[1:] for k, v in outputs.items()} for outputs in (found, expected)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{path} gives {shapes[0]} an image, {model.name} {shapes[1]}")
    first = next(iter(expected))
    one = inputs.sliced(images, 0, 1)
    times = {n: runtime.milliseconds(path, one, n) for n in THREADS} if timed else {}
    return Report(
        path,
        kind,
        "float32" if kind == "saved_model" else precision_of(path),
        inputs.rows(images),
        max(_largest(found[name], expected[name]) for name in expected),
        max(float(np.abs(values).max(initial=0.0)) for values in expected.values()),
        _agreement(found[first], expected[first], 0.5 if first == "probabilities" else 0.0),
        sum(p.stat().st_size for p in [path, *path.rglob("*")] if p.is_file()),
        times,
    )


def _images(images, reference) -> np.ndarray:
    what = inputs.taken(reference)
    images = keras.tree.map_structure(np.asarray, images)
    if not what.fits(images):
        given = keras.tree.map_structure(lambda x: f"{x.dtype} {list(x.shape)}", images)
        raise ValueError(f"{reference.name} takes {what}, and is given {given}")
    return what.typed(images)


def _expected(reference, images, preprocessing) -> dict[str, np.ndarray]:
    if preprocessing is not None:
        mean, std = preprocessing.channels(images.shape[-1])
        scale = np.float32(preprocessing.scale)
        images = (images * scale - np.float32(mean)) / np.float32(std)
    with keras.device("cpu:0"), quiet():
        chunks = [
            reference(inputs.sliced(images, at, at + BATCH), training=False)
            for at in range(0, inputs.rows(images), BATCH)
        ]
    return {k: np.concatenate([np.asarray(c[k]) for c in chunks]) for k in reference.output}


def _largest(found, expected) -> float:
    difference = np.abs(found.astype("float64") - expected.astype("float64"))
    return float(np.where(np.isnan(difference), np.inf, difference).max(initial=0.0))


def _agreement(found, expected, middle) -> float:
    """Share of rows with the same largest entry; a row with a NaN in it agrees with nothing."""
    rows = [outputs.reshape(-1, outputs.shape[-1]) for outputs in (found, expected)]
    if expected.shape[-1] == 1:
        same = np.equal(*[row[:, 0] > middle for row in rows])
    else:
        same = np.equal(*[row.argmax(-1) for row in rows])
    return float((same & ~np.isnan(rows[0]).any(-1) & ~np.isnan(rows[1]).any(-1)).mean())
