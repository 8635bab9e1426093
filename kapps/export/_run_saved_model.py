"""Runs a SavedModel as a stranger would: with TensorFlow and NumPy, and no Keras to be had.

python _run_saved_model.py DIRECTORY PICTURES.npy OUTPUTS.npz THREADS ROUNDS

With THREADS above 0 it takes the first picture ROUNDS times and writes the median of the `milliseconds`.
"""

import statistics
import sys
import time

BATCH = 32


def main(directory, pictures, outputs, threads, rounds):
    # TensorFlow looks for an installed Keras when imported; None makes every such import fail.
    sys.modules["keras"] = None
    import numpy as np
    import tensorflow as tf

    if int(threads):
        tf.config.threading.set_intra_op_parallelism_threads(int(threads))
        tf.config.threading.set_inter_op_parallelism_threads(int(threads))
    signatures = tf.saved_model.load(directory).signatures
    if "serving_default" not in signatures:
        sys.exit(f"there is no signature serving_default, only {sorted(signatures)}")
    serve = signatures["serving_default"]
    takes = serve.structured_input_signature[1]
    pictures = np.load(pictures, mmap_mode="r")
    if set(takes) != {"image"} or not takes["image"].shape.is_compatible_with(pictures.shape):
        takes = {name: spec.shape.as_list() for name, spec in takes.items()}
        sys.exit(f"it takes {takes}, the pictures are {list(pictures.shape)}")
    if int(threads):
        taken, picture = [], tf.constant(pictures[:1])
        for _ in range(int(rounds) + 3):
            start = time.perf_counter()
            next(iter(serve(image=picture).values())).numpy()
            taken.append(1000 * (time.perf_counter() - start))
        np.savez(outputs, milliseconds=statistics.median(taken[3:]))
        return
    chunks = [
        serve(image=tf.constant(pictures[at : at + BATCH])) for at in range(0, len(pictures), BATCH)
    ]

    def array(values):
        values = values.numpy()
        return np.char.decode(values.astype("S"), "utf-8") if values.dtype == object else values

    # The prefix keeps an output's name from meeting an argument of savez.
    results = {f"output_{k}": np.concatenate([array(c[k]) for c in chunks]) for k in chunks[0]}
    if sys.modules["keras"] is not None or any(name.startswith("keras.") for name in sys.modules):
        sys.exit("Keras was imported")
    np.savez(outputs, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
