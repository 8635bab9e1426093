"""Exported files in their own runtimes: a SavedModel in a process without Keras, a .tflite file in LiteRT."""

import collections
import os
import pathlib
import statistics
import tempfile
import time

import numpy as np

from kapps.export._quiet import quiet
from kapps.export._worker import CrashError, Worker

ROUNDS = 30
PROGRAM = pathlib.Path(__file__).with_name("_run_saved_model.py")
ONLY = "only"
"""What that program calls an input that has no name."""
WORKER = Worker(PROGRAM)


def kind(path: pathlib.Path) -> str:
    """Returns "saved_model" or "tflite"; ValueError for what is neither."""
    if (path / "saved_model.pb").is_file():
        return "saved_model"
    if path.suffix == ".tflite" and path.is_file():
        return "tflite"
    what = "is neither a SavedModel nor a .tflite file" if path.exists() else "does not exist"
    raise ValueError(f"{path} {what}")


def run(path: pathlib.Path, images: np.ndarray | dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the outputs by name for n images or sequences [n, ...], of the type that the file takes, on the CPU.

    Args:
        path: of the exported file.
        images: an array, or of several inputs one by each name.
    """
    if kind(path) == "saved_model":
        return _run_saved_model(path, images)
    return _run_tflite(path, images)


def milliseconds(
    path: pathlib.Path, image: np.ndarray | dict[str, np.ndarray], threads: int
) -> float:
    """Returns how long one image takes, the median of some rounds after a warm-up.

    Args:
        path: of the exported file.
        image: [1, ...], of the type that the file takes.
        threads: how many the runtime may use.
    """
    if kind(path) == "saved_model":
        return float(_run_saved_model(path, image, threads)["milliseconds"])
    with quiet():
        runner = tflite_runner(path, threads)
        details = runner.get_input_details()
        given = _by_name(path, image, {k: x["shape"].tolist() for k, x in details.items()})
        batch = next(iter(details.values()))["shape"][0]
        given, taken = {name: array.repeat(batch, axis=0) for name, array in given.items()}, []
        for _ in range(ROUNDS + 3):
            start = time.perf_counter()
            runner(**given)
            taken.append(time.perf_counter() - start)
    return 1000 * statistics.median(taken[3:]) / int(batch)


def _run_saved_model(path, images, threads=0) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        given, outputs = (os.path.join(folder, f"{name}.npz") for name in ("images", "outputs"))
        np.savez(given, **(images if isinstance(images, dict) else {ONLY: images}))
        job = {"path": str(path.absolute()), "images": given, "outputs": outputs}
        job |= {"threads": threads, "rounds": ROUNDS}
        worker = Worker(PROGRAM) if threads else WORKER  # a process has one number of threads
        try:
            error = worker.ask(job).get("error")
        except CrashError as crash:
            error = str(crash)
        finally:
            if threads:
                worker.close()
        if error:
            raise ValueError(f"{path} does not run: {error.strip().splitlines()[-1]}")
        with np.load(outputs) as arrays:
            return {name.removeprefix("output_"): arrays[name] for name in arrays.files}


def _run_tflite(path, images) -> dict[str, np.ndarray]:
    with quiet():
        runner = tflite_runner(path, os.cpu_count())
        details = runner.get_input_details()
        takes = {name: [int(size) for size in x["shape"]] for name, x in details.items()}
        given = _by_name(path, images, takes)
        batch, rows = next(iter(takes.values()))[0], len(next(iter(given.values())))
        chunks = []
        for at in range(0, rows, batch):
            chunk = {name: _filled(array[at : at + batch], batch) for name, array in given.items()}
            chunks.append(runner(**chunk))
    return {k: np.concatenate([c[k] for c in chunks])[:rows] for k in chunks[0]}


def _by_name(path, images, takes) -> dict[str, np.ndarray]:
    """Returns the arrays by the file's names; ValueError where they are not what it takes."""
    given = images if isinstance(images, dict) else dict.fromkeys(takes, images)
    shapes = {name: list(array.shape) for name, array in given.items()}
    fitting = set(given) == set(takes) and all(takes[k][1:] == shapes[k][1:] for k in takes)
    if not fitting or (len(takes) > 1 and not isinstance(images, dict)):
        raise ValueError(f"{path}: it takes {takes}, and is given {shapes}")
    return given


def _filled(chunk, batch):
    """Returns a static batch, filled up with the last row; the surplus answers are cut off."""
    padding = [(0, batch - len(chunk))] + [(0, 0)] * (chunk.ndim - 1)
    return np.pad(chunk, padding, mode="edge")


def undelegated(path: pathlib.Path) -> dict[str, int]:
    """Returns how many of which operations of a .tflite file LiteRT runs outside XNNPACK, its CPU delegate.

    A file without any runs in one piece; each piece outside costs a hand-over.
    """
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(str(path))
        interpreter.allocate_tensors()  # which delegates
        nodes = interpreter._get_ops_details()  # the file's, and behind them the delegate's
    pieces = [node for node in nodes if node["op_name"] == "DELEGATE"]
    own = [node for node in nodes if node["op_name"] != "DELEGATE"]
    made = {tensor: node for node in own for tensor in node["outputs"]}
    taken = set()
    for piece in pieces:  # it holds what lies between its outputs and its inputs
        ends, waiting = set(piece["inputs"]), list(piece["outputs"])
        while waiting:
            tensor = waiting.pop()
            if tensor in made and tensor not in ends and made[tensor]["index"] not in taken:
                taken.add(made[tensor]["index"])
                waiting.extend(made[tensor]["inputs"])
    left = collections.Counter(node["op_name"] for node in own if node["index"] not in taken)
    return dict(sorted(left.items()))


def tflite_runner(path, threads):
    """Returns the callable of a .tflite file's signature."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(str(path), num_threads=threads)
        return interpreter.get_signature_runner(next(iter(interpreter.get_signature_list()), None))
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path} does not run: {str(error).splitlines()[0]}") from error
