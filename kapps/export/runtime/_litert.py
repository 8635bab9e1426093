"""Runs .tflite files in LiteRT, on the CPU."""

import collections
import os
import pathlib
import statistics
import time

import numpy as np

from kapps.export._quiet import quiet

ROUNDS = 30
WARM_UP_ROUNDS = 3


def signature_runner(path: str | os.PathLike, threads: int):
    """Returns the callable of a .tflite file's signature; raises ValueError for a file that LiteRT cannot run."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(str(path), num_threads=threads)
        return interpreter.get_signature_runner(next(iter(interpreter.get_signature_list()), None))
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path} does not run: {str(error).splitlines()[0]}") from error


def run_tflite(path: pathlib.Path, inputs) -> dict[str, np.ndarray]:
    """Returns the outputs of a .tflite file by name."""
    with quiet():
        runner = signature_runner(path, os.cpu_count())
        shapes = _input_shapes(runner)
        inputs = _named_inputs(path, inputs, shapes)
        batch_size, rows = next(iter(shapes.values()))[0], len(next(iter(inputs.values())))
        batches = []
        for start in range(0, rows, batch_size):
            stop = start + batch_size
            batch = {name: _pad(array[start:stop], batch_size) for name, array in inputs.items()}
            batches.append(runner(**batch))
    return {
        name: np.concatenate([outputs[name] for outputs in batches])[:rows] for name in batches[0]
    }


def time_tflite(path: pathlib.Path, inputs, threads: int) -> float:
    """Returns the latency of a .tflite file in milliseconds for one row, the median of `ROUNDS` calls."""
    with quiet():
        runner = signature_runner(path, threads)
        shapes = _input_shapes(runner)
        batch_size = next(iter(shapes.values()))[0]
        inputs = {
            name: array.repeat(batch_size, axis=0)
            for name, array in _named_inputs(path, inputs, shapes).items()
        }
        seconds = []
        for _ in range(ROUNDS + WARM_UP_ROUNDS):
            start = time.perf_counter()
            runner(**inputs)
            seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[WARM_UP_ROUNDS:]) / batch_size


def undelegated_operations(path: pathlib.Path) -> dict[str, int]:
    """Returns the operations of a .tflite file that run outside XNNPACK, LiteRT's CPU delegate.

    Each group of such operations costs a transition between LiteRT and the delegate.

    Args:
        path: of the file.

    Returns:
        {operation: count}; empty if the delegate runs the complete file.
    """
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(str(path))
        interpreter.allocate_tensors()  # which also applies the delegate
        nodes = interpreter._get_ops_details()  # the file's operations, then those of the delegate
    delegates = [node for node in nodes if node["op_name"] == "DELEGATE"]
    operations = [node for node in nodes if node["op_name"] != "DELEGATE"]
    producers = {tensor: node for node in operations for tensor in node["outputs"]}
    delegated = set()
    for delegate in delegates:  # it runs all operations between its inputs and its outputs
        inputs, tensors = set(delegate["inputs"]), list(delegate["outputs"])
        while tensors:
            tensor = tensors.pop()
            node = producers.get(tensor)
            if node and tensor not in inputs and node["index"] not in delegated:
                delegated.add(node["index"])
                tensors.extend(node["inputs"])
    counts = collections.Counter(
        node["op_name"] for node in operations if node["index"] not in delegated
    )
    return dict(sorted(counts.items()))


def _input_shapes(runner) -> dict[str, list[int]]:
    return {
        name: [int(size) for size in detail["shape"]]
        for name, detail in runner.get_input_details().items()
    }


def _named_inputs(path, inputs, shapes) -> dict[str, np.ndarray]:
    """Returns the arrays by the file's input names; raises ValueError if they do not fit."""
    arrays = inputs if isinstance(inputs, dict) else dict.fromkeys(shapes, inputs)
    array_shapes = {name: list(array.shape) for name, array in arrays.items()}
    fits = set(arrays) == set(shapes) and all(
        shapes[name][1:] == array_shapes[name][1:] for name in shapes
    )
    if not fits or (len(shapes) > 1 and not isinstance(inputs, dict)):
        raise ValueError(f"{path}: it takes {shapes}, not {array_shapes}")
    return arrays


def _pad(rows, batch_size):
    """Returns a batch of static size, filled with copies of the last row."""
    padding = [(0, batch_size - len(rows))] + [(0, 0)] * (rows.ndim - 1)
    return np.pad(rows, padding, mode="edge")
