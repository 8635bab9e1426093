"""Runs SavedModels as a stranger would: with TensorFlow and NumPy, and no Keras to be had.

A job (see `worker.py`) is {"path", "images", "outputs", "threads", "rounds"}, all but the numbers paths; `images`
is an .npz file of the inputs by name, or of one called "only". With threads above 0 it takes the first image so many
rounds and writes the median of the `milliseconds`; TensorFlow sets its threads once in a process, so that such a job
is the only one.
"""

import statistics
import sys
import time

BATCH = 32


def answer(job):
    # TensorFlow looks for an installed Keras when imported; None makes every such import fail.
    sys.modules["keras"] = None
    import numpy as np
    import tensorflow as tf

    if job["threads"]:
        tf.config.threading.set_intra_op_parallelism_threads(job["threads"])
        tf.config.threading.set_inter_op_parallelism_threads(job["threads"])
    signatures = tf.saved_model.load(job["path"]).signatures
    if "serving_default" not in signatures:
        raise ValueError(f"there is no signature serving_default, only {sorted(signatures)}")
    serve = signatures["serving_default"]
    takes = serve.structured_input_signature[1]
    with np.load(job["images"]) as file:
        given = {name: file[name] for name in file.files}
    if list(given) == ["only"] and len(takes) == 1:
        given = dict(zip(takes, given.values(), strict=True))
    if set(given) != set(takes) or not all(
        takes[name].shape.is_compatible_with(given[name].shape) for name in takes
    ):
        takes = {name: spec.shape.as_list() for name, spec in takes.items()}
        raise ValueError(
            f"it takes {takes}, and is given {[list(x.shape) for x in given.values()]}"
        )
    rows = len(next(iter(given.values())))

    def batch(start, stop):
        return {name: tf.constant(array[start:stop]) for name, array in given.items()}

    if job["threads"]:
        taken, image = [], batch(0, 1)
        for _ in range(job["rounds"] + 3):
            start = time.perf_counter()
            next(iter(serve(**image).values())).numpy()
            taken.append(1000 * (time.perf_counter() - start))
        np.savez(job["outputs"], milliseconds=statistics.median(taken[3:]))
        return
    chunks = [serve(**batch(at, at + BATCH)) for at in range(0, rows, BATCH)]

    def array(values):
        values = values.numpy()
        return np.char.decode(values.astype("S"), "utf-8") if values.dtype == object else values

    # The prefix keeps an output's name from meeting an argument of savez.
    results = {f"output_{k}": np.concatenate([array(c[k]) for c in chunks]) for k in chunks[0]}
    if sys.modules["keras"] is not None or any(name.startswith("keras.") for name in sys.modules):
        raise ValueError("Keras was imported")
    np.savez(job["outputs"], **results)
