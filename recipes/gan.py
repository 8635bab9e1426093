"""Trains self-attention GANs on small images, with and without attention, and exports the generators.

    python recipes/gan.py                                        # the digits of kapps, enlarged to 32x32 pixels
    python recipes/gan.py --data=fashion_mnist.npz
    python recipes/gan.py --dataset=fashion_mnist                # TFDS downloads the images

The networks are those of Zhang 2018, arXiv:1805.08318, with fewer blocks and channels: a generator and a discriminator
with spectral normalisation, hinge losses and a learning rate each. "Feature distance" is the Frechet distance between
the features of test images and of generated ones, in the last hidden layer of a LeNet-5 that is trained on the same
training images first. It compares the networks of one table; it is not FID, which has features of an Inception network.

The recipe writes a grid of samples after each epoch (`samples/epoch01.png`), `model.keras` (the generator, the average
of its weights), history.csv, curves.png and run.json of each network to --model_dir/NETWORK, table.txt, table.csv,
table.md, curves.png and results.json to --model_dir, and a SavedModel and .tflite files, which it compares with the
generator, to --export_dir/NETWORK. The same command resumes an interrupted run. Results: docs/gan.md.
"""

import functools
import gc
import math
import pathlib
import warnings

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from common import gan_networks, image_sources
from common import results as _results

from kapps import data, export, generative, tables, training
from kapps.preprocessing import Preprocessing

FLAGS = flags.FLAGS
# fmt: off
flags.DEFINE_list("networks", ["attention", "plain"], "attention, plain (without attention), or both")
flags.DEFINE_string("dataset", "digits", "a TFDS name, or digits")
training.define_path("data", None, "class folders, a .zip of them, an .npz file, or shards")
flags.DEFINE_integer("image_size", 32, "height and width: 16, 32, 64, 128", 16, 128)
flags.DEFINE_integer("channels", 1, "3, or 1 for grey", 1, 3)
flags.DEFINE_integer("filters", 8, "channels of the largest map", 1, 1024)
flags.DEFINE_integer("noise", 64, "random values that an image is made of", 1, 4096)
flags.DEFINE_integer("attention", None, "side of the map that attends to itself [half of --image_size]", 4, 64)
flags.DEFINE_integer("batch_size", 32, "images per step, over all devices", 2, 2**20)
flags.DEFINE_integer("epochs", 6, "epochs, each with an evaluation and a grid of samples", 1, 10**6)
flags.DEFINE_integer("steps", 200, "training steps of an epoch", 1, 10**9)
flags.DEFINE_integer("classifier_steps", 1000, "training steps of the classifier", 1, 10**7)
flags.DEFINE_integer("test", 2000, "largest number of test images of an evaluation", 2, 10**7)
training.define_positive("generator_rate", 5e-4, "learning rate of the generator's Adam")
training.define_positive("discriminator_rate", 2e-3, "learning rate of the discriminator's Adam")
flags.DEFINE_float("ema", 0.99, "decay per step of the average of the generator's weights; 0: none", 0.0, 0.99999)
flags.DEFINE_float("momentum", 0.9, "decay per step of the moving statistics of the batch norms", 0.0, 0.9999)
image_sources.define_data_service()
training.define_flags(model_dir="runs/gan")
# fmt: on

NETWORKS, SIZES = ("attention", "plain"), (16, 32, 64, 128)
RUN_FLAGS = (
    "dataset", "data", "image_size", "channels", "filters", "noise", "attention", "batch_size", "epochs", "steps",
    "classifier_steps", "test", "generator_rate", "discriminator_rate", "ema", "momentum", "precision", "strategy",
    "seed", "deterministic",
)  # fmt: skip
"""Flags that all rows of a table have in common."""
BETAS = {"beta_1": 0.0, "beta_2": 0.9}
"""Of both optimizers (Zhang 2018, section 4)."""
SAMPLES, JUDGED, COMPARED = 8, 500, 16
"""Images of each class in a grid, images whose class is compared, images that exported files are compared on."""
COLUMNS = (
    tables.Column("network", "network"),
    tables.Column("generator", "generator", ",.0f"),
    tables.Column("discriminator", "discriminator", ",.0f"),
    tables.Column("steps", "steps", ",.0f"),
    tables.Column("seconds", "seconds", ".0f"),
    tables.Column("before", "feature distance before", ".2f"),
    tables.Column("distance", "after", ".2f"),
    tables.Column("accuracy", "images of their class (%)", ".1f"),
    tables.Column("scale", "attention scale", ".3f"),
    tables.Column("singular", "largest singular value", ".3f"),
)


