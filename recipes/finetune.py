"""Fine-tunes a classifier on images of other classes, and writes what a server and a phone need to run it.

    python recipes/finetune.py --model=resnet50 --data_dir=flowers
    python recipes/finetune.py --model_file=runs/imagenet/model.keras --data_dir=flowers
    python recipes/finetune.py --model_file=resnet50.keras --data_dir=flowers --image_size=160 --unfreeze=level4
    python recipes/finetune.py --model_file=resnet50.keras --data_dir=flowers --unfreeze=head --learning_rate=0.5

The model gets a fresh head; batch norms keep their statistics, and all other layers train unless --unfreeze says less.
It trains by the "cosine" schedule at a lower rate; which rate is best depends on how near the new images are to the
old ones (Li 2020, arXiv:2002.11770). Of class folders without splits a fifth is held out to evaluate on.
It leaves `model.keras`, `history.csv`, `curves.png` and `run.json` in --model_dir, and under --export_dir a
SavedModel for TensorFlow Serving and a .tflite file, each compared with the model in its own runtime.
"""

import dataclasses
import functools
import pathlib

from absl import flags
from common import environment  # noqa: F401  # before TensorFlow

import kapps
from kapps import cards, data, export, training

FLAGS = flags.FLAGS
flags.DEFINE_string("model_file", None, "a classifier's .keras file, such as a run's model.keras")
flags.DEFINE_string(
    "model", None, "instead of a file: a builder, as `kapps.list_models()` names it"
)
flags.DEFINE_string("weights", "imagenet", "of that builder: published ones, or a file of weights")
flags.DEFINE_string(
    "dataset", "", "a TFDS name, or digits, which ships with kapps; empty: --data_dir alone"
)
flags.DEFINE_string("data_dir", None, "class folders, TFRecord shards, or TFDS's directory")
flags.DEFINE_integer("batch_size", 32, "images a step, over all devices", lower_bound=1)
flags.DEFINE_integer("epochs", 15, "passes over the training images", lower_bound=1)
flags.DEFINE_integer("image_size", None, "height and width in pixels [the model's]", lower_bound=1)
flags.DEFINE_string(
    "unfreeze", "all", "what trains besides the head: all, head, or from a layer such as level4 on"
)
flags.DEFINE_enum(
    "batch_norm", "frozen", training.BATCH_NORMS, "whether batch norms keep their values"
)
flags.DEFINE_float(
    "learning_rate", 0.05, "the peak, for 256 images a step; it scales with them", lower_bound=0
)
flags.DEFINE_enum(
    "augmentation", None, list(data.AUGMENTATIONS), "[imagenet; below 65 pixels cifar]"
)
training.define_flags(model_dir="runs/finetune")

SETTLING = (
    "model_file", "model", "weights", "dataset", "data_dir", "batch_size", "epochs", "image_size", "unfreeze",
    "batch_norm", "learning_rate", "augmentation", "precision", "seed", "deterministic",
)  # fmt: skip
"""Flags that a run which goes on must have as it began."""
VERIFIED, CALIBRATED = 256, 256
"""Images that exported files are compared with the model on, and that settle the ranges of int8 and int16."""


def saved():
    """Returns the model of --model_file, which this run does not write over."""
    written = pathlib.Path(FLAGS.model_dir, "model.keras")
    if written.resolve() == pathlib.Path(FLAGS.model_file).resolve():
        raise ValueError(f"this run would write over {written}: give another --model_dir")
    return training.load_model(FLAGS.model_file)


def load():
    """Returns the model to begin with, its own preprocessing, and the (height, width, channels) to go on at."""
    if FLAGS.model_file and FLAGS.model:
        raise ValueError("two models: give --model_file or --model, not both")
    if not (FLAGS.model_file or FLAGS.model):
        raise ValueError(
            "no model: give --model_file, such as runs/imagenet/model.keras, or --model, such as resnet50"
        )
    if FLAGS.model:
        preprocessing = cards.of_images(FLAGS.model, FLAGS.weights).preprocessing
        model = getattr(kapps, FLAGS.model)(weights=FLAGS.weights)
    else:
        model = saved()
        ours = model.name in kapps.list_models()
        preprocessing = cards.of_images(model).preprocessing if ours else cards.IMAGENET
    shapes = [tuple(x.shape) for x in getattr(model, "inputs", None) or ()]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise ValueError(
            f"{FLAGS.model_file or FLAGS.model} takes {shapes or 'no known shape'}, not images "
            "(batch, height, width, channels)"
        )
    _, *size, channels = shapes[0]
    if FLAGS.image_size:
        size = (FLAGS.image_size, FLAGS.image_size)
    size = tuple(own or usual for own, usual in zip(size, preprocessing.size, strict=True))
    if size[0] == size[1]:
        FLAGS.image_size = size[0]
    return model, preprocessing.at(size), (*size, channels)


