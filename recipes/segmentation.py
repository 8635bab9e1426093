"""Trains a network that classifies each pixel of an image, and exports it as a SavedModel and a .tflite file.

    python recipes/segmentation.py                                  # scenes of digits, which are part of kapps
    python recipes/segmentation.py --data_dir=street --classes=street.csv --void=11 --width=16 --epochs=60 --jaccard=1
    python recipes/segmentation.py --data_dir=VOC2012 --classes=21 --model=fcn --body=resnet50 --weights=imagenet

The networks are those of `kapps.segmentation`, over the body of any builder or a small one (--body=small). Papers: Long
2014, arXiv:1411.4038, for fcn and the metrics; Ronneberger 2015, arXiv:1505.04597, for unet; Badrinarayanan 2015,
arXiv:1511.00561, for segnet and --class_weights. The recipe writes `model.keras`, `history.csv`, `curves.png`,
`run.json`, `classes.csv` (the IoU of each class) and `grid.png` (images, masks and predictions) to --model_dir, and a
SavedModel for TensorFlow Serving and a .tflite file to --export_dir, whose class maps it compares with the model's.
"""

import functools
import pathlib
import time

import common.environment  # noqa: F401  # before TensorFlow

from absl import flags
from common.segmentation_models import (
    SMALL,
    body_preprocessing,
    build_network,
    check_network,
    copy_weights,
)
from common.segmentation_results import count_confusion, plot_grid, write_classes

from kapps import data, export, training
from kapps.data import segmentation
from kapps.model_record import record_preprocessing

FLAGS = flags.FLAGS
# fmt: off
flags.DEFINE_string("model", "unet", "a network of kapps.segmentation")
flags.DEFINE_string("body", SMALL, "a builder, one of `kapps.list_models()`, or small")
flags.DEFINE_integer("width", None, "channels of --body=small and of unet at the image's resolution [8; 16]", 4, 1024)
flags.DEFINE_enum("enlarge", "1", ["1", "2", "4"], "the body of a builder sees the image enlarged as often")
training.define_path("weights", None, '"imagenet", or a weights file, of the body', "file", ("imagenet",))
training.define_path("start", None, "model.keras of an earlier run, whose weights the training starts from", "file")
flags.DEFINE_string("dataset", None, f"a TFDS name, or {segmentation.DIGIT_SCENES} [without --data_dir]")
training.define_path("data_dir", None, "directory or .zip of images and masks, shards, or TFDS's directory")
flags.DEFINE_string("train_split", "train", "split of the training images, or several: train+val")
flags.DEFINE_string("test_split", "validation", "split that the network is evaluated on")
flags.DEFINE_bool("mirrored", False, "in classes.csv, sum the scores of each image and of its mirror image")
flags.DEFINE_string("classes", None, "file of the names and colours of the classes, or their number")
flags.DEFINE_integer("void", segmentation.VOID, "value in the masks of pixels without a class", 0, 255)
flags.DEFINE_integer("batch_size", 8, "images per step, over all devices", 1, 2**20)
flags.DEFINE_integer("epochs", 12, "epochs of the training", 1, 10**6)
flags.DEFINE_integer("passes", 1, "passes over the training images in each epoch, which an evaluation ends", 1, 10**4)
flags.DEFINE_list("image_size", None, "height,width in pixels [those of the first image]")
flags.DEFINE_enum("augmentation", None, list(segmentation.SEGMENTATION_AUGMENTATIONS), "[street; digits for digits]")
flags.DEFINE_enum("class_weights", "root", ["none", "root", "median"],
                  "in the loss: 1 each, the square roots of those by median frequency, those by median frequency")
flags.DEFINE_float("jaccard", 0.0, "weight of the soft Jaccard loss, which is added to the cross-entropy", 0.0)
flags.DEFINE_float("ema", 0.0, "fraction of the training that the average of the weights covers; 0: none", 0.0, 1.0)
training.define_positive("learning_rate", 3e-3, "peak learning rate of AdamW")
flags.DEFINE_float("weight_decay", 0.01, "decoupled weight decay of AdamW", 0.0)
training.define_flags(model_dir="runs/segmentation")
# fmt: on

RUN_FLAGS = (
    "model", "body", "width", "enlarge", "weights", "start", "dataset", "data_dir", "train_split", "test_split",
    "classes", "void", "batch_size", "epochs", "passes", "image_size", "augmentation", "class_weights", "jaccard",
    "ema", "learning_rate", "weight_decay", "precision", "seed", "deterministic",
)  # fmt: skip
"""Flags that determine the training: a run resumes only with the same values."""
WARM_UP = 0.05
COMPARED, CALIBRATION = 32, 100
"""Number of images that exported files are compared with the model on, and of those that determine int8 ranges."""


def open_sources(strategy):
    """Returns the training and the evaluation images; without flags, the scenes of digits."""
    if not FLAGS.data_dir and not FLAGS.dataset:
        FLAGS.dataset = segmentation.DIGIT_SCENES
    classes = FLAGS.classes
    if classes is not None and classes.isdecimal():
        classes = int(classes)
    train, test = (
        segmentation.open_masks(
            FLAGS.dataset, FLAGS.data_dir, split, classes=classes, void=FLAGS.void
        )
        for split in (FLAGS.train_split, FLAGS.test_split)
    )
    if set(train.split.split("+")) & set(test.split.split("+")):
        raise ValueError(
            f"--train_split={FLAGS.train_split} has the images of --test_split={FLAGS.test_split}: evaluate the network"
            " on images that it is not trained on"
        )
    if training.is_chief(strategy):
        print(data.describe_sources(train, test), flush=True)
    return train, test


