"""The program of cifar10.py and fashion_mnist.py: trains networks on small images within a budget, and tabulates them.

Images are enlarged for a network whose minimum input size is larger. All networks have the "cosine" schedule; those
without batch norms have a tenth of its learning rate, as in their papers (0.01, arXiv:1409.1556). Networks with binary
weights have the schedule "bwn", and those with binary inputs too "xnor".
"""

import gc
import sys
import time

import keras
import tensorflow as tf
from absl import flags

import kapps
from common import image_sources, small_image_training
from common import results as _results
from kapps import data, tables, training
from kapps._errors import main_sentence

FLAGS = flags.FLAGS
flags.disclaim_key_flags()  # the flags below are flags of the recipe: in its --help and its run.json

SECONDS = 45
COLUMNS = (
    tables.Column("network", "network"),
    tables.Column("family", "family"),
    tables.Column("input", "input"),
    tables.Column("parameters", "parameters", ",.0f"),
    tables.Column("macs", "MACs (M)", ",.1f", 1e6),
    tables.Column("rate", "rate", "g"),
    tables.Column("steps", "steps", ",.0f"),
    tables.Column("epochs", "epochs", ".2f"),
    tables.Column("top1", "top 1 (%)", ".2f"),
    tables.Column("seconds", "seconds", ".0f"),
)


def define_flags(dataset: str, model: str, channels: int, size: int, augmentation: str) -> None:
    """Defines the flags of a recipe; the arguments are its defaults."""
    flags.DEFINE_string(
        "model", model, "builders, separated by commas; or all, for the smallest of each family"
    )
    flags.DEFINE_string("dataset", dataset, "a TFDS name, downloaded if the flag is set; or digits")
    training.define_path("data", None, "class folders, a .zip of them, an .npz file, or shards")
    flags.DEFINE_string("labels", None, "CSV file of the labels of a folder or .zip of images")
    training.define_positive("seconds", None, f"of training per network [{SECONDS}]", 1e7)
    training.define_positive("minutes", None, "instead of --seconds", 1e5)
    flags.DEFINE_integer("epochs", None, "epochs, instead of a time", 1, 10**6)
    flags.DEFINE_integer("batch_size", 64, "images per step", 1, 2**20)
    flags.DEFINE_integer(
        "image_size", size, "height and width, if the network supports it", 1, 8192
    )
    flags.DEFINE_integer("channels", channels, "3, or 1 for grey", 1, 3)
    flags.DEFINE_enum(
        "augmentation", augmentation, list(data.AUGMENTATIONS), "of the training images"
    )
    training.define_positive(
        "learning_rate",
        None,
        f"for 256 images per step [{small_image_training.LEARNING_RATE}; without batch norms a tenth; binary: that "
        "of bwn, xnor]",
    )
    flags.DEFINE_integer(
        "seed",
        0,
        "seed of the weights, of the order of the images and of their augmentation",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "checkpoint_every", 500, "steps between two checkpoints, with --epochs", lower_bound=1
    )
    image_sources.define_data_service()
    training.define_path(
        "model_dir", f"runs/{dataset}", "directory of models, table and curves", "output"
    )


def set_defaults() -> list[str]:
    """Returns the names of --model, and sets the flags of the budget."""
    names = kapps.cards.smallest() if FLAGS.model == "all" else FLAGS.model.split(",")
    for name in names:
        kapps.cards.image_card(name)
        if names.count(name) > 1:
            raise ValueError(f"--model={FLAGS.model} has {name} twice: give each network once")
    training.forbid_both("data", "dataset", "give the files or the name of the images")
    training.forbid_without("checkpoint_every", "--epochs", FLAGS.epochs is not None)
    size = training.image_memory(
        FLAGS.batch_size, FLAGS.image_size, FLAGS.image_size, FLAGS.channels
    )
    training.require_memory(size, "lower --batch_size or --image_size")
    budgets = [flag for flag in ("seconds", "minutes", "epochs") if FLAGS[flag].value is not None]
    if len(budgets) > 1:
        training.forbid_both(*budgets[:2], "give one budget")
    if FLAGS.minutes is not None:
        FLAGS.seconds = 60 * FLAGS.minutes
    if not budgets:
        FLAGS.seconds = SECONDS
    return names


def open_sources() -> list[data.Source]:
    """Returns the training and the test images: those of the flags, the prepared ones of TFDS, or the digits."""
    if FLAGS.data:
        FLAGS.dataset = ""
    elif not FLAGS["dataset"].present and not data.is_tfds_prepared(FLAGS.dataset):
        print(
            f"{FLAGS.dataset} is not on this machine, so the digits of kapps are used;"
            f" --dataset={FLAGS.dataset} downloads it with TensorFlow Datasets, --data=FILE reads a file."
        )
        FLAGS.dataset = "digits"
    if FLAGS.dataset == "digits" and not FLAGS["augmentation"].present:
        FLAGS.augmentation = "shift"  # a mirrored digit is not a digit
    return image_sources.open_sources(FLAGS.dataset, FLAGS.data, FLAGS.labels)


def write_results(results, train_source, test_source):
    """Writes the table and the curves, and prints the table."""
    budget = f"{FLAGS.epochs} epochs" if FLAGS.epochs else f"{FLAGS.seconds:g} seconds"
    name = train_source.name.rpartition("/")[2]
    title = f"Accuracy on {name} after {budget} of training"
    note = (
        f"{train_source.examples:,} training images in batches of {FLAGS.batch_size}, augmentation "
        f"{FLAGS.augmentation}; top 1 on {test_source.examples:,} test images. Parameters and multiply-accumulates are "
        f"for {len(train_source.class_names)} classes and this input; the learning rate is for 256 images per step."
    )
    xlabel = "epochs" if FLAGS.epochs else "seconds of training"
    curves = results.curves("curve", "curves.png", xlabel, "top 1 (%) on test images")
    results.table(title, COLUMNS, note, [curves])


def main(_):
    names = set_defaults()
    train_source, test_source = open_sources()
    data.steps_per_epoch(
        train_source, FLAGS.batch_size
    )  # raises ValueError for a batch that is too large
    images = data.images_identity(train_source, test_source)
    results, errors = _results.Results(FLAGS.model_dir, small_image_training.identity(), images), []
    for name in names:
        if name in results.rows:
            print(f"{name}: already finished")
            continue
        start_time = time.monotonic()
        try:
            with data.explain_errors(train_source, test_source):
                run, row = small_image_training.train(name, train_source, test_source)
        except (ValueError, MemoryError, tf.errors.OpError, training.TrainingStopped) as error:
            if len(names) == 1 or getattr(error, "code", 1) > 128:  # a signal
                raise
            errors.append(f"{name}: {main_sentence(str(error)) or type(error).__name__}")
            print(errors[-1], file=sys.stderr, flush=True)
            continue
        finally:
            keras.backend.clear_session()
            gc.collect()
        results.add(name, row)
        if run:
            run.checkpoints.delete()
        print(
            f"{name}: top 1 {row['top1']:.2f} % after {row['steps']:,} steps in {row['seconds']:.0f} seconds;"
            f" {time.monotonic() - start_time:.0f} seconds in total",
            flush=True,
        )
    if results.rows:
        write_results(results, train_source, test_source)
    if errors:
        raise ValueError("; ".join(errors))
