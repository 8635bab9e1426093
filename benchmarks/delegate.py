"""LiteRT files of every family: do they agree once trained, and what does XNNPACK, the CPU delegate, leave out?

    python benchmarks/delegate.py
    python benchmarks/delegate.py mobilenet_v2 shufflenet_v1 --steps 60

By default the smallest member of each family. Each learns 64 digits for some steps, is written in float32 and in int8,
and both files are compared with it on those digits: float32 by the largest difference, int8 by the top-1 agreement.
The last two columns are the operations of each file that run outside the delegate.
"""

import argparse
import math
import pathlib
import sys
import tempfile

import _timing  # noqa: F401  # quiet, and oneDNN on
import numpy as np

DIGITS = pathlib.Path(__file__).parents[1] / "tests" / "reference" / "digits64.npz"
COLUMNS = ("network", "knows", "float32", "int8", "left out, float32", "left out, int8")


def digits(size):
    """Returns 64 real images [64, size, size, 3] in [-1, 1] and their labels."""
    with np.load(DIGITS) as file:
        images, labels = file["images"] / 8 - 1, file["labels"].astype("int32")
    times = math.ceil(size / 8)
    images = images.repeat(times, axis=1).repeat(times, axis=2)[:, :size, :size, None]
    return images.repeat(3, axis=-1).astype("float32"), labels


def learn(model, images, labels, steps, rate):
    """Trains until a loss below 0.02, or for `steps`, and settles the batch norms; returns the share it then knows."""
    import keras

    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    draw = np.random.default_rng(0)
    for _ in range(steps):
        some = draw.permutation(len(images))[:32]
        if model.train_on_batch(images[some], labels[some]) < 0.02:
            break
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:  # so few steps leave the averages behind: they become those of one batch
        norm.momentum = 0.0
    model(images, training=True)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    said = np.argmax(model.predict_on_batch(images), axis=-1)
    return float((said == labels).mean())


def examine(model, steps, rate, folder):
    """Returns what a line of the table has: the share known, the two reports, and what each file leaves out.

    Args:
        model: with random weights, images of three channels to probabilities of ten classes.
        steps: of training, at most.
        rate: Adam's.
        folder: for the files.
    """
    from kapps import export
    from kapps.export import runtime

    images, labels = digits(model.input_shape[1])
    known, found = learn(model, images, labels, steps, rate), []
    for precision, options in (("float32", {}), ("int8", {"calibration": images})):
        file = pathlib.Path(folder, f"{precision}.tflite")
        export.tflite(model, file, precision=precision, **options)
        found += [(export.verify(model, file, images), runtime.undelegated_operations(file))]
    (plain, plain_left), (small, small_left) = found
    return known, plain, small, plain_left, small_left


def main():
    """Prints a table in Markdown; exits with 1 where a file does not agree with its network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", help="builders [the smallest of each family]")
    parser.add_argument("--steps", type=int, default=200, help="of training, at most [200]")
    parser.add_argument("--rate", type=float, default=1e-3, help="Adam's learning rate [0.001]")
    options = parser.parse_args()

    import keras

    import kapps

    faults = []
    print("| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS), sep="\n", flush=True)
    for name in options.networks or kapps.cards.smallest("module"):
        keras.utils.set_random_seed(0)
        side = max(32, kapps.card(name).minimum)
        model = getattr(kapps, name)(input_shape=(side, side, 3), classes=10)
        with tempfile.TemporaryDirectory() as folder:
            known, plain, small, *left = examine(model, options.steps, options.rate, folder)
        left = [", ".join(f"{n} {what}" for what, n in each.items()) or "none" for each in left]
        print(
            f"| {name} | {known:.0%} | {plain.largest_difference:.0e} | {small.top1_agreement:.1%} "
            f"| {' | '.join(left)} |",
            flush=True,
        )
        faults += [(name, fault) for fault in (plain.failure(), small.failure()) if fault]
        keras.backend.clear_session()
    for name, fault in faults:
        print(f"{name}: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