def read_size():
    """Returns (height, width) of --image_size, or None."""
    values = FLAGS.image_size
    if values is None:
        return None
    if len(values) != 2 or not all(x.isdecimal() and 32 <= int(x) <= 8192 for x in values):
        raise ValueError(
            f"--image_size={','.join(values)} is not a height and a width from 32 to 8192, such as 120,160"
        )
    return tuple(map(int, values))


def set_defaults(source):
    """Sets the flags without a value from the images, and returns (height, width)."""
    if FLAGS.augmentation is None:
        is_digits = FLAGS.dataset == segmentation.DIGIT_SCENES
        FLAGS.augmentation = "digits" if is_digits else "street"
    if FLAGS.image_size is None:
        FLAGS.image_size = [str(side) for side in segmentation.first_image_size(source)]
    return read_size()


def find_class_weights(source):
    """Returns the weights of the classes in the loss, or None."""
    if FLAGS.class_weights == "none":
        return None
    power = 0.5 if FLAGS.class_weights == "root" else 1.0
    return training.median_frequency_weights(segmentation.count_class_pixels(source), power)


def main(_):
    # The strategy is first: TensorFlow cannot connect workers after its first operation.
    strategy = training.make_strategy(FLAGS.strategy, worker_timeout=FLAGS.worker_timeout)
    training.set_seed(FLAGS.seed, FLAGS.deterministic)

    # Data
    enlarge = int(FLAGS.enlarge)
    check_network(FLAGS.model, FLAGS.body, FLAGS.weights, FLAGS.width, enlarge)
    read_size()
    train_source, test_source = open_sources(strategy)
    size = set_defaults(train_source)
    training.require_memory(
        training.image_memory(FLAGS.batch_size, *(enlarge * side for side in size)),
        "lower --batch_size, --image_size or --enlarge",
    )
    preprocessing = body_preprocessing(FLAGS.model, FLAGS.body, FLAGS.weights, size)
    skipped = data.SkippedImages()
    options = {"strict": FLAGS.strict_data, "skipped": skipped}
    train_dataset = functools.partial(
        segmentation.train_dataset, train_source, preprocessing, FLAGS.batch_size, seed=FLAGS.seed,
        **segmentation.SEGMENTATION_AUGMENTATIONS[FLAGS.augmentation], **options,
    )  # fmt: skip
    test = segmentation.eval_dataset(test_source, preprocessing, FLAGS.batch_size, **options)
    steps = FLAGS.passes * data.steps_per_epoch(train_source, FLAGS.batch_size)
    class_weights = find_class_weights(train_source)
    identity = data.images_identity(train_source, test_source)
    training.compare_workers(strategy, identity)

    # Precision, model, optimizer
    FLAGS.precision = training.set_precision(FLAGS.precision)
    classes = len(train_source.class_names)
    schedule = training.Schedule(
        epochs=FLAGS.epochs, learning_rate=FLAGS.learning_rate, weight_decay=FLAGS.weight_decay,
        warmup=WARM_UP, algorithm="adamw", scaling=0.0, ema=FLAGS.ema,
    )  # fmt: skip
    with strategy.scope():
        model = build_network(
            FLAGS.model, FLAGS.body, FLAGS.weights, (*size, 3), classes, preprocessing, FLAGS.width, enlarge
        )  # fmt: skip
        if FLAGS.start:
            copy_weights(FLAGS.start, model)
        record_preprocessing(model, preprocessing)
        optimizer = schedule.make_optimizer(FLAGS.batch_size, steps * FLAGS.epochs)
        training.check_compile_options(optimizer, model=model, strategy=strategy)
        trained = training.compile_segmenter(
            model, optimizer, class_weights=class_weights, jaccard=FLAGS.jaccard
        )

    # Fit and evaluate
    run = training.Run(
        FLAGS.model_dir, strategy, epochs=FLAGS.epochs, steps_per_epoch=steps, batch_size=FLAGS.batch_size,
        identity={name: FLAGS[name].value for name in RUN_FLAGS}, checkpoint_interval=FLAGS.checkpoint_every,
        data=identity,
    )  # fmt: skip
    run.print_summary(model, train_source, f"augmentation {FLAGS.augmentation}", FLAGS.precision)
    with data.explain_errors(train_source, test_source):
        before, after = run.fit(trained, train_dataset, test, skipped=skipped)
        if not run.is_chief:
            return
        model = run.save(model)
        confusion = count_confusion(model, test, classes, FLAGS.mirrored)
        batch = next(test.as_numpy_iterator())
        shuffled = segmentation.eval_dataset(
            train_source, preprocessing, FLAGS.batch_size, seed=FLAGS.seed
        )
        compared, calibration = (
            data.take_images(test, COMPARED),
            data.take_images(shuffled, CALIBRATION),
        )

    # Results, export, verification
    directory = pathlib.Path(FLAGS.model_dir)
    colours = train_source.classes.colours
    plot_grid(model, batch, preprocessing, colours, directory / "grid.png")
    reports, errors = export.export_and_verify(
        model, FLAGS.export_dir, compared, preprocessing=preprocessing, precisions=FLAGS.tflite,
        class_names=train_source.class_names, calibration=calibration,
    )  # fmt: skip
    write_classes(confusion, train_source.class_names, directory / "classes.csv")
    run.finish(before, after, reports, flags=training.get_flag_values(), skipped=skipped)
    print(f"written: {directory / 'classes.csv'}, {directory / 'grid.png'}")
    print(f"{time.process_time():.0f} seconds of processor time")
    if errors:
        raise ValueError("; ".join(errors))


if __name__ == "__main__":
    training.run_main(main)
