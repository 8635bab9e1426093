"""Trains SNAIL to classify an image of a class that it has never seen, after one or a few examples of each class.

    python recipes/few_shot.py                                           # pairs of the digits of kapps
    python recipes/few_shot.py --data=omniglot_images_background_small1.zip --shots=1,5

An episode has N classes with K labelled images each, and a query (Mishra 2018, arXiv:1707.03141). The classes of the
test are not in the training. Without --data they are ordered pairs of digits, turned by 0, 90, 180 and 270 degrees;
--data is a directory or a .zip file with a folder for each class, such as Omniglot's, whose last alphabet is the test.

The network is narrower than the paper's by default: --embedding_filters=64 --filters=128 is the paper's. Finished
networks are saved to results.json; the same command resumes an interrupted run. Results: docs/few_shot.md.
"""

import functools
import gc
import pathlib

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from common import few_shot_episodes, task_training
from common import results as _results

import kapps
from kapps import data, tables, training, visualize

FLAGS = flags.FLAGS
training.define_path("data", None, "directory or .zip file of class folders")
flags.DEFINE_integer("ways", 5, "classes of an episode", 2, 100)
flags.DEFINE_list("shots", ["1", "5"], "examples of each class, one network each, 1 to 100")
flags.DEFINE_integer("size", None, "height and width of the images of --data [28]", 16, 256)
flags.DEFINE_integer("steps", 2000, "training steps", 1, 10**9)
flags.DEFINE_integer("batch_size", 16, "episodes per step", 1, 2**16)
flags.DEFINE_integer("test", 1000, "test episodes", 1, 10**6)
flags.DEFINE_integer("embedding_filters", 32, "channels of the embedding", 1, 4096)
flags.DEFINE_integer("filters", 64, "channels of a dense block", 1, 4096)
flags.DEFINE_integer(
    "first_dilation", 1, "dilation of the first dense block; 2 in the paper's listing", 1, 64
)
training.define_positive("learning_rate", 1e-3, "peak learning rate of Adam")
flags.DEFINE_integer("seed", 0, "random seed", lower_bound=0)
training.define_path("model_dir", "runs/few_shot", "output folder", "output")

RUN_FLAGS = (
    "data", "ways", "size", "steps", "batch_size", "test", "embedding_filters", "filters", "first_dilation",
    "learning_rate", "seed",
)  # fmt: skip
"""Flags that are the same for all rows of a table."""
PAPER = {(5, 1): 99.07, (5, 5): 99.78, (20, 1): 97.64, (20, 5): 99.36}
"""Accuracy on Omniglot by ways and shots, with 1,200 characters to train on."""
PLOTTED = 6
"""Number of episodes of a plot."""
COLUMNS = (
    tables.Column("task", "episodes"),
    tables.Column("parameters", "parameters", ",.0f"),
    tables.Column("steps", "steps", ",.0f"),
    tables.Column("seconds", "seconds", ".0f"),
    tables.Column("loss", "loss", ".3f"),
    tables.Column("seen", "seen classes (%)", ".1f"),
    tables.Column("result", "new classes (%)", ".1f"),
    tables.Column("nearest", "nearest pixels (%)", ".1f"),
    tables.Column("chance", "chance (%)", ".3g"),
    tables.Column("paper", "paper (%)", ".4g"),
)


def build(shots, size):
    model = kapps.families.snail(
        input_shape=(FLAGS.ways * shots + 1, size * size + FLAGS.ways), classes=FLAGS.ways, ways=FLAGS.ways,
        shots=shots, embedding="omniglot", image=(size, size, 1), embedding_filters=FLAGS.embedding_filters,
        filters=FLAGS.filters, first_dilation=FLAGS.first_dilation,
    )  # fmt: skip
    loss, rate = "sparse_categorical_crossentropy", FLAGS.learning_rate
    metrics = [keras.metrics.SparseCategoricalAccuracy("accuracy")]
    task_training.compile_model(model, loss, rate, FLAGS.steps, clipnorm=1.0, metrics=metrics)
    return model


