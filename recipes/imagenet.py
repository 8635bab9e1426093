"""Trains an image classifier, and writes what a server and a phone need to run it.

    python recipes/imagenet.py                                     # no ImageNet here: resnext50 on digits
    python recipes/imagenet.py --model=resnet50 --schedule=paper --batch_size=256 --data_dir=/data/imagenet
    python recipes/imagenet.py --model=resnet20_cifar --schedule=cosine --data_dir=fashion_mnist --epochs=20

Papers: He 2015, arXiv:1512.03385, for --schedule=paper; arXiv:1812.01187 and arXiv:2110.00476 for "modern".
It leaves `model.keras`, `history.csv`, `curves.png` and `run.json` in --model_dir, and under --export_dir a
SavedModel for TensorFlow Serving and a .tflite file, each compared with the model in its own runtime.

Run log:
- no flags (resnext50, digits, 32 pixels, cosine), two cores of an AMD EPYC: 94.2 % after 6 epochs, 248 seconds in all.
"""

import functools

from absl import flags
from common import environment  # noqa: F401  # before TensorFlow

import kapps
from kapps import data, export, training

FLAGS = flags.FLAGS
flags.DEFINE_string("model", "resnext50", "a builder, as `kapps.list_models()` names it")
flags.DEFINE_string(
    "weights", None, 'what to begin with: "imagenet", or a file of weights [random ones]'
)
flags.DEFINE_string(
    "dataset",
    "imagenet2012",
    "a TFDS name, or digits, which ships with kapps; empty: --data_dir alone",
)
flags.DEFINE_string("data_dir", None, "class folders, TFRecord shards, or TFDS's directory")
flags.DEFINE_integer(
    "batch_size", None, "images a step, over all devices [256; digits 32]", lower_bound=1
)
flags.DEFINE_integer(
    "epochs", None, "passes over the training images [the schedule's; digits 6]", lower_bound=1
)
flags.DEFINE_integer(
    "image_size", None, "height and width in pixels [the model's; digits 32]", lower_bound=1
)
flags.DEFINE_enum(
    "augmentation",
    None,
    list(data.AUGMENTATIONS),
    "[imagenet; below 65 pixels cifar; digits shift]",
)
flags.DEFINE_string(
    "schedule", None, f"one of {', '.join(training.SCHEDULES)} [modern; digits cosine]"
)
flags.DEFINE_integer("accumulation", 1, "steps whose gradients make one update", lower_bound=1)
training.define_flags(model_dir="runs/imagenet")

DIGITS = {
    "batch_size": 32,
    "epochs": 6,
    "image_size": 32,
    "schedule": "cosine",
    "augmentation": "shift",
}
SETTLING = (
    "model", "weights", "dataset", "data_dir", "batch_size", "epochs", "image_size", "augmentation", "schedule",
    "precision", "accumulation", "seed", "deterministic",
)  # fmt: skip
"""Flags that a run which goes on must have as it began."""
VERIFIED, CALIBRATED = 256, 256
"""Images that exported files are compared with the model on, and that settle the ranges of int8 and int16."""


def sources():
    """Opens the images to train and to evaluate on; where nobody asked for any, ImageNet or the digits."""
    asked = FLAGS["dataset"].present or FLAGS.data_dir
    if FLAGS.data_dir and not FLAGS["dataset"].present:
        FLAGS.dataset = ""
    if not asked and not data.is_tfds_prepared(FLAGS.dataset):
        print(
            "There is no ImageNet on this machine (see --data_dir), so this runs on the digits that ship with kapps."
        )
        FLAGS.dataset = "digits"
    return tuple(
        data.open_source(FLAGS.dataset, FLAGS.data_dir, split) for split in ("train", "validation")
    )


def resolve_defaults(card):
    """Fills in the flags that nobody set, by the model and the data."""
    small = DIGITS if FLAGS.dataset == "digits" else {}
    schedule = training.get_schedule(FLAGS.schedule or small.get("schedule", "modern"))
    size = FLAGS.image_size or small.get("image_size", card.input_shape[0])
    defaults = {
        "batch_size": 256,
        "epochs": schedule.epochs,
        "image_size": size,
        "augmentation": "imagenet" if size > 64 else "cifar",
        "schedule": "modern",
    }
    for name, value in (defaults | small).items():
        if FLAGS[name].value is None:
            FLAGS[name].value = value
    return schedule


def main(_):
    # First of all: TensorFlow refuses to connect workers once it has computed anything.
    strategy = training.make_strategy(FLAGS.strategy, worker_timeout=FLAGS.worker_timeout)
    training.set_seed(FLAGS.seed, FLAGS.deterministic)

    # Data, and what it settles
    card = kapps.cards.of_images(FLAGS.model, FLAGS.weights)
    train_source, test_source = sources()
    schedule = resolve_defaults(card)
    classes = len(train_source.class_names)
    size = (FLAGS.image_size, FLAGS.image_size)
    preprocessing = card.preprocessing.at(size)
    faults = data.SkippedImages()
    common = {"classes": classes, "strict": FLAGS.strict_data, "skipped": faults}
    images = functools.partial(
        data.train_dataset, train_source, preprocessing, FLAGS.batch_size, seed=FLAGS.seed,
        randaugment=schedule.randaugment, mixup=schedule.mixup, cutmix=schedule.cutmix,
        label_smoothing=schedule.label_smoothing, **data.AUGMENTATIONS[FLAGS.augmentation], **common,
    )  # fmt: skip
    test = data.eval_dataset(test_source, preprocessing, FLAGS.batch_size, **common)
    steps = data.steps_per_epoch(train_source, FLAGS.batch_size)

    # Precision, model, optimizer
    FLAGS.precision = training.set_precision(FLAGS.precision)
    with strategy.scope():
        model = getattr(kapps, FLAGS.model)(
            weights=FLAGS.weights, input_shape=(*size, 3), classes=classes
        )
        optimizer = schedule.make_optimizer(
            FLAGS.batch_size, steps * FLAGS.epochs, FLAGS.accumulation
        )
        training.check_compile_options(optimizer, model=model, strategy=strategy)
        trained = training.compile_classifier(model, optimizer)

    # Fit and evaluate
    run = training.Run(
        FLAGS.model_dir, strategy, epochs=FLAGS.epochs, steps_per_epoch=steps, batch_size=FLAGS.batch_size,
        identity={name: FLAGS[name].value for name in SETTLING}, checkpoint_interval=FLAGS.checkpoint_every,
    )  # fmt: skip
    run.print_summary(model, train_source, FLAGS.schedule, FLAGS.precision)
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
