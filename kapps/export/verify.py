"""Runs an exported file in its own runtime and compares it with the model."""

import dataclasses
import os
import pathlib
import time

import keras
import numpy as np

from kapps._arrays import as_array
from kapps._local_paths import local_path
from kapps.export import runtime
from kapps.export._class_maps import gives_class_maps, miou_agreement
from kapps.export._float32 import check_exportable, iterate_layers
from kapps.export._inputs import count_rows, model_input, slice_rows
from kapps.export._preprocessing import export_preprocessing
from kapps.export._progress import phase
from kapps.export._quiet import quiet
from kapps.export.inference_model import inference_model
from kapps.model_record import main_output
from kapps.preprocessing import Preprocessing

BATCH_SIZE = 32
THREADS = (1, 2)
EXTRA_OUTPUTS = ("classes", "labels")
"""Outputs of a SavedModel that the model does not have."""
MAX_DIFFERENCE = 1e-4
"""The largest difference of a float32 file from the model, relative to the largest output if that is above 1."""
MIN_AGREEMENT = 0.98
"""The lowest top-1 agreement of a file in another precision."""
MIN_MIOU = 0.9
"""The lowest mIoU agreement of a file in another precision; a small class counts as much as a large one."""


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of `verify`.

    Args:
        path: the exported file or directory.
        kind: "saved_model" or "tflite".
        precision: "float32", or another precision of `kapps.export.tflite`.
        examples: the number of inputs that were compared.
        largest_difference: the largest absolute difference of an output value; infinite if a value is NaN.
        largest_value: the largest absolute value in the model's outputs.
        top1_agreement: the fraction of examples in [0, 1] for which file and model have the same top class.
            Of a network that scores every pixel, the fraction of pixels.
        bytes: the size of the file, or of all files in the directory.
        milliseconds: {number of threads: latency of one example}; empty if it was not measured.
        binary_inputs: whether a layer of the model reads signs. Where rounding moves a value across zero its sign
            changes, so that outputs may differ by more than rounding.
        miou_agreement: of a network that scores every pixel, the mean IoU, in [0, 1], of its class maps and the file's;
            None for other networks.
    """

    path: pathlib.Path
    kind: str
    precision: str
    examples: int
    largest_difference: float
    largest_value: float
    top1_agreement: float
    bytes: int
    milliseconds: dict[int, float]
    binary_inputs: bool = False
    miou_agreement: float | None = None

    def __str__(self) -> str:
        """Returns the report on one line."""
        return (
            f"{self.path}: {self.kind}, {self.precision}, {self.bytes:,} bytes, {self.examples} examples, "
            f"largest difference {self.largest_difference:.1e}, "
            f"{self.agreement[0]} {self.agreement[1]:.1%}"
            + "".join(f", {ms:.1f} ms on {n} threads" for n, ms in self.milliseconds.items())
        )

    @property
    def agreement(self) -> tuple[str, float]:
        """The name and the value of the agreement that `failure` requires: of top classes, or of class maps."""
        if self.miou_agreement is None:
            return "top-1 agreement", self.top1_agreement
        return "mIoU agreement", self.miou_agreement

    def failure(
        self, max_difference: float = MAX_DIFFERENCE, min_agreement: float | None = None
    ) -> str | None:
        """Returns on one line why the file fails verification, or None if it passes.

        Args:
            max_difference: for a float32 file, the largest allowed difference, relative to `largest_value` if that is
                above 1; not for a model with binary inputs.
            min_agreement: for a file in another precision or of a model with binary inputs, the lowest allowed top-1
                agreement, or of a network that scores every pixel, mIoU agreement. None for 0.98 and 0.9.
        """
        allowed = max_difference * max(1.0, self.largest_value)
        exact = self.precision == "float32" and not self.binary_inputs
        if exact and not self.largest_difference <= allowed:
            return f"{self.path} differs from the model by {self.largest_difference:.1e}; {allowed:.1e} is allowed"
        name, value = self.agreement
        if min_agreement is None:
            min_agreement = MIN_AGREEMENT if self.miou_agreement is None else MIN_MIOU
        if not value >= min_agreement:
            return (
                f"{self.path} ({self.precision}) has a {name} of {value:.1%} on {self.examples} "
                f"examples; {min_agreement:.1%} is required"
            )
        return None

    def record(self) -> dict:
        """Returns the report in JSON's types."""
        return {**dataclasses.asdict(self), "path": str(self.path)}


