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

import dataclasses
import functools
import os
import pathlib
import sys
import time

# TensorFlow logs hundreds of harmless lines as errors; a real one is an exception as well.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# oneDNN is the faster path on every CPU; TensorFlow switches it on by itself on some only.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np
from absl import flags

import kapps
from kapps import data, export, training
from kapps.files import aside

FLAGS = flags.FLAGS
flags.DEFINE_string("model", "resnext50", "a builder, as `kapps.list_models()` names it")
flags.DEFINE_string(
    "dataset",
    "imagenet2012",
    "a TFDS name, or digits, which ships with kapps; empty: --data_dir alone",
)
flags.DEFINE_string("data_dir", None, "class folders, TFRecord shards, or TFDS's directory")
flags.DEFINE_integer(
    "batch_size", None, "pictures a step, over all devices [256; digits 32]", lower_bound=1
)
flags.DEFINE_integer(
    "epochs", None, "passes over the training pictures [the schedule's; digits 6]", lower_bound=1
)
flags.DEFINE_integer(
    "image_size", None, "height and width in pixels [the model's; digits 32]", lower_bound=1
)
flags.DEFINE_enum(
    "augmentation",
    None,
    ["imagenet", "cifar", "shift", "none"],
    "[imagenet; below 65 pixels cifar; digits shift]",
)
flags.DEFINE_string(
    "schedule", None, f"one of {', '.join(training.SCHEDULES)} [modern; digits cosine]"
)
flags.DEFINE_string("precision", "auto", f"one of {', '.join(training.PRECISIONS)}")
flags.DEFINE_string("strategy", "default", f"one of {', '.join(training.STRATEGIES)}")
flags.DEFINE_integer(
    "worker_timeout", 300, "seconds that multi_worker waits for the other workers", lower_bound=1
)
flags.DEFINE_integer("checkpoint_every", 500, "steps between two checkpoints", lower_bound=1)
flags.DEFINE_bool(
    "deterministic", False, "repeat bit for bit also where that is slower, as on a GPU"
)
flags.DEFINE_integer(
    "seed", 0, "of the weights, the order of the pictures and all that is drawn for them"
)
flags.DEFINE_bool(
    "strict_data", False, "stop at a picture that cannot be decoded, rather than skip it"
)
flags.DEFINE_string(
    "model_dir", "runs/imagenet", "where checkpoints, model, curves and record go, for all workers"
)
flags.DEFINE_string("export_dir", "saved_models", "where SavedModel and .tflite go")

DIGITS = {
    "batch_size": 32,
    "epochs": 6,
    "image_size": 32,
    "schedule": "cosine",
    "augmentation": "shift",
}
AUGMENTATIONS = {
    "imagenet": {"augmentation": "imagenet", "flip": True},  # random resized crop
    "cifar": {"augmentation": "cifar", "flip": True},  # pad by an eighth and crop
    "shift": {"augmentation": "cifar", "flip": False},  # the same for what has a left and a right
    "none": {"augmentation": "none", "flip": False},
}
WRITTEN = ("model.keras", "curves.png", "history.csv", "run.json")
SETTLING = (
    "model", "dataset", "data_dir", "batch_size", "epochs", "image_size", "augmentation", "schedule", "precision",
    "seed", "deterministic",
)  # fmt: skip
"""Flags that a run which goes on must have as it began."""
VERIFIED = 64
"""Pictures that an exported file is compared with the model on."""


def sources():
    """Opens the pictures to train and to evaluate on; where nobody asked for any, ImageNet or the digits."""
    asked = FLAGS["dataset"].present or FLAGS.data_dir
    if FLAGS.data_dir and not FLAGS["dataset"].present:
        FLAGS.dataset = ""
    if not asked and not tfds_has(FLAGS.dataset):
        print(
            "There is no ImageNet on this machine (see --data_dir), so this runs on the digits that ship with kapps."
        )
        FLAGS.dataset = "digits"
    return tuple(
        data.open_source(FLAGS.dataset, FLAGS.data_dir, split) for split in ("train", "validation")
    )


def tfds_has(name):
    """Whether TFDS has prepared the data set in its own directory."""
    root = os.environ.get("TFDS_DATA_DIR", os.path.join("~", "tensorflow_datasets"))
    return (pathlib.Path(root).expanduser() / name).is_dir()


