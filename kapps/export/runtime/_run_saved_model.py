"""Runs SavedModels as another program would: with TensorFlow and NumPy, and without Keras.

A job (see `_worker.py`) is {"path", "inputs", "outputs", "threads", "rounds", "allowed"}. `allowed` are the operations
that the SavedModel may have; without it, the SavedModel is not checked. `inputs` and `outputs` are paths of .npz
files: the inputs by name, or one input called "only"; the outputs by name with the prefix "output_". With `threads`
above 0, the first row is run `rounds` times, and the output is the median of the `milliseconds`. TensorFlow sets its
number of threads once, so that such a job must be the process's only one.
"""

import pathlib
import runpy
import statistics
import sys
import time

BATCH_SIZE = 32
CHECK = pathlib.Path(__file__).with_name("_check_saved_model.py")
WARM_UP_ROUNDS = 3


def prepare():
    """Imports TensorFlow without Keras."""
    # TensorFlow imports Keras where it is installed. With None in its place, every such import fails.
    sys.modules["keras"] = None
    import tensorflow  # noqa: F401


def run(job):
    """Runs a job."""
    prepare()
    import numpy as np
    import tensorflow as tf

    if job["threads"]:
        tf.config.threading.set_intra_op_parallelism_threads(job["threads"])
        tf.config.threading.set_inter_op_parallelism_threads(job["threads"])
    if job["allowed"] is not None:
        runpy.run_path(str(CHECK))["check_saved_model"](job["path"], job["allowed"])
    signatures = tf.saved_model.load(job["path"]).signatures
    if "serving_default" not in signatures:
        raise ValueError(f"there is no signature serving_default, only {sorted(signatures)}")
    signature = signatures["serving_default"]
    specs = signature.structured_input_signature[1]
    with np.load(job["inputs"]) as file:
        inputs = {name: file[name] for name in file.files}
    if list(inputs) == ["only"] and len(specs) == 1:
        inputs = dict(zip(specs, inputs.values(), strict=True))
    if set(inputs) != set(specs) or not all(
        specs[name].shape.is_compatible_with(inputs[name].shape) for name in specs
    ):
        expected = {name: spec.shape.as_list() for name, spec in specs.items()}
        raise ValueError(f"it takes {expected}, not {[list(x.shape) for x in inputs.values()]}")

    def batch(start, stop):
        return {name: tf.constant(array[start:stop]) for name, array in inputs.items()}

    if job["threads"]:
        milliseconds, row = [], batch(0, 1)
        for _ in range(job["rounds"] + WARM_UP_ROUNDS):
            start = time.perf_counter()
            next(iter(signature(**row).values())).numpy()
            milliseconds.append(1000 * (time.perf_counter() - start))
        np.savez(job["outputs"], milliseconds=statistics.median(milliseconds[WARM_UP_ROUNDS:]))
        return
    rows = len(next(iter(inputs.values())))
    batches = [
        signature(**batch(start, start + BATCH_SIZE)) for start in range(0, rows, BATCH_SIZE)
    ]

    def to_array(tensor):
        array = tensor.numpy()
        if array.dtype != object:
            return np.atleast_1d(array)
        return np.char.decode(np.atleast_1d(array).astype("S"), "utf-8", "replace")

    # The prefix separates the names of outputs from the arguments of savez.
    outputs = {
        f"output_{name}": np.concatenate([to_array(outputs[name]) for outputs in batches])
        for name in batches[0]
    }
    if sys.modules["keras"] is not None or any(name.startswith("keras.") for name in sys.modules):
        raise ValueError("Keras was imported")
    np.savez(job["outputs"], **outputs)
