"""Runs SavedModels as another program would: with TensorFlow and NumPy, and without Keras.

A job (see `_worker.py`) is {"path", "inputs", "outputs", "threads", "rounds"}. `inputs` and `outputs` are paths of .npz
files: the inputs by name, or one input called "only"; the outputs by name with the prefix "output_". With `threads`
above 0, the first row is run `rounds` times, and the output is the median of the `milliseconds`. TensorFlow sets its
number of threads once, so that such a job must be the process's only one.
"""

import statistics
import sys
import time

BATCH_SIZE = 32
WARM_UP_ROUNDS = 3


def run(job):
    """Runs a job."""
    # TensorFlow imports Keras where it is installed. With None in its place, every such import fails.
    sys.modules["keras"] = None
    import numpy as np
    import tensorflow as tf

    if job["threads"]:
        tf.config.threading.set_intra_op_parallelism_threads(job["threads"])
        tf.config.threading.set_inter_op_parallelism_threads(job["threads"])
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
        return np.char.decode(array.astype("S"), "utf-8") if array.dtype == object else array

    # The prefix separates the names of outputs from the arguments of savez.
    outputs = {
        f"output_{name}": np.concatenate([to_array(outputs[name]) for outputs in batches])
        for name in batches[0]
    }
    if sys.modules["keras"] is not None or any(name.startswith("keras.") for name in sys.modules):
        raise ValueError("Keras was imported")
    np.savez(job["outputs"], **outputs)