def resolve_defaults(card):
    """Fills in the flags that nobody set, by the model and the data."""
    small = DIGITS if FLAGS.dataset == "digits" else {}
    schedule = training.schedule(FLAGS.schedule or small.get("schedule", "modern"))
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
    started = time.monotonic()
    # First of all: TensorFlow refuses to connect workers once it has computed anything.
    strategy = training.strategy(FLAGS.strategy, worker_timeout=FLAGS.worker_timeout)
    training.seed(FLAGS.seed, FLAGS.deterministic)

    # Data, and what it settles
    card = kapps.card(FLAGS.model)
    train_source, test_source = sources()
    schedule = resolve_defaults(card)
    classes = len(train_source.class_names)
    size = (FLAGS.image_size, FLAGS.image_size)
    small = FLAGS.image_size <= 64  # such pictures are evaluated whole
    preprocessing = dataclasses.replace(
        card.preprocessing, size=size, crop=1.0 if small else card.preprocessing.crop
    )
    faults = data.Faults()
    common = {"classes": classes, "strict": FLAGS.strict_data, "faults": faults}
    pictures = functools.partial(
        data.training, train_source, preprocessing, FLAGS.batch_size, seed=FLAGS.seed,
        randaugment=schedule.randaugment, mixup=schedule.mixup, cutmix=schedule.cutmix,
        label_smoothing=schedule.label_smoothing, **AUGMENTATIONS[FLAGS.augmentation], **common,
    )  # fmt: skip
    test = data.evaluation(test_source, preprocessing, FLAGS.batch_size, **common)
    steps = train_source.examples // FLAGS.batch_size
    if not steps:
        raise data.DataError(
            f"batch_size={FLAGS.batch_size} is more than the {train_source.examples} training pictures"
        )

    # Precision, strategy, model
    FLAGS.precision = training.precision(FLAGS.precision)
    with strategy.scope():
        model = getattr(kapps, FLAGS.model)(input_shape=(*size, 3), classes=classes)
        # The loss takes the logits, which lose no precision, and the model that is kept ends in the softmax.
        trained = keras.Model(model.input, model.get_layer("head_logits").output, name=model.name)
        trained.compile(
            optimizer=schedule.optimizer(FLAGS.batch_size, steps * FLAGS.epochs),
            loss=keras.losses.CategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"]
            + [keras.metrics.TopKCategoricalAccuracy(5, name="top5")] * (classes > 10),
            jit_compile=False,
        )
    chief = training.is_chief(strategy)
    if chief:
        print(
            f"{model.name}: {sum(w.shape.num_elements() for w in model.trainable_weights):,} parameters, "
            f"{train_source.examples:,} pictures of {train_source.name} at {size[0]} x {size[1]}, {classes} classes, "
            f"{FLAGS.epochs} epochs of {steps} steps, {FLAGS.schedule}, {FLAGS.precision}, "
            f"{strategy.num_replicas_in_sync} replica{'s' * (strategy.num_replicas_in_sync > 1)}"
        )

    # Fit and evaluate
    run = training.Run(
        FLAGS.model_dir, strategy, epochs=FLAGS.epochs, steps=steps, batch_size=FLAGS.batch_size,
        identity={name: FLAGS[name].value for name in SETTLING}, every=FLAGS.checkpoint_every,
    )  # fmt: skip
    with data.explained(train_source, test_source):
        before, after = run.fit(trained, pictures, test, faults=faults)
        if not chief:
            return
        compared = next(iter(test.unbatch().batch(VERIFIED)))[0].numpy()

    # Save, export, verify
    run_dir = pathlib.Path(FLAGS.model_dir)
    with aside(run_dir / "model.keras") as path:
        model.save(path)
    model = keras.saving.load_model(run_dir / "model.keras")  # which belongs to no strategy
    mean, std = (np.float32(values) for values in preprocessing.channels(3))
    pixels = (compared * std + mean) / np.float32(preprocessing.scale)
    exported = export.saved_model(model, FLAGS.export_dir, preprocessing=preprocessing)
    files = [exported, export.litert(model, f"{exported}.tflite", preprocessing=preprocessing)]
    reports = [export.verify(file, model, pixels, preprocessing=preprocessing) for file in files]

    # What came of it
    results = {
        "before": before,
        "after": after,
        "exported": [
            {**dataclasses.asdict(report), "path": str(report.path)} for report in reports
        ],
        "skipped_pictures": faults.names,
        "seconds": round(time.monotonic() - started, 1),
    }
    asked = {flag.name: flag.value for flag in FLAGS.get_key_flags_for_module(sys.argv[0])}
    training.record(run_dir / "run.json", asked, results)
    run.checkpoints.complete()
    print()
    table(
        ("on the evaluation pictures", "before", "after"),
        *((key, f"{before[key]:.4f}", f"{after[key]:.4f}") for key in before),
    )
    print()
    table(("exported", "size", "largest difference", "top-1 agreement"), *map(row, reports))
    print()
    print(f"written: {', '.join(f'{run_dir}/{name}' for name in WRITTEN)}")
    print(f"{faults.summary()}; {results['seconds']:.0f} seconds in all")


def row(report):
    """Returns the columns of an exported file in the closing table."""
    size, difference = f"{report.bytes / 1e6:.1f} MB", f"{report.largest_difference:.1e}"
    return str(report.path), size, difference, f"{report.top1_agreement:.1%}"


def table(*rows):
    """Prints rows of strings under one another, the first column to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *cells]))


if __name__ == "__main__":
    training.program(main)
