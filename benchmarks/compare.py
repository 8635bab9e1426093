"""Time of two revisions of kapps, in turn: a working tree next to a commit.

    python benchmarks/compare.py HEAD~1
    python benchmarks/compare.py main --works "predict resnet50" "train lstm" --rounds=15

The commit is checked out into a temporary folder. Each revision has a process of its own, the processes take turns, and
values are medians; a ratio below 1 means that the working tree takes less time. Run it before and after a change of
layers, exports or pipelines. Differences of a few percent need more rounds on an idle machine.
"""

import argparse
import contextlib
import functools
import os
import pathlib
import subprocess
import sys
import tempfile

import _timing

ROOT = pathlib.Path(__file__).parents[1]


def build(name):
    """Returns a function that builds a network."""
    import kapps

    return getattr(kapps, name)


def train(name, size, batch_size):
    """Returns a training step of a network on images."""
    import kapps

    model = getattr(kapps, name)(input_shape=(size, size, 3))
    return _timing.keras_step(model, batch_size, size)


def train_lstm():
    """Returns a training step of a language model: 2 LSTM layers of 256 units, 64 steps, batch size 32."""
    import keras
    import numpy as np

    from kapps import families

    model = families.rnn_lm(units=(256, 256), cell="lstm", vocabulary=256)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", jit_compile=False)
    tokens = np.random.default_rng(0).integers(1, 256, (32, 65))
    return functools.partial(model.train_on_batch, tokens[:, :-1], tokens[:, 1:])


def predict(name, size):
    """Returns a function that runs a traced network on one image."""
    import numpy as np
    import tensorflow as tf

    import kapps

    model = getattr(kapps, name)(input_shape=(size, size, 3))
    image = tf.constant(np.random.default_rng(0).random((1, size, size, 3), "float32"))
    return functools.partial(tf.function(model, jit_compile=False), image, training=False)


def training_images():
    """Returns a function that reads 256 training crops of 224 pixels from JPEG files of 500 x 375."""
    import numpy as np
    import tensorflow as tf

    import kapps
    from kapps.data import image

    folder = pathlib.Path(_folder.enter_context(tempfile.TemporaryDirectory()))
    random = np.random.default_rng(0)
    for i in range(64):
        low = random.integers(0, 256, (12, 16, 3)).astype("float32")
        pixels = tf.cast(tf.image.resize(low, (375, 500), "bicubic"), tf.int32)
        pixels = tf.cast(tf.clip_by_value(pixels, 0, 255), tf.uint8)
        path = folder / "train" / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tf.io.encode_jpeg(pixels).numpy())
    source = image.open_source(None, folder)
    batches = image.train_dataset(source, kapps.card("resnet50").preprocessing, 32, classes=2)
    iterator = iter(batches)
    return lambda: [next(iterator) for _ in range(8)]


_folder = contextlib.ExitStack()
WORKS = {
    "build densenet121": functools.partial(build, "densenet121"),
    "train mobilenet_v2": functools.partial(train, "mobilenet_v2", 96, 8),
    "train resnext50": functools.partial(train, "resnext50", 96, 4),
    "train lstm": train_lstm,
    "predict resnet50": functools.partial(predict, "resnet50", 224),
    "read training images": training_images,
}


def start(folder):
    """Starts the process of the revision in a folder."""
    # This file and `_timing` are those of the working tree; kapps is that of the folder.
    environment = {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "benchmarks")])}
    return _timing.TimedProcess([sys.executable, __file__, "--serve"], environments=[environment])


def prepare(work):
    """Returns a work, which is a function."""
    return WORKS[work]()


def checkout(revision, folder):
    """Writes the files of a commit to a folder, and returns the commit's short name and title.

    Raises:
        SystemExit: for a revision that git does not know.
    """
    git = ["git", "-C", str(ROOT)]
    title = subprocess.run(
        [*git, "log", "-1", "--format=%h %s", revision],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if title.returncode:
        sys.exit(f"{revision} is not a commit of {ROOT}: {title.stderr.strip()}")
    with subprocess.Popen([*git, "archive", revision, "kapps"], stdout=subprocess.PIPE) as archive:
        subprocess.run(["tar", "-x", "-C", str(folder)], stdin=archive.stdout, check=True)
    return title.stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revision", nargs="?", default="HEAD", help="commit to compare with")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        _timing.serve(prepare, with_work=True)
        return
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    with tempfile.TemporaryDirectory() as folder:
        title = checkout(options.revision, folder)
        processes = {options.revision: start(folder), "working tree": start(ROOT)}
        medians = _timing.median_seconds(processes, options.works, options.rounds, title)
    print(f"milliseconds, {_timing.CORES} cores, median of {options.rounds} rounds; {title}")
    print(f"{'':22}{options.revision[:14]:>14}{'working tree':>14}{'ratio':>8}")
    for work, seconds in medians.items():
        if len(seconds) < len(processes):  # the reason is printed above
            print(f"{work:22}  not measured")
            continue
        before, after = seconds[options.revision], seconds["working tree"]
        print(f"{work:22}{1000 * before:14.1f}{1000 * after:14.1f}{after / before:8.2f}")


if __name__ == "__main__":
    main()