def verify(
    model: keras.Model,
    path: str | os.PathLike,
    inputs: np.ndarray | dict[str, np.ndarray],
    *,
    preprocessing: Preprocessing | str | bool | None = None,
    timed: bool = False,
    trust: bool = False,
    verbose: int = 1,
) -> Report:
    """Runs an exported file in its own runtime and compares its outputs with those of the model.

    A SavedModel runs in a new process that has TensorFlow and no Keras; a .tflite file runs in LiteRT. Both run on the
    CPU. The file is compared with `model` rebuilt in float32, so that rounding in half-precision training does not
    count as a difference.

    A SavedModel is a program. Before it is loaded, its operations are compared with a list of computations, in all
    nested functions: a SavedModel that reads or writes files, or calls Python, raises ValueError. The file may take a
    multiple of the model's own time and memory.

    Args:
        model: the model that was exported.
        path: the path that `saved_model` or `tflite` returned.
        inputs: one or more examples in the file's input format: images [n, height, width, channels], raw pixels in
            [0, 255] unless the file was exported without preprocessing; sequences [n, time, features]; frames
            [n, time, height, width, channels]; tokens [n, time]; or for several inputs a dictionary of arrays.
        preprocessing: that the file was exported with, as for `kapps.export.saved_model`.
        timed: whether to measure the latency of one example with 1 and with 2 threads.
        trust: whether to run a SavedModel without a check of its operations, and any file without limits of time and
            memory.
        verbose: 0 for no output; 1 for one line of progress on standard error.

    Returns:
        A `Report` with the largest absolute difference over all outputs, and the top-1 agreement of the first output,
        or of the one called "predictions".
        An output of width one agrees if it is on the same side of 0.5 for probabilities, of 0 for logits.
        Of a network that scores every pixel, the report also has the mean IoU of the class maps.

    Raises:
        ValueError: if the path is not an exported file, if file, model and inputs do not fit, and for a SavedModel with
            other operations than computations.
    """
    check_exportable(model)
    path = local_path(path)
    kind = runtime.file_format(path)
    precision = "float32"
    with phase(f"Verifying {path}", verbose):
        preprocessing = export_preprocessing(model, preprocessing)
        reference = inference_model(model, fold_batch_norms=False)
        inputs = _check_inputs(reference, inputs)
        start = time.monotonic()
        expected = _run_model(reference, inputs, preprocessing)
        seconds = time.monotonic() - start
        limits = runtime.UNLIMITED if trust else runtime.default_limits(path, seconds)
        if kind == "saved_model":
            outputs = runtime.run(path, inputs, trust=trust, limits=limits)
        else:
            outputs, precision = runtime.run_tflite(path, inputs, limits)
        outputs = _match_outputs(model, path, outputs, expected)
        example = slice_rows(inputs, 0, 1)
        threads = THREADS if timed else ()
        latencies = {
            n: runtime.measure_latency(path, example, n, trust=trust, limits=limits)
            for n in threads
        }
    first = list(expected)[main_output(list(expected))]
    return Report(
        path=path,
        kind=kind,
        precision=precision,
        examples=count_rows(inputs),
        largest_difference=max(
            largest_difference(outputs[name], expected[name]) for name in expected
        ),
        largest_value=max(float(np.abs(array).max(initial=0.0)) for array in expected.values()),
        top1_agreement=top1_agreement(
            outputs[first], expected[first], 0.5 if first == "probabilities" else 0.0
        ),
        bytes=sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file()),
        milliseconds=latencies,
        binary_inputs=any(
            getattr(layer, "binary_input", False) for layer in iterate_layers(reference)
        ),
        miou_agreement=miou_agreement(outputs[first], expected[first])
        if gives_class_maps(reference)
        else None,
    )


def largest_difference(outputs: np.ndarray, expected: np.ndarray) -> float:
    """Returns the largest absolute difference; infinite if a value is NaN."""
    difference = np.abs(outputs.astype("float64") - expected.astype("float64"))
    return float(np.where(np.isnan(difference), np.inf, difference).max(initial=0.0))


def top1_agreement(outputs: np.ndarray, expected: np.ndarray, threshold: float) -> float:
    """Returns the fraction of rows with the same largest entry; a row with a NaN agrees with no other.

    Args:
        outputs, expected: [..., classes].
        threshold: for one class, rows agree if both values are above it, or neither is.
    """
    rows = [array.reshape(-1, array.shape[-1]) for array in (outputs, expected)]
    if expected.shape[-1] == 1:
        same = np.equal(*[array[:, 0] > threshold for array in rows])
    else:
        same = np.equal(*[array.argmax(-1) for array in rows])
    return float((same & ~np.isnan(rows[0]).any(-1) & ~np.isnan(rows[1]).any(-1)).mean())


def _check_inputs(reference, inputs):
    """Returns the inputs as arrays of the model's dtypes."""
    expected = model_input(reference)
    inputs = keras.tree.map_structure(lambda x: as_array("inputs", x), inputs)
    if not expected.accepts(inputs):
        shapes = keras.tree.map_structure(lambda x: f"{x.dtype} {list(x.shape)}", inputs)
        raise ValueError(f"{reference.name} takes {expected}, not {shapes}")
    return expected.cast(inputs)


def _run_model(reference, inputs, preprocessing) -> dict[str, np.ndarray]:
    """Returns the model's outputs by name."""
    if preprocessing is not None:
        mean, std = preprocessing.channels(inputs.shape[-1])
        scale = np.float32(preprocessing.scale)
        inputs = (inputs * scale - np.float32(mean)) / np.float32(std)
        inputs = preprocessing.ordered(inputs)
    with keras.device("cpu:0"), quiet():
        batches = [
            reference(slice_rows(inputs, start, start + BATCH_SIZE), training=False)
            for start in range(0, count_rows(inputs), BATCH_SIZE)
        ]
    return {
        name: np.concatenate([np.asarray(outputs[name]) for outputs in batches])
        for name in reference.output
    }


def _match_outputs(model, path, outputs, expected) -> dict[str, np.ndarray]:
    """Returns the file's outputs without the extra ones; raises ValueError unless names and shapes are the model's."""
    outputs = {
        name: array
        for name, array in outputs.items()
        if name in expected or name not in EXTRA_OUTPUTS
    }
    shapes, expected_shapes = (
        {name: array.shape[1:] for name, array in arrays.items()} for arrays in (outputs, expected)
    )
    if shapes != expected_shapes:
        raise ValueError(f"{path} gives {shapes} an example, {model.name} {expected_shapes}")
    for name, array in outputs.items():
        if array.dtype.kind not in "fiub" or len(array) != len(expected[name]):
            raise ValueError(
                f"{path} gives {array.dtype} [{len(array)}, ...] as {name!r}, "
                f"{model.name} numbers [{len(expected[name])}, ...]"
            )
    return outputs
