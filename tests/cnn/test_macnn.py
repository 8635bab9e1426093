"""MA-CNN: costs against those of VGG-19 and by arithmetic, the parts, and the loss in training."""

import graphs
import keras
import numpy as np

import kapps


def head_costs(channels, pixels, classes, parts=4):
    """Returns the parameters and multiply-accumulates after the convolutions."""
    groups = parts * 2 * channels * channels
    classifiers = parts * channels * classes
    parameters = groups + parts * 2 * channels + classifiers + parts * classes
    return np.array([parameters, groups + classifiers + 2 * parts * channels * pixels])


def test_costs_of_the_published_network(reference):
    """The convolutions are those of VGG-19, on images of twice the height and width."""
    dense = 512 * 49 * 4096 + 4096 * 4096 + 4096 * 1000
    vgg = reference["vgg19"]
    costs = np.array([vgg["trainable"] - dense - 4096 * 2 - 1000, 4 * (vgg["macs"] - dense)])
    assert costs[0] == 20_024_384
    row = reference["macnn"]
    assert (row["trainable"], row["macs"]) == tuple(costs + head_costs(512, 28 * 28, 200))


def test_costs_of_the_small_network(reference):
    costs, inputs = np.array([0, 0]), 3
    for level in range(3):
        width, pixels = 32 * 2**level, (32 // 2**level) ** 2
        for channels in (inputs, width):
            kernel = 9 * channels * width
            costs += np.array([kernel + width, kernel * pixels])
        inputs = width
    row = reference["macnn_cifar"]
    assert (row["trainable"], row["macs"]) == tuple(costs + head_costs(128, 64, 10))


def test_parts_of_the_published_network():
    model = graphs.graph("macnn").model
    layer = model.get_layer("head_parts")
    assert [x.shape for x in layer.input] == [(None, 28, 28, 512), (None, 4, 512)]
    assert (layer.grouping, layer.diversity, layer.margin) == (1, 2, 0.02)
    assert model.get_layer("head_part_logits").output.shape == (None, 4, 200)


def test_logits_are_the_mean_of_the_parts(randomise):
    model = randomise(kapps.macnn_cifar(classifier_activation=None))
    parts = keras.Model(model.input, model.get_layer("head_part_logits").output)
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    logits, part_logits = (keras.ops.convert_to_numpy(m(images)) for m in (model, parts))
    np.testing.assert_allclose(logits, part_logits.mean(axis=1), atol=1e-4)


def test_loss_of_the_maps_is_added_in_training_only():
    model = kapps.macnn_cifar()
    images = np.zeros((2, 32, 32, 3), "float32")
    model(images)
    assert not model.losses
    model(images, training=True)
    assert len(model.losses) == 1
