"""An exported file run in its own runtime and compared with the model it came from."""

import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np

from kapps.cards import Preprocessing
from kapps.export import network
from kapps.export.quiet import quiet

BATCH = 32


@dataclasses.dataclass(frozen=True)
class Report:
    """What `verify` found.

    Args:
        path: the exported file or directory.
        kind: "saved_model" or "litert".
        pictures: how many were compared.
        largest_difference: largest absolute difference of any output value; infinite where one is
            not a number.
        top1_agreement: share of the pictures of which file and model say the same, in [0, 1].
        bytes: size of all that was exported.
    """

    path: pathlib.Path
    kind: str
    pictures: int
    largest_difference: float
    top1_agreement: float
    bytes: int

    def __str__(self) -> str:
        """Returns all of it on one line."""
        return (
            f"{self.path}: {self.kind}, {self.bytes:,} bytes, {self.pictures} pictures, "
            f"largest difference {self.largest_difference:.1e}, "
            f"top-1 agreement {self.top1_agreement:.1%}"
        )

    def record(self) -> dict:
        """Returns all of it in JSON's types."""
        return {**dataclasses.asdict(self), "path": str(self.path)}


def verify(
    path: str | os.PathLike,
    model: keras.Model,
    pictures: np.ndarray,
    *,
    preprocessing: Preprocessing | None = None,
) -> Report:
    """Runs an exported file in its own runtime and compares it with `model` rebuilt in float32.

    A SavedModel runs in a new process that has TensorFlow and no Keras, a .tflite file in the
    LiteRT interpreter; both on the CPU. The comparison is with the float32 rebuild, so that what
    half precision rounds in training is not laid at the file's door.

    Args:
        path: what `saved_model` or `litert` returned.
        model: the model that was exported.
        pictures: numbers [n, height, width, channels], n from 1, as the file takes them: raw pixels
            in [0, 255] where it was exported with `preprocessing`.
        preprocessing: what it was exported with.

    Returns:
        The largest absolute difference over all outputs, and the top-1 agreement of the first. Of
        an output one wide: the same side of one half for a probability, else of zero.

    Raises:
        ValueError: where the path is no exported file, or file, model and pictures do not fit.
    """
    path = pathlib.Path(path)
    kind = _kind(path)
    reference = network.serving(model, None)
    pictures = _pictures(pictures, reference)
    expected = _expected(reference, pictures, preprocessing)
    run = _run_saved_model if kind == "saved_model" else _run_litert
    found = run(path, pictures)
    shapes = [{k: v.shape[1:] for k, v in outputs.items()} for outputs in (found, expected)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{path} gives {shapes[0]} a picture, {model.name} {shapes[1]}")
    first = next(iter(expected))
    return Report(
        path,
        kind,
        len(pictures),
        max(_largest(found[name], expected[name]) for name in expected),
        _agreement(found[first], expected[first], 0.5 if first == "probabilities" else 0.0),
        sum(p.stat().st_size for p in [path, *path.rglob("*")] if p.is_file()),
    )


def _kind(path: pathlib.Path) -> str:
    if (path / "saved_model.pb").is_file():
        return "saved_model"
    if path.suffix == ".tflite" and path.is_file():
        return "litert"
    what = "is neither a SavedModel nor a .tflite file" if path.exists() else "does not exist"
    raise ValueError(f"{path} {what}")


def _pictures(pictures, reference) -> np.ndarray:
    pictures = np.asarray(pictures)
    takes = reference.input_shape[1:]
    fits = pictures.ndim == 4 and all(
        size in (None, given) for size, given in zip(takes, pictures.shape[1:], strict=True)
    )
    if not fits or not len(pictures) or pictures.dtype.kind not in "fiu":
        raise ValueError(
            f"{reference.name} takes numbers [n, {', '.join(str(size) for size in takes)}], "
            f"and the pictures are {pictures.dtype} {list(pictures.shape)}"
        )
    return pictures.astype("float32", copy=False)


def _expected(reference, pictures, preprocessing) -> dict[str, np.ndarray]:
    if preprocessing is not None:
        mean, std = preprocessing.channels(pictures.shape[-1])
        scale = np.float32(preprocessing.scale)
        pictures = (pictures * scale - np.float32(mean)) / np.float32(std)
    with keras.device("cpu:0"), quiet():
        chunks = [
            reference(pictures[at : at + BATCH], training=False)
            for at in range(0, len(pictures), BATCH)
        ]
    return {k: np.concatenate([np.asarray(c[k]) for c in chunks]) for k in reference.output}


def _run_saved_model(path, pictures) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        given, results = os.path.join(folder, "pictures.npy"), os.path.join(folder, "outputs.npz")
        np.save(given, pictures)
        program = pathlib.Path(__file__).with_name("_run_saved_model.py")
        # On the CPU, as the reference: this process may hold all of the accelerator's memory. And
        # without the program's own folder among the places to import from.
        settings = {
            "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONSAFEPATH": "1",
        }
        done = subprocess.run(
            [sys.executable, str(program), str(path), given, results],
            env=os.environ | settings,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise ValueError(f"{path} does not run: {last}")
        with np.load(results) as arrays:
            return {name.removeprefix("output_"): arrays[name] for name in arrays.files}


def _run_litert(path, pictures) -> dict[str, np.ndarray]:
    with quiet():
        from ai_edge_litert.interpreter import Interpreter

        try:
            interpreter = Interpreter(str(path), num_threads=os.cpu_count())
            signatures = interpreter.get_signature_list()
            runner = interpreter.get_signature_runner(next(iter(signatures), None))
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{path} does not run: {str(error).splitlines()[0]}") from error
        takes = {name: list(x["shape"]) for name, x in runner.get_input_details().items()}
        if set(takes) != {network.IMAGE} or takes[network.IMAGE][1:] != list(pictures.shape[1:]):
            takes = {name: [int(size) for size in shape] for name, shape in takes.items()}
            raise ValueError(f"{path}: it takes {takes}, the pictures are {list(pictures.shape)}")
        batch = int(takes[network.IMAGE][0])
        chunks = []
        for at in range(0, len(pictures), batch):
            chunk = pictures[at : at + batch]
            # A static batch is filled up with the last picture; the surplus answers are cut off.
            padding = [(0, batch - len(chunk)), (0, 0), (0, 0), (0, 0)]
            chunks.append(runner(**{network.IMAGE: np.pad(chunk, padding, mode="edge")}))
    return {k: np.concatenate([c[k] for c in chunks])[: len(pictures)] for k in chunks[0]}


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
