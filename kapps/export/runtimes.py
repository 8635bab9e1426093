"""Exported files in their own runtimes: a SavedModel in a process without Keras, a .tflite file in LiteRT."""

import collections
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from kapps.export import network
from kapps.export.quiet import quiet

ROUNDS = 30


def kind(path: pathlib.Path) -> str:
    """Returns "saved_model" or "litert"; ValueError for what is neither."""
    if (path / "saved_model.pb").is_file():
        return "saved_model"
    if path.suffix == ".tflite" and path.is_file():
        return "litert"
    what = "is neither a SavedModel nor a .tflite file" if path.exists() else "does not exist"
    raise ValueError(f"{path} {what}")


def run(path: pathlib.Path, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the outputs by name for float32 pictures [n, height, width, channels], on the CPU."""
    if kind(path) == "saved_model":
        return _run_saved_model(path, pictures)
    return _run_litert(path, pictures)


def milliseconds(path: pathlib.Path, picture: np.ndarray, threads: int) -> float:
    """Returns how long one picture takes, the median of some rounds after a warm-up.

    Args:
        path: of the exported file.
        picture: float32 [1, height, width, channels].
        threads: how many the runtime may use.
    """
    if kind(path) == "saved_model":
        return float(_run_saved_model(path, picture, threads)["milliseconds"])
    with quiet():
        runner = _runner(path, threads)
        batch = runner.get_input_details()[network.IMAGE]["shape"][0]
        picture, taken = picture.repeat(batch, axis=0), []
        for _ in range(ROUNDS + 3):
            start = time.perf_counter()
            runner(**{network.IMAGE: picture})
            taken.append(time.perf_counter() - start)
    return 1000 * statistics.median(taken[3:]) / int(batch)


def _run_saved_model(path, pictures, threads=0) -> dict[str, np.ndarray]:
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
            [sys.executable, str(program), str(path), given, results, str(threads), str(ROUNDS)],
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
        runner = _runner(path, os.cpu_count())
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


def _runner(path, threads):
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(str(path), num_threads=threads)
        return interpreter.get_signature_runner(next(iter(interpreter.get_signature_list()), None))
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path} does not run: {str(error).splitlines()[0]}") from error
