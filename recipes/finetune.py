"""Fine-tunes a classifier on images of other classes, and exports it as a SavedModel and a .tflite file.

    python recipes/finetune.py --model=resnet50 --data_dir=flowers
    python recipes/finetune.py --model_file=runs/imagenet/model.keras --data_dir=flowers
    python recipes/finetune.py --model_file=resnet50.keras --data_dir=flowers --image_size=160 --unfreeze=level4
    python recipes/finetune.py --model_file=resnet50.keras --data_dir=flowers --unfreeze=head --learning_rate=0.5

The model gets a new head. Batch norms keep their statistics, and all other layers are trained unless --unfreeze limits
them. The training has the "cosine" schedule with a lower learning rate. The best learning rate depends on how similar
the new images are to the old ones (Li 2020, arXiv:2002.11770). A fifth of class folders without splits is held out for
evaluation.
The recipe writes `model.keras`, `history.csv`, `curves.png` and `run.json` to --model_dir, and a SavedModel for
TensorFlow Serving and a .tflite file to --export_dir. It compares both with the model in their own runtimes.
"""

import dataclasses
import functools
import pathlib

import common.environment  # noqa: F401  # before TensorFlow

from absl import flags
from common import image_sources
from common.export_images import take_export_images

import kapps
from kapps import cards, data, export, training
from kapps.model_preprocessing import find_preprocessing_of_option

FLAGS = flags.FLAGS
# fmt: off
training.define_path("model_file", None, "a classifier's .keras file, such as a run's model.keras", "file")
flags.DEFINE_string("model", None, "instead of a file: a builder, one of `kapps.list_models()`")
training.define_path("weights", "imagenet", "of that builder: pretrained weights, or a file", "file", ("imagenet",))
flags.DEFINE_string("dataset", "", "a TFDS name, or digits, which is part of kapps; empty: only --data_dir")
training.define_path("data_dir", None, "class folders, TFRecord shards, or the directory of TFDS")
flags.DEFINE_string("labels", None, "CSV file of the labels of a folder or .zip of images")
flags.DEFINE_integer("batch_size", 32, "images per step, over all devices", 1, 2**20)
flags.DEFINE_integer("epochs", 15, "epochs of the training", 1, 10**6)
flags.DEFINE_integer("image_size", None, "height and width in pixels [those of the model]", 1, 8192)
flags.DEFINE_string("preprocessing", None, "of a file that does not record it, by name [the recorded one]")
flags.DEFINE_string("unfreeze", "all", "layers to train: all, head, or the first one, such as level4")
flags.DEFINE_enum("batch_norm", "frozen", training.BATCH_NORMS, "whether batch norms are trained")
training.define_positive("learning_rate", 0.05, "the peak, for 256 images per step; scales with --batch_size")
flags.DEFINE_enum("augmentation", None, list(data.AUGMENTATIONS), "[imagenet; below 65 pixels cifar]")
image_sources.define_data_service()
training.define_flags(model_dir="runs/finetune")
# fmt: on
RUN_FLAGS = (
    "model_file",
    "model",
    "weights",
    "dataset",
    "data_dir",
    "labels",
    "batch_size",
    "epochs",
    "image_size",
    "preprocessing",
    "unfreeze",
    "batch_norm",
    "learning_rate",
    "augmentation",
    "precision",
    "seed",
    "deterministic",
)  # fmt: skip
"""Flags that determine the training: a run resumes only with the same values."""


def load_model_file():
    """Returns the model of --model_file, unless this run would overwrite the file."""
    path = pathlib.Path(FLAGS.model_dir, "model.keras")
    if path.resolve() == pathlib.Path(FLAGS.model_file).resolve():
        raise ValueError(f"this run would write over {path}: give another --model_dir")
    return training.load_model(FLAGS.model_file)