def train(run, characters, shots):
    """Trains one network. Returns its row of the table."""
    keras.utils.set_random_seed(FLAGS.seed)
    size = characters.train[0].shape[1]
    model, sizes = build(shots, size), (FLAGS.ways, shots)
    random = np.random.default_rng([FLAGS.seed, 1])
    seen, new = [
        few_shot_episodes.make_episodes(classes, *sizes, np.random.default_rng([FLAGS.seed, 2]), FLAGS.test)
        for classes in (characters.train, characters.test)
    ]  # fmt: skip
    make_batch = functools.partial(
        few_shot_episodes.make_episodes, characters.train, *sizes, random, FLAGS.batch_size
    )
    measure = functools.partial(task_training.measure_accuracy, model, batch_size=50)
    points, seconds = task_training.train(
        run, model, make_batch, lambda _: measure(new), FLAGS.steps
    )
    last = points[-1][1]
    nearest = few_shot_episodes.nearest_neighbour(new[0], FLAGS.ways) == new[1]
    return {
        "task": f"{FLAGS.ways}-way {shots}-shot",
        "parameters": model.count_params(),
        "steps": FLAGS.steps,
        "seconds": seconds,
        "loss": last["loss"],
        "seen": measure(seen)["accuracy"][0],
        "result": last["accuracy"],
        "nearest": 100 * float(nearest.mean()),
        "chance": 100 / FLAGS.ways,
        "paper": PAPER.get(sizes),
        "curve": [(step, values["accuracy"]) for step, values in points],
        "values": plotted(model, *new, size),
    }


def plotted(model, episodes, classes, size):
    """Returns the examples, queries, classes and probabilities of some episodes as lists."""
    episodes, classes = episodes[:PLOTTED], classes[:PLOTTED]
    images = episodes[..., : size * size].reshape(*episodes.shape[:2], size, size)
    first = episodes[..., size * size :].argmax(axis=1)  # the first step with each label
    examples = np.stack([row[steps] for row, steps in zip(images, first, strict=True)])
    values = examples, images[:, -1], classes, model.predict(episodes, verbose=0)
    return [np.round(array, 3).tolist() for array in values]


def check_flags():
    """Returns the numbers of shots, after a check of the flags and of the memory that they need."""
    training.forbid_without("size", "--data", FLAGS.data is not None)
    shots = []
    for value in FLAGS.shots:
        if not value.isdecimal() or not 1 <= int(value) <= 100:
            raise ValueError(
                f"--shots={','.join(FLAGS.shots)}: {value!r} is not a number from 1 to 100"
            )
        shots.append(int(value))
    side = few_shot_episodes.DIGIT_SIZE if FLAGS.data is None else FLAGS.size or 28
    steps = FLAGS.ways * max(shots) + 1
    image = 4 * side * side * (6 * FLAGS.embedding_filters + 1)
    size = max(FLAGS.batch_size, 50) * steps * (image + 64 * FLAGS.filters * 8)
    size += 4 * FLAGS.test * steps * 2 * side * side
    training.require_memory(
        size, "lower --batch_size, --test, --shots, --ways, --size or --filters"
    )
    return shots


def main(_):
    shots = check_flags()
    tf.get_logger().setLevel("ERROR")  # it warns about retracing for each network after the first
    identity = {name: FLAGS[name].value for name in RUN_FLAGS}
    of_data = None
    if FLAGS.data is None:
        characters = few_shot_episodes.digit_pairs()
    else:
        characters = few_shot_episodes.read_characters(FLAGS.data, FLAGS.size or 28, max(shots) + 1)
        files = pathlib.Path(FLAGS.data)
        of_data = {"data": data.file_identity(FLAGS.data)} if files.is_file() else None
    for name, classes in (("train", characters.train), ("test", characters.test)):
        if len(classes) < FLAGS.ways:
            raise ValueError(f"--ways={FLAGS.ways} is more than the {len(classes)} {name} classes")
    results = _results.Results(FLAGS.model_dir, identity, of_data)
    plots = []
    for shot in shots:
        run = f"{FLAGS.ways}way_{shot}shot"
        if run not in results.rows:
            results.add(run, train(run, characters, shot))
            keras.backend.clear_session()
            gc.collect()
        row = results.rows[run]
        print(
            f"{run}: {row['result']:.1f} % (chance {row['chance']:.3g}), {row['seconds']:.0f} seconds",
            flush=True,
        )
        plots.append(f"{run}.png")
        visualize.plot_episodes(*row["values"], pathlib.Path(FLAGS.model_dir, plots[-1]))
    note = (
        f"{len(characters.train):,} classes to train on, {len(characters.test):,} others to test; the paper trained on "
        "1,200 Omniglot characters in four turns. Nearest pixels: the class of the example with the nearest pixels."
    )
    curves = results.curves("curve", "curves.png", "steps", "accuracy on new classes (%)")
    results.table("Few-shot classification by SNAIL", COLUMNS, note, [curves, *plots])


if __name__ == "__main__":
    training.run_main(main)
