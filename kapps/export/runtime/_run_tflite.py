"""Runs .tflite files in LiteRT, in a process of its own: LiteRT aborts on some corrupt files.

A job (see `_worker.py`) is {"task", "path", "inputs", "outputs", "threads", "rounds"}. Tasks are

- "run": writes the outputs by name, with the prefix "output_", and returns the file's precision;
- "time": returns the median of the `milliseconds` of `rounds` calls;
- "check": runs the file once on zeros and returns the shapes of its `inputs`;
- "operations": returns the operations outside XNNPACK with their counts.

`inputs` and `outputs` are paths of .npz files: the inputs by name, or one input called "only".
"""

import collections
import pathlib
import runpy
import statistics
import time

import numpy as np

CONTENTS = pathlib.Path(__file__).parents[1] / "tflite" / "_file_contents.py"
WARM_UP_ROUNDS = 3


def prepare():
    """Imports LiteRT."""
    import ai_edge_litert.interpreter  # noqa: F401


def run(job):
    """Runs a job."""
    tasks = {"run": _run, "time": _time, "check": _check, "operations": _operations}
    return tasks[job["task"]](job)


def _runner(job):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(job["path"], num_threads=job["threads"])
    return interpreter.get_signature_runner(next(iter(interpreter.get_signature_list()), None))


def _run(job):
    runner = _runner(job)
    shapes = _input_shapes(runner)
    inputs = _read_inputs(job, shapes)
    batch_size, rows = _batch_size(shapes), len(next(iter(inputs.values())))
    batches = []
    for start in range(0, rows, batch_size):
        stop = start + batch_size
        batch = {name: _pad(array[start:stop], batch_size) for name, array in inputs.items()}
        batches.append(runner(**batch))
    outputs = {
        f"output_{name}": np.concatenate([np.atleast_1d(outputs[name]) for outputs in batches])
        for name in batches[0]
    }
    for name, array in outputs.items():
        if array.dtype == object:
            raise ValueError(f"its {name.replace('_', ' ', 1)} is text")
    np.savez(job["outputs"], **{name: array[:rows] for name, array in outputs.items()})
    return {"precision": runpy.run_path(str(CONTENTS))["file_precision"](job["path"])}


def _time(job):
    runner = _runner(job)
    shapes = _input_shapes(runner)
    batch_size = _batch_size(shapes)
    inputs = _read_inputs(job, shapes)
    inputs = {name: array.repeat(batch_size, axis=0) for name, array in inputs.items()}
    milliseconds = []
    for _ in range(job["rounds"] + WARM_UP_ROUNDS):
        start = time.perf_counter()
        runner(**inputs)
        milliseconds.append(1000 * (time.perf_counter() - start))
    return {"milliseconds": statistics.median(milliseconds[WARM_UP_ROUNDS:]) / batch_size}


def _check(job):
    runner = _runner(job)
    details = runner.get_input_details()
    shapes = _input_shapes(runner)
    runner(**{name: np.zeros(shapes[name], x["dtype"]) for name, x in details.items()})
    return {"inputs": shapes}


def _operations(job):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(job["path"])
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
    return {"operations": dict(sorted(counts.items()))}


def _input_shapes(runner) -> dict[str, list[int]]:
    return {
        name: [int(size) for size in detail["shape"]]
        for name, detail in runner.get_input_details().items()
    }


def _batch_size(shapes):
    first = next(iter(shapes.values()), [])
    if not first or first[0] < 1:
        raise ValueError(f"it takes {shapes}, which has no batch")
    return first[0]


def _read_inputs(job, shapes) -> dict[str, np.ndarray]:
    """Returns the arrays by the file's input names; raises ValueError if they do not fit."""
    with np.load(job["inputs"]) as file:
        inputs = {name: file[name] for name in file.files}
    if list(inputs) == ["only"] and len(shapes) == 1:
        inputs = dict(zip(shapes, inputs.values(), strict=True))
    array_shapes = {name: list(array.shape) for name, array in inputs.items()}
    fits = set(inputs) == set(shapes) and all(
        shapes[name][1:] == array_shapes[name][1:] for name in shapes
    )
    if not fits:
        raise ValueError(f"it takes {shapes}, not {array_shapes}")
    return inputs


def _pad(rows, batch_size):
    """Returns a batch of static size, filled with copies of the last row."""
    padding = [(0, batch_size - len(rows))] + [(0, 0)] * (rows.ndim - 1)
    return np.pad(rows, padding, mode="edge")