def main(_):
    # First of all: TensorFlow refuses to connect workers once it has computed anything.
    strategy = training.make_strategy(FLAGS.strategy, worker_timeout=FLAGS.worker_timeout)
    training.set_seed(FLAGS.seed, FLAGS.deterministic)

    # Model file and data, and what they settle
    pretrained, preprocessing, shape = load()
    train_source, test_source = (
        data.open_source(FLAGS.dataset, FLAGS.data_dir, split) for split in ("train", "validation")
    )
    classes = len(train_source.class_names)
    if classes < 2:
        raise data.DataError(f"{train_source.name} has {classes} class; a classifier tells two")
    FLAGS.augmentation = FLAGS.augmentation or ("imagenet" if max(shape[:2]) > 64 else "cifar")
    schedule = dataclasses.replace(
        training.get_schedule("cosine"), epochs=FLAGS.epochs, learning_rate=FLAGS.learning_rate
    )
    faults = data.SkippedImages()
    common = {
        "classes": classes, "channels": shape[-1], "strict": FLAGS.strict_data, "skipped": faults,
    }  # fmt: skip
    images = functools.partial(
        data.train_dataset, train_source, preprocessing, FLAGS.batch_size, seed=FLAGS.seed,
        **data.AUGMENTATIONS[FLAGS.augmentation], **common,
    )  # fmt: skip
    test = data.eval_dataset(test_source, preprocessing, FLAGS.batch_size, **common)
    steps = data.steps_per_epoch(train_source, FLAGS.batch_size)

    # Precision, the new head, optimizer
    FLAGS.precision = training.set_precision(FLAGS.precision)
    with strategy.scope():
        model = training.finetune(
            pretrained, classes=classes, unfreeze=FLAGS.unfreeze, batch_norm=FLAGS.batch_norm,
            input_shape=shape, precision=FLAGS.precision,
        )  # fmt: skip
        optimizer = schedule.make_optimizer(FLAGS.batch_size, steps * FLAGS.epochs)
        training.check_compile_options(optimizer, model=model, strategy=strategy)
        trained = training.compile_classifier(model, optimizer)

    # Fit and evaluate
    run = training.Run(
        FLAGS.model_dir, strategy, epochs=FLAGS.epochs, steps_per_epoch=steps, batch_size=FLAGS.batch_size,
        identity={name: FLAGS[name].value for name in SETTLING}, checkpoint_interval=FLAGS.checkpoint_every,
    )  # fmt: skip
    run.print_summary(model, train_source, f"unfreeze {FLAGS.unfreeze}", FLAGS.precision)
    with data.explain_errors(train_source, test_source):
        before, after = run.fit(trained, images, test, faults=faults)
        if not run.is_chief:
            return
        compared = data.take_images(test, VERIFIED)
        mixed = data.eval_dataset(
            train_source,
            preprocessing,
            FLAGS.batch_size,
            seed=FLAGS.seed,
            **common | {"skipped": None},
        )
        calibration = data.take_images(mixed, CALIBRATED)

    # Save, export, verify
    model = run.save(model)
    reports, faulty = export.export_and_verify(
        model, FLAGS.export_dir, compared, preprocessing=preprocessing, precisions=FLAGS.tflite,
        class_names=train_source.class_names, calibration=calibration,
    )  # fmt: skip
    run.finish(before, after, reports, flags=training.get_flag_values(), faults=faults)
    if faulty:
        raise ValueError("; ".join(faulty))


if __name__ == "__main__":
    training.run_main(main)