def check_flags():
    """Sets the flags without a value, and raises ValueError for flags that do not fit."""
    training.forbid_both("data", "dataset", "give the files or the name of the images")
    unknown = [name for name in FLAGS.networks if name not in NETWORKS]
    if unknown or len(set(FLAGS.networks)) < len(FLAGS.networks) or not FLAGS.networks:
        raise ValueError(f"--networks={','.join(FLAGS.networks)} is not attention, plain or both")
    if FLAGS.strategy in ("multi_worker", "tpu"):
        raise ValueError(f"--strategy={FLAGS.strategy}: gan.py trains under default and mirrored")
    if FLAGS.precision == "mixed_float16":
        raise ValueError(
            "--precision=mixed_float16 needs loss scaling, which two optimizers do not have: use mixed_bfloat16"
        )
    if FLAGS.image_size not in SIZES:
        raise ValueError(
            f"--image_size={FLAGS.image_size} is not one of {', '.join(map(str, SIZES))}"
        )
    FLAGS.attention = FLAGS.attention or FLAGS.image_size // 2
    sides = [side for side in (8, *SIZES) if side < FLAGS.image_size]
    if FLAGS.attention not in sides:
        raise ValueError(
            f"--attention={FLAGS.attention} is not one of {', '.join(map(str, sides))}"
        )
    size = training.image_memory(
        FLAGS.batch_size, FLAGS.image_size, FLAGS.image_size, FLAGS.filters
    )
    training.require_memory(size, "lower --batch_size, --image_size or --filters")
    precision = training.set_precision(FLAGS.precision)
    FLAGS.precision = training.set_precision(
        "float32" if precision == "mixed_float16" else precision
    )


def build(network, classes, features):
    """Returns the compiled model of both networks."""
    options = dict(
        image_shape=(FLAGS.image_size, FLAGS.image_size, FLAGS.channels), classes=classes, filters=FLAGS.filters,
        attention=FLAGS.attention if network == "attention" else None,
    )  # fmt: skip
    generator = generative.sagan_generator(noise=FLAGS.noise, momentum=FLAGS.momentum, **options)
    discriminator = generative.sagan_discriminator(**options)
    model = training.AdversarialModel(
        generator, discriminator, classes, features=features, seed=FLAGS.seed, name=network
    )
    averaged = {"use_ema": True, "ema_momentum": FLAGS.ema} if FLAGS.ema else {}
    model.compile(
        keras.optimizers.Adam(FLAGS.generator_rate, **BETAS, **averaged),
        keras.optimizers.Adam(FLAGS.discriminator_rate, **BETAS),
    )
    return model


