"""TFLite files of trained networks of every family: agreement with the model, and operations outside XNNPACK.

    python benchmarks/delegate.py
    python benchmarks/delegate.py mobilenet_v2 shufflenet_v1 --steps 60

By default the smallest network of each family. Each network is trained on 64 digits and exported in float32 and int8,
and both files are compared with it on those digits: by the largest difference in float32, by the top-1 agreement in
int8. The last two columns are the operations that LiteRT runs outside XNNPACK, its CPU delegate.
"""

import argparse
import math
import pathlib
import sys
import tempfile
from typing import NamedTuple

import _timing  # noqa: F401  # sets TensorFlow's environment variables
import numpy as np

DIGITS = pathlib.Path(__file__).parents[1] / "tests" / "reference" / "digits64.npz"
COLUMNS = (
    "builder", "training accuracy", "float32 maximum difference", "int8 top-1 agreement",
    "not delegated in float32", "not delegated in int8",
)  # fmt: skip
BATCH_SIZE, TARGET_LOSS = 32, 0.02


class Comparison(NamedTuple):
    """A trained network and its two files.

    Args:
        accuracy: fraction of the training images that the network classifies correctly.
        float32, int8: a `kapps.export.Report` of each file.
        float32_undelegated, int8_undelegated: {operation: count} outside XNNPACK.
    """

    accuracy: float
    float32: object
    int8: object
    float32_undelegated: dict[str, int]
    int8_undelegated: dict[str, int]


def load_digits(size):
    """Returns 64 images [64, size, size, 3] in [-1, 1], and their labels."""
    with np.load(DIGITS) as file:
        images, labels = file["images"] / 8 - 1, file["labels"].astype("int32")
    repeats = math.ceil(size / 8)
    images = images.repeat(repeats, axis=1).repeat(repeats, axis=2)[:, :size, :size, None]
    return images.repeat(3, axis=-1).astype("float32"), labels


def train(model, images, labels, steps, learning_rate):
    """Trains with Adam until the loss is below `TARGET_LOSS`, and returns the training accuracy."""
    import keras

    optimizer = keras.optimizers.Adam(learning_rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    optimizer.build(model.trainable_variables)  # or the first step is traced twice
    generator = np.random.default_rng(0)
    for _ in range(steps):
        batch = generator.permutation(len(images))[:BATCH_SIZE]
        if model.train_on_batch(images[batch], labels[batch]) < TARGET_LOSS:
            break
    set_batch_statistics(model, images)
    predictions = np.argmax(model.predict_on_batch(images), axis=-1)
    return float((predictions == labels).mean())


def set_batch_statistics(model, images):
    """Sets the moving averages of batch norms to the statistics of the images; few steps do not reach them."""
    import keras

    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(images, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def compare(model, steps, learning_rate, folder):
    """Trains a network, exports it in float32 and int8, and returns a `Comparison`.

    Args:
        model: with random weights, from images of three channels to probabilities of ten classes.
        steps: the largest number of training steps.
        learning_rate: of Adam.
        folder: directory of the files.
    """
    from kapps import export
    from kapps.export import runtime

    images, labels = load_digits(model.input_shape[1])
    accuracy = train(model, images, labels, steps, learning_rate)
    reports, undelegated = [], []
    for precision, options in (("float32", {}), ("int8", {"calibration": images})):
        file = pathlib.Path(folder, f"{precision}.tflite")
        export.tflite(model, file, precision=precision, preprocessing=False, verbose=0, **options)
        report = export.verify(model, file, images, preprocessing=False, verbose=0)
        reports.append(report)
        undelegated.append(runtime.undelegated_operations(file))
    return Comparison(accuracy, *reports, *undelegated)


def table_row(name, comparison):
    """Returns the Markdown row of a network."""
    operations = [
        ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
        for counts in (comparison.float32_undelegated, comparison.int8_undelegated)
    ]
    cells = (
        f"`{name}`", f"{comparison.accuracy:.0%}", f"{comparison.float32.largest_difference:.0e}",
        f"{comparison.int8.top1_agreement:.1%}", *operations,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def build(name, depth):
    """Returns the builder's network for ten classes, with the last exit of several.

    Args:
        name: of the builder.
        depth: number of cells, or of blocks of each stage; None for the builder's.
    """
    import keras

    import kapps

    side = max(32, kapps.card(name).minimum)
    options = {"input_shape": (side, side, 3), "classes": 10}
    if depth is None:
        model = getattr(kapps, name)(**options)
    else:
        row = getattr(kapps, name).builder.row
        (key,) = {"n", "depth", "depths"} & row.keys()
        row = row | {key: [depth] * len(row[key]) if key == "depths" else depth}
        model = getattr(kapps.families, kapps.card(name).family)(**row, **options)
    return keras.Model(model.input, model.outputs[-1]) if len(model.outputs) > 1 else model


def main():
    """Prints a Markdown table; exits with status 1 if a file does not agree with its network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", help="builders [the smallest of each family]")
    parser.add_argument("--steps", type=int, default=200, help="most training steps [200]")
    parser.add_argument("--rate", type=float, default=1e-3, help="Adam's learning rate [0.001]")
    parser.add_argument(
        "--depth", type=int, help="number of cells, or of blocks of each stage [as published]"
    )
    options = parser.parse_args()

    import keras

    import kapps

    failures = []
    print("| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS), sep="\n", flush=True)
    for name in options.networks or kapps.cards.smallest("module"):
        keras.utils.set_random_seed(0)
        model = build(name, options.depth)
        with tempfile.TemporaryDirectory() as folder:
            comparison = compare(model, options.steps, options.rate, folder)
        print(table_row(name, comparison), flush=True)
        for report in (comparison.float32, comparison.int8):
            failures += [f"{name}: {report.failure()}"] if report.failure() else []
        keras.backend.clear_session()
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
