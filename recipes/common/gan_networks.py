"""The networks of gan.py: a generator and a discriminator, and the classifier whose features compare their images."""

import pathlib

import keras
import tensorflow as tf

import kapps
from kapps import training
from kapps._files import write_atomically

LAST_FEATURES = "head_dense2"
"""The layer of LeNet-5 whose 84 outputs are the features."""
CLASSIFIER_RATE = 1e-3


def train_classifier(path, dataset, test, shape, classes, steps):
    """Returns a LeNet-5 that is trained on the images, or read from a file of an earlier call, and its accuracy.

    Args:
        path: of the `.keras` file, which is written after the training.
        dataset: endless dataset of training batches.
        test: batches of the evaluation.
        shape: (height, width, channels) of the images.
        classes: number of classes.
        steps: number of training steps.
    """
    if path.exists():
        model = training.load_model(path)
    else:
        model = kapps.lenet5(input_shape=shape, classes=classes)
        rate = keras.optimizers.schedules.CosineDecay(CLASSIFIER_RATE, steps)
        trained = training.compile_classifier(model, keras.optimizers.Adam(rate))
        trained.fit(dataset, epochs=1, steps_per_epoch=steps, shuffle=False, verbose=0)
        with write_atomically(path) as temporary:
            model.save(temporary)
    metrics = [keras.metrics.CategoricalAccuracy("accuracy")]
    model.compile(metrics=metrics, loss="categorical_crossentropy", jit_compile=False)
    return model, 100 * model.evaluate(test, verbose=0, return_dict=True)["accuracy"]


def take_features(classifier):
    """Returns a model from images to the features of the last hidden layer."""
    return keras.Model(
        classifier.input, classifier.get_layer(LAST_FEATURES).output, name="features"
    )


def real_distance(features, dataset, test):
    """Returns the distance between the features of the test images and those of as many training images."""
    metric, first = training.FrechetDistance(features.output_shape[-1]), iter(dataset)
    for images, _ in test:
        others = next(first)[0][: len(images)]
        metric.update_state(features(images[: len(others)]), features(others))
    return float(metric.result())


def class_accuracy(generator, classifier, classes, noise):
    """Returns the percentage of generated images that the classifier assigns to the class that they were made for.

    Args:
        generator: the generator.
        classifier: of `train_classifier`.
        classes: number of classes.
        noise: array (images, size).
    """
    labels = tf.range(len(noise), dtype=tf.int32) % classes
    images = generator.predict([noise, labels.numpy()], batch_size=100, verbose=0)
    answers = classifier.predict(images, batch_size=100, verbose=0).argmax(-1)
    return 100 * float((answers == labels.numpy()).mean())


def attention_scale(model):
    """Returns the learned number that the attention of a network is multiplied by; None without attention."""
    scales = [layer for layer in model.layers if layer.name.endswith("_attention_gamma")]
    return float(scales[0].get_weights()[0]) if scales else None


def largest_singular_value(*models):
    """Returns the largest singular value of all kernels with spectral normalisation, which is 1 up to the estimate."""
    largest = []
    for model in models:
        for layer in model.layers:
            if isinstance(layer, kapps.layers.SpectralNorm):
                kernel = layer.keras_weights()[0]
                matrix = kernel.reshape(-1, kernel.shape[-1])
                largest.append(float(tf.linalg.svd(matrix, compute_uv=False)[0]))
    return max(largest)


class SampleGrid(keras.callbacks.Callback):
    """Writes a grid of generated images, one row for each class, after each evaluation of a training.

    It is before `keras.callbacks.SwapEMAWeights`, so that the weights are the averages.

    Args:
        generator: the generator.
        noise: array (images, size): of the images of each class.
        classes: number of classes.
        directory: of the files `epoch01.png`, `epoch02.png` and so on.
    """

    def __init__(self, generator, noise, classes, directory):
        super().__init__()
        self.generator, self.noise, self.classes = generator, noise, classes
        self.directory, self.epoch = pathlib.Path(directory), 0

    def on_epoch_begin(self, epoch, logs=None):
        del logs
        self.epoch = epoch + 1

    def on_test_end(self, logs=None):
        del logs
        write_grid(
            self.generator, self.noise, self.classes, self.directory / f"epoch{self.epoch:02}.png"
        )


def write_grid(generator, noise, classes, path):
    """Writes a grid of generated images: one row for each class, one column for each row of `noise`."""
    columns = len(noise)
    labels = tf.repeat(tf.range(classes, dtype=tf.int32), columns)
    images = generator([tf.tile(noise, (classes, 1)), labels], training=False)
    height, width, channels = images.shape[1:]
    grid = tf.reshape(images, (classes, columns, height, width, channels))
    grid = tf.reshape(
        tf.transpose(grid, (0, 2, 1, 3, 4)), (classes * height, columns * width, channels)
    )
    pixels = tf.cast(tf.round(127.5 * (grid + 1)), tf.uint8).numpy()
    with write_atomically(path) as temporary:
        keras.utils.save_img(temporary, pixels, scale=False)
