"""Linear probes: how well a linear classifier separates the classes on each layer's output.

Alain and Bengio 2016, arXiv:1610.01644. The network is not trained. The error of the same network with random weights
is needed to read the error of the trained one.
"""

import dataclasses

import keras
import numpy as np
from keras import ops

from kapps.visualize import _layer_calls
from kapps.visualize._batches import BATCH, check_images, in_batches


@dataclasses.dataclass(frozen=True)
class Probe:
    """A linear classifier on the output of one layer.

    Args:
        layer: path of the layer.
        features: numbers of an example that the classifier reads.
        loss: mean cross-entropy of the test examples, in nats.
        error: fraction of the test examples with a wrong class.
        train_error: fraction of the training examples with a wrong class.
    """

    layer: str
    features: int
    loss: float
    error: float
    train_error: float


def probe(
    model: keras.Model, train, test, layers=None, *, features: int = 2048, l2: float = 1e-4, steps: int = 300,
    batch_size: int = BATCH, seed: int = 0,
) -> list[Probe]:  # fmt: skip
    """Trains a linear classifier on the output of each layer.

    A layer with more than `features` numbers is read at `features` of them, the same random ones for each example.
    Features have mean 0 and variance 1 over the training examples.

    Args:
        model: a `keras.Model` of images, also a nested one.
        train, test: images (count, height, width, channels) and classes (count,).
        layers: names of layers; None for all whose outputs have 2 or 4 dimensions, without the last one.
        features: largest number of features.
        l2: weight of the sum of the kernel's squares in the loss.
        steps: steps of the training by Adam, each with all examples.
        batch_size: number of images that the model processes at a time.
        seed: of the chosen features.

    Returns:
        A probe for each layer, in the order of the layers.

    Raises:
        ValueError: for images, classes or layers that do not fit.
    """
    data = [_checked(model, *pair, name) for pair, name in ((train, "train"), (test, "test"))]
    (x, y), (x_test, y_test) = data
    shapes = _layer_calls.output_shapes(model, x[:1])
    if layers is None:
        paths = [path for path, shape in shapes.items() if len(shape) in (2, 4)][:-1]
    else:
        paths = [_layer_calls.find_layer(model, x[:1], name, rank=None) for name in layers]
    count, probes = int(max(y.max(), y_test.max())) + 1, []
    for number, path in enumerate(paths):
        size = int(np.prod(shapes[path][1:]))
        random = np.random.default_rng([seed, number])
        columns = np.sort(random.permutation(size)[: min(size, features)])
        a, b = (_features(model, images, path, columns, batch_size) for images in (x, x_test))
        mean, deviation = a.mean(axis=0), a.std(axis=0)
        scale = 1 / np.where(deviation < 1e-6, 1, deviation)
        a, b = (a - mean) * scale, (b - mean) * scale
        logits = _fit(a, y, (a, b), count, l2, steps)
        losses = [_cross_entropy(z, labels) for z, labels in zip(logits, (y, y_test), strict=True)]
        errors = [
            float((z.argmax(axis=1) != labels).mean())
            for z, labels in zip(logits, (y, y_test), strict=True)
        ]
        probes.append(Probe(path, len(columns), losses[1], errors[1], errors[0]))
    return probes


def _checked(model, images, classes, name):
    images, classes = check_images(model, images), np.asarray(classes)
    if classes.shape != (len(images),) or classes.dtype.kind not in "iu" or classes.min() < 0:
        raise ValueError(
            f"{name}: classes of shape {classes.shape} and dtype {classes.dtype} for {len(images)} images; pass one "
            "index for each image"
        )
    return images, classes


def _features(model, images, path, columns, batch_size):
    def batch(rows):
        output = _layer_calls.with_outputs(model, rows, [path])[1][path]
        return ops.take(ops.reshape(output, (len(rows), -1)), columns, axis=1)

    return in_batches(batch, batch_size, images)


def _fit(x, y, arrays, classes, l2, steps):
    """Returns the logits of arrays by a linear classifier that is trained on x and y."""
    classifier = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Dense(
                classes, kernel_initializer="zeros", kernel_regularizer=keras.regularizers.L2(l2)
            ),
        ]
    )
    schedule = keras.optimizers.schedules.CosineDecay(0.05, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(keras.optimizers.Adam(schedule), loss)
    # Or TensorFlow traces the first step twice.
    classifier.optimizer.build(classifier.trainable_variables)
    for _ in range(steps):
        classifier.train_on_batch(x, y)
    return [ops.convert_to_numpy(classifier(array)) for array in arrays]


def _cross_entropy(logits, classes):
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    return float((log_sums - shifted[np.arange(len(classes)), classes]).mean())
