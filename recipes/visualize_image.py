"""Shows what is inside an image classifier: filters, heat maps with their check, images of the classes, linear probes.

    python recipes/visualize_image.py                                        # trains a small network on digits
    python recipes/visualize_image.py --model_dir=runs/imagenet --data_dir=/data/imagenet

The network is `model.keras` in --model_dir, as the other recipes leave it. Without --model_dir a network of three
convolutions is trained on the digits of kapps. The images are those of --data_dir, or the digits. The recipe writes to
--output_dir:

- filters.png: the filters of the first convolution; of the network on digits, first those before the training.
- heat_maps.png: images with the heat maps of each method, for the predicted class.
- check.png: how much of the order of each heat map stays when the weights are random, from the last layer to the first
  (Adebayo 2018, arXiv:1810.03292). A line that stays at 1 shows the image and not the network.
- feature_maps.png: the feature maps of one image that have the largest mean, at each size.
- classes.png: images that the network reacts to most, by activation maximisation. For the digits this is a second
  network with a weight for each place: one that pools over all places needs no order of the strokes.
- probes.png: errors of linear classifiers on each layer, and on those of the same network with random weights.
- results.json: the numbers of the plots.

Results: docs/visualize.md.
"""

import functools
import json
import pathlib
import time

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from common import image_sources

from kapps import _interrupts, data, preprocessing, training, visualize
from kapps._files import write_atomically
from kapps.model_preprocessing import find_preprocessing

FLAGS = flags.FLAGS
training.define_path("model_dir", None, "folder of a finished run, with model.keras", "folder")
training.define_path("data_dir", None, "class folders or a .zip file of images [digits]")
flags.DEFINE_integer("images", 6, "images with heat maps", 1, 100)
flags.DEFINE_integer("probed", 600, "images of each split for the probes; 0 for none", 0, 10**6)
flags.DEFINE_integer("steps", 256, "steps of activation maximisation; 0 for none", 0, 10**6)
flags.DEFINE_float("penalty", 0.01, "weight of the squares in activation maximisation", 0, 1e6)
flags.DEFINE_integer("layers", 6, "steps of the check from the last layer to the first", 1, 1000)
flags.DEFINE_integer("epochs", 15, "epochs of the network on digits", 1, 10**6)
flags.DEFINE_integer("seed", 0, "random seed", lower_bound=0)
training.define_path("output_dir", "runs/visualize_image", "output folder", "output")

SIZE, BATCH = (32, 32), 64
"""Size of the digits in pixels, and images per step."""
DIGITS = preprocessing.get_preprocessing("tf").at(SIZE)
"""Preprocessing of the digits."""


def digits_network(classes, has_places):
    """Returns a network of three convolutions; its last layer has a weight for each place, or for each channel."""
    layers = keras.layers
    if has_places:
        top = [layers.Flatten(name="flatten"), layers.Dropout(0.5, name="dropout")]
    else:
        top = [layers.GlobalAveragePooling2D(name="pool")]
    return keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Conv2D(16, 7, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(name="pool1"),
            layers.Conv2D(32, 5, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(name="pool2"),
            layers.Conv2D(64, 3, padding="same", activation="relu", name="conv3"),
            *top,
            layers.Dense(classes, activation="softmax", name="predictions"),
        ],
        name="digits_with_places" if has_places else "digits",
    )


def train_on_digits(train, test, *, has_places=False):
    """Returns a `digits_network` that is trained on the digits, and the filters of its first layer before that."""
    keras.utils.set_random_seed(FLAGS.seed)
    model = digits_network(len(train.class_names), has_places)
    before, loss = visualize.filters(model), "sparse_categorical_crossentropy"
    optimizer = keras.optimizers.Adam(1e-3 if has_places else 2e-3)
    metrics = [keras.metrics.SparseCategoricalAccuracy("accuracy")]
    model.compile(optimizer, loss, metrics=metrics, jit_compile=False)
    optimizer.build(model.trainable_variables)  # or the first step is traced twice
    (x, y), (x_test, y_test) = (read(source, DIGITS) for source in (train, test))
    for epoch in range(1, FLAGS.epochs + 1):
        model.fit(x, y, batch_size=BATCH, verbose=0)
        loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
        print(
            f"{model.name}: epoch {epoch}/{FLAGS.epochs}, test loss {loss:.3f}, accuracy {accuracy:.3f}",
            flush=True,
        )
    return model, before