def count(model):
    """Returns the number of trainable parameters."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def export_files(generator, directory, inputs):
    """Exports a generator, compares the files with it, prints a table, and returns the failures.

    Args:
        generator: the generator.
        directory: of the SavedModel and the .tflite files.
        inputs: {"noise": array, "label": array} to compare on.
    """
    named = keras.Model(generator.input, {"image": generator.output}, name=generator.name)
    version = export.saved_model(named, directory, preprocessing=False)
    files = [version]
    for precision in FLAGS.tflite:
        suffix = "" if precision == "float32" else f".{precision}"
        calibration = inputs if precision in ("int8", "int16") else None
        path = f"{version}{suffix}.tflite"
        files.append(
            export.tflite(
                named, path, preprocessing=False, precision=precision, calibration=calibration
            )
        )
    reports = [
        export.verify(named, path, inputs, preprocessing=False, trust=True) for path in files
    ]
    rows = [
        (str(x.path), x.precision, f"{x.bytes / 1e6:.1f} MB", f"{x.largest_difference:.1e}") for x in reports
    ]  # fmt: skip
    training.print_table(("exported", "precision", "size", "largest difference"), *rows)
    failures = [report.failure(min_agreement=0.0) for report in reports]
    return [failure for failure in failures if failure]


def train(network, train_dataset, test, classifier, strategy, images):
    """Trains or resumes one network, exports its generator, and returns its row of the table and the failures."""
    keras.utils.set_random_seed(FLAGS.seed)
    classes = classifier.output_shape[-1]
    with strategy.scope():
        features = gan_networks.take_features(classifier)
        model = build(network, classes, features)
    directory = pathlib.Path(FLAGS.model_dir, network)
    random = np.random.default_rng(FLAGS.seed)
    judged, shown, compared = (
        random.normal(size=(count, FLAGS.noise)).astype("float32")
        for count in (JUDGED, SAMPLES, COMPARED)
    )
    run = training.Run(
        directory, strategy, epochs=FLAGS.epochs, steps_per_epoch=FLAGS.steps, batch_size=FLAGS.batch_size,
        identity={name: FLAGS[name].value for name in RUN_FLAGS} | {"network": network}, data=images,
        checkpoint_interval=FLAGS.checkpoint_every,
    )  # fmt: skip
    grid = gan_networks.SampleGrid(model.generator, shown, classes, directory / "samples")
    before, after = run.fit(model, train_dataset, test, callbacks=[grid])
    generator = run.save(model.generator)
    inputs = {"noise": compared, "label": np.arange(COMPARED, dtype="int32") % classes}
    failures = export_files(generator, pathlib.Path(FLAGS.export_dir, network), inputs)
    results = {"before": before, "after": after}
    training.write_run_record(directory / "run.json", training.get_flag_values(), results)
    rates = [row["examples_per_second"] for row in run.history]
    points = [(FLAGS.steps * row["epoch"], row["val_feature_distance"]) for row in run.history]
    row = {
        "network": network,
        "generator": count(model.generator),
        "discriminator": count(model.discriminator),
        "steps": FLAGS.epochs * FLAGS.steps,
        "seconds": sum(FLAGS.steps * FLAGS.batch_size / rate for rate in rates if rate),
        "before": before["feature_distance"],
        "distance": after["feature_distance"],
        "accuracy": gan_networks.class_accuracy(generator, classifier, classes, judged),
        "scale": gan_networks.attention_scale(generator),
        "singular": gan_networks.largest_singular_value(generator, model.discriminator),
        "curve": [(0, before["feature_distance"]), *points],
    }
    return row, failures


def delete_checkpoints(network):
    """Deletes the checkpoints of a network whose row is saved."""
    directory = pathlib.Path(FLAGS.model_dir, network, "checkpoints")
    training.Checkpoints(directory, steps_per_epoch=FLAGS.steps).delete()


def main(_):
    check_flags()
    # Keras warns after every evaluation of a dataset of unknown length, and images may be skipped.
    warnings.filterwarnings("ignore", "Your input ran out of data")
    tf.get_logger().setLevel("ERROR")  # it warns about retracing for each network after the first
    strategy = training.make_strategy(FLAGS.strategy)
    training.set_seed(FLAGS.seed, FLAGS.deterministic)
    if FLAGS.data:
        FLAGS.dataset = ""
    train_source, test_source = image_sources.open_sources(FLAGS.dataset, FLAGS.data)
    data.steps_per_epoch(train_source, FLAGS.batch_size)  # raises ValueError for a large batch
    size, classes = (FLAGS.image_size,) * 2, len(train_source.class_names)
    preprocessing = Preprocessing(size=size, crop=1.0, mean=(0.5,), std=(0.5,))  # [-1, 1]
    options = {"classes": classes, "channels": FLAGS.channels, "strict": FLAGS.strict_data}
    train_dataset, shifted = (
        functools.partial(
            data.train_dataset, train_source, preprocessing, FLAGS.batch_size, seed=FLAGS.seed,
            data_service=FLAGS.data_service, **data.AUGMENTATIONS[augmentation], **options,
        )
        for augmentation in ("none", "shift")
    )  # fmt: skip
    test = data.eval_dataset(
        test_source, preprocessing, FLAGS.batch_size, seed=FLAGS.seed, **options
    )
    test = test.take(-(-FLAGS.test // FLAGS.batch_size))
    images = data.images_identity(train_source, test_source)
    identity = {name: FLAGS[name].value for name in RUN_FLAGS}
    results = _results.Results(FLAGS.model_dir, identity, images)

    path = pathlib.Path(FLAGS.model_dir, "classifier.keras")
    with data.explain_errors(train_source, test_source):
        classifier, accuracy = gan_networks.train_classifier(
            path, shifted(), test, (*size, FLAGS.channels), classes, FLAGS.classifier_steps
        )
        real = gan_networks.real_distance(
            gan_networks.take_features(classifier), train_dataset(), test
        )
    print(
        f"classifier: {accuracy:.1f} % of the test images; feature distance of training images {real:.2f}"
    )
    failures = []
    for network in FLAGS.networks:
        if network in results.rows:
            print(f"{network}: already finished")
            delete_checkpoints(network)
            continue
        with data.explain_errors(train_source, test_source):
            row, failed = train(network, train_dataset, test, classifier, strategy, images)
        failures += failed
        results.add(network, row)
        delete_checkpoints(network)
        keras.backend.clear_session()
        gc.collect()
    note = (
        f"{train_source.examples:,} training images of {train_source.name.rpartition('/')[2]} at {size[0]}x{size[1]}, "
        f"{FLAGS.batch_size} in a step. Feature distance: of a LeNet-5 trained here ({accuracy:.1f} % of the test "
        f"images), to the test images; that of training images is {real:.2f}. It is not FID."
    )
    curves = results.curves("curve", "curves.png", "steps", "feature distance")
    results.table("Self-attention GAN with and without attention", COLUMNS, note, [curves])
    if failures:
        raise ValueError("; ".join(failures))


if __name__ == "__main__":
    training.run_main(main)