def load_pretrained():
    """Returns the pretrained model, the preprocessing at the new size, where it comes from, and the new input shape."""
    training.forbid_both("model_file", "model", "these are two models; give one")
    training.forbid_without("weights", "--model", bool(FLAGS.model))
    if FLAGS.dataset == "digits":
        training.forbid_both("dataset", "data_dir", "the digits are part of kapps; remove one")
    if not (FLAGS.model_file or FLAGS.model):
        raise ValueError(
            "no model: give --model_file, such as runs/imagenet/model.keras, or --model, such as resnet50"
        )
    if FLAGS.model:
        cards.image_card(FLAGS.model, FLAGS.weights)
        model = getattr(kapps, FLAGS.model)(weights=FLAGS.weights)
    else:
        model = load_model_file()
    shapes = [tuple(x.shape) for x in getattr(model, "inputs", None) or ()]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise ValueError(
            f"{FLAGS.model_file or FLAGS.model} takes inputs {shapes or 'of unknown shape'}, not images "
            "(batch, height, width, channels)"
        )
    preprocessing, origin = find_preprocessing_of_option(model, FLAGS.preprocessing)
    _, *size, channels = shapes[0]
    if FLAGS.image_size:
        size = (FLAGS.image_size, FLAGS.image_size)
    size = tuple(side or default for side, default in zip(size, preprocessing.size, strict=True))
    size_in_memory = training.image_memory(FLAGS.batch_size, *size, channels or 3)
    training.require_memory(size_in_memory, "lower --batch_size or --image_size")
    if size[0] == size[1]:
        FLAGS.image_size = size[0]
    preprocessing = preprocessing if size == preprocessing.size else preprocessing.at(size)
    return model, preprocessing, origin, (*size, channels)


def main(_):
    # The strategy is first: TensorFlow cannot connect workers after its first operation.
    strategy = training.make_strategy(FLAGS.strategy, worker_timeout=FLAGS.worker_timeout)
    training.set_seed(FLAGS.seed, FLAGS.deterministic)

    # Pretrained model and data
    pretrained, preprocessing, origin, shape = load_pretrained()
    print(f"preprocessing: {preprocessing} ({origin})")
    train_source, test_source = image_sources.open_sources(
        FLAGS.dataset, FLAGS.data_dir, FLAGS.labels, verbose=training.is_chief(strategy)
    )
    classes = len(train_source.class_names)
    FLAGS.augmentation = FLAGS.augmentation or ("imagenet" if max(shape[:2]) > 64 else "cifar")
    schedule = dataclasses.replace(
        training.get_schedule("cosine"), epochs=FLAGS.epochs, learning_rate=FLAGS.learning_rate
    )
    skipped = data.SkippedImages()
    options = {
        "classes": classes, "channels": shape[-1], "strict": FLAGS.strict_data, "skipped": skipped,
    }  # fmt: skip
    train_dataset = functools.partial(
        data.train_dataset, train_source, preprocessing, FLAGS.batch_size, seed=FLAGS.seed,
        data_service=FLAGS.data_service, **data.AUGMENTATIONS[FLAGS.augmentation], **options,
    )  # fmt: skip
    test = data.eval_dataset(test_source, preprocessing, FLAGS.batch_size, **options)
    steps = data.steps_per_epoch(train_source, FLAGS.batch_size)

    identity = data.images_identity(train_source, test_source)
    training.compare_workers(strategy, identity)

    # Precision, new head, optimizer
    FLAGS.precision = training.set_precision(FLAGS.precision)
    with strategy.scope():
        model = training.finetune(
            pretrained, classes=classes, unfreeze=FLAGS.unfreeze, batch_norm=FLAGS.batch_norm,
            input_shape=shape, precision=FLAGS.precision, preprocessing=preprocessing,
        )  # fmt: skip
        optimizer = schedule.make_optimizer(FLAGS.batch_size, steps * FLAGS.epochs)
        training.check_compile_options(optimizer, model=model, strategy=strategy)
        trained = training.compile_classifier(model, optimizer)

    # Fit and evaluate
    run = training.Run(
        FLAGS.model_dir, strategy, epochs=FLAGS.epochs, steps_per_epoch=steps, batch_size=FLAGS.batch_size,
        identity={name: FLAGS[name].value for name in RUN_FLAGS}, checkpoint_interval=FLAGS.checkpoint_every,
        data=identity,
    )  # fmt: skip
    run.print_summary(model, train_source, f"unfreeze {FLAGS.unfreeze}", FLAGS.precision)
    with data.explain_errors(train_source, test_source):
        before, after = run.fit(trained, train_dataset, test, skipped=skipped)
        if not run.is_chief:
            return
        compared, calibration = take_export_images(test, train_source, preprocessing, options)

    # Save, export, verify
    model = run.save(model)
    reports, errors = export.export_and_verify(
        model, FLAGS.export_dir, compared, preprocessing=preprocessing, precisions=FLAGS.tflite,
        class_names=train_source.class_names, calibration=calibration,
    )  # fmt: skip
    flags_used = {**training.get_flag_values(), "preprocessing": f"{preprocessing} ({origin})"}
    run.finish(before, after, reports, flags=flags_used, skipped=skipped)
    if errors:
        raise ValueError("; ".join(errors))


if __name__ == "__main__":
    training.run_main(main)