def read(source, prepared, count=None):
    """Returns images and classes of a source as arrays: all, or the first ones in random order."""
    dataset = data.eval_dataset(
        source, prepared, BATCH, classes=len(source.class_names), seed=None if count is None else FLAGS.seed
    )  # fmt: skip
    images, labels = next(iter(dataset.unbatch().batch(count or source.examples)))
    return images.numpy(), labels.numpy().argmax(axis=-1)


def heat_maps(images, classes):
    """Returns {method: function of a model and images}, with the classes fixed."""
    side = images.shape[1]
    square = max(2, side // 6)
    return {
        "gradient": functools.partial(visualize.saliency, classes=classes),
        "gradient x input": functools.partial(visualize.gradient_times_input, classes=classes),
        "SmoothGrad": functools.partial(visualize.smooth_grad, classes=classes, samples=20),
        "integrated": functools.partial(_integrated, classes=classes),
        "guided": functools.partial(visualize.guided_backpropagation, classes=classes),
        "deconvnet": functools.partial(visualize.deconvnet, classes=classes),
        "Grad-CAM": functools.partial(visualize.grad_cam, classes=classes),
        "Grad-CAM++": functools.partial(visualize.grad_cam, classes=classes, variant="grad_cam++"),
        "occlusion": functools.partial(
            visualize.occlusion, classes=classes, square=square, stride=max(1, square // 2)
        ),
    }


def _integrated(model, images, classes):
    return visualize.integrated_gradients(model, images, classes, nodes=20).attributions


def draw_heat_maps(model, images, labels, class_names, folder):
    """Writes heat_maps.png and check.png. Returns the numbers of the check."""
    probabilities = model.predict(images, verbose=0)
    predicted = probabilities.argmax(axis=-1)
    maps, check = {}, {}
    for name, method in heat_maps(images, predicted).items():
        start = time.monotonic()
        try:
            heat = method(model, images)
        except ValueError as error:  # a method that is not defined for this network
            print(f"{name}: left out: {error}", flush=True)
            continue
        maps[name] = heat if heat.ndim == 4 else visualize.enlarge(heat, images.shape[1:3])
        rows = visualize.randomised(method, model, images, layers=FLAGS.layers, seed=FLAGS.seed)
        check[name] = {layer: float(row.mean()) for layer, row in rows.items()}
        last = list(check[name].values())[-1]
        print(
            f"{name}: rank correlation with random weights {last:.2f}, {time.monotonic() - start:.0f} s",
            flush=True,
        )
    titles = [
        f"{class_names[label]}\n{100 * row[i]:.0f} % {class_names[i]}"
        for label, i, row in zip(labels, predicted, probabilities, strict=True)
    ]
    visualize.plot_heat_maps(images, maps, folder / "heat_maps.png", titles)
    curves = {name: list(enumerate(rows.values(), start=1)) for name, rows in check.items()}
    visualize.plot_training_curves(
        curves, folder / "check.png", "steps of random weights", "rank correlation"
    )
    return check


def is_grey(images):
    """Returns whether all channels of images are equal."""
    return bool((images[..., :1] == images).all())


def draw_inside(model, before, image, folder):
    """Writes filters.png, with the filters `before` the training if there are some, and feature_maps.png.

    All channels of a grey image are equal, so that the sum of a filter's channels is plotted.
    """
    stages = [x.transpose(3, 0, 1, 2) for x in (before, visualize.filters(model)) if x is not None]
    count, kernels = len(stages[0]), np.concatenate(stages)
    if is_grey(image) or kernels.shape[-1] != 3:
        kernels = kernels.sum(axis=-1)
    titles = [] if before is None else ["before", *[""] * (count - 1), "trained"]
    columns = None if before is None else count
    visualize.plot_sheet(kernels, folder / "filters.png", titles, columns=columns)
    sheets, titles = [], []
    for path, maps in visualize.feature_maps(model, image).items():
        order = np.argsort(-maps[0].mean(axis=(0, 1)))[:8]
        rows = visualize.enlarge(np.moveaxis(maps[0], -1, 0)[order], image.shape[1:3])
        rows = np.concatenate([rows, np.zeros((8 - len(rows), *rows.shape[1:]))])
        sheets += list(rows / (rows.max() or 1))
        titles += [path, *[""] * 7]
    visualize.plot_sheet(np.stack(sheets), folder / "feature_maps.png", titles, columns=8)


def draw_probes(model, train, test, folder):
    """Writes probes.png. Returns the errors by network and layer."""
    networks = {"trained": visualize.probe(model, train, test)}
    fresh = keras.models.clone_model(model)
    networks["random weights"] = visualize.probe(
        fresh, train, test, [probe.layer for probe in networks["trained"]]
    )
    majority = 1 - np.bincount(test[1]).max() / len(test[1])
    visualize.plot_probes(networks, folder / "probes.png", majority=majority)
    return {name: {row.layer: row.error for row in rows} for name, rows in networks.items()}


def main(_):
    tf.get_logger().setLevel("ERROR")  # it warns about retracing for each probe after the first
    folder = pathlib.Path(FLAGS.output_dir)
    training.forbid_without("epochs", "the digits: remove --model_dir", FLAGS.model_dir is None)
    dataset = "" if FLAGS.data_dir else "digits"
    train, test = image_sources.open_sources(dataset, FLAGS.data_dir)
    # A file that cannot be read is an error before a folder is made.
    if FLAGS.model_dir is not None:
        model = training.load_model(pathlib.Path(FLAGS.model_dir, "model.keras"))
        prepared, _ = find_preprocessing(model)
    training.lock_directory(folder)
    _interrupts.set_description(f"the files that are in {folder} are complete")
    before = None
    if FLAGS.model_dir is None:
        (model, before), prepared = train_on_digits(train, test), DIGITS
    images, labels = read(test, prepared, FLAGS.images)
    results = {"check": draw_heat_maps(model, images, labels, train.class_names, folder)}
    draw_inside(model, before, images[:1], folder)
    files = ["heat_maps.png", "check.png", "filters.png", "feature_maps.png"]
    if FLAGS.steps:
        count = min(10, model.output_shape[-1])
        low, high = float(images.min()), float(images.max())
        model_of_classes = model
        if FLAGS.model_dir is None:
            model_of_classes, _ = train_on_digits(train, test, has_places=True)
        maximised, values = visualize.maximise(
            model_of_classes, np.arange(count), steps=FLAGS.steps, size=images.shape[1:3], jitter=images.shape[1] / 16,
            value_range=(low, high), decorrelate=False, grey=is_grey(images),
            penalty=FLAGS.penalty, seed=FLAGS.seed,
        )  # fmt: skip
        visualize.plot_sheet(
            maximised, folder / "classes.png", train.class_names[:count], columns=5
        )
        results["logits"] = values[-1].tolist()
        files.append("classes.png")
    if FLAGS.probed:
        arrays = [read(source, prepared, FLAGS.probed) for source in (train, test)]
        results["probes"] = draw_probes(model, *arrays, folder)
        files.append("probes.png")
    with write_atomically(folder / "results.json") as path:
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"written: {', '.join(str(folder / name) for name in [*files, 'results.json'])}")


if __name__ == "__main__":
    training.run_main(main)
