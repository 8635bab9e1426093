"""Network in network: map sizes of the lectures, mlpconv blocks, and class map pooling."""

import keras
import numpy as np

import kapps

# Channels and rows of the maps that the lectures print for 224x224 and 10 classes.
PRINTED = [(96, 54), (96, 26), (256, 26), (256, 12), (384, 12), (384, 5), (384, 5), (10, 5)]


def test_map_sizes_of_the_lectures():
    model = kapps.nin(classes=10)
    names = ["stem_conv3", "level3_pool", "level3_conv3", "level4_pool", "level4_conv3", "level5_pool"]  # fmt: skip
    shapes = [
        model.get_layer(name).output.shape[1:] for name in [*names, "head_dropout", "head_logits"]
    ]
    assert [(shape[2], shape[0]) for shape in shapes] == PRINTED
    assert model.get_layer("head_pool").output.shape == (None, 10)


def test_kernel_sizes_of_the_blocks():
    model = kapps.nin(classes=10)
    kernels = [layer.kernel_size[0] for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]  # fmt: skip
    assert kernels == [
        11,
        1,
        1,
        5,
        1,
        1,
        3,
        1,
        1,
        3,
        1,
    ]  # the last 1x1 is a dense layer at each pixel
    assert not any(isinstance(layer, keras.layers.Flatten) for layer in model.layers)
    convolutions = [layer for layer in model.layers if hasattr(layer, "kernel")]
    assert {layer.activation.__name__ for layer in convolutions} == {"relu"}


def test_logits_are_means_of_class_maps(digits):
    model = kapps.nin_cifar(classifier_activation=None)
    evidence = keras.Model(model.input, model.get_layer("head_logits").output)
    images = digits(32)[0][:2]
    maps = keras.ops.convert_to_numpy(evidence(images, training=False))
    assert maps.shape == (2, 8, 8, 10) and maps.min() == 0 < maps.max()
    output = keras.ops.convert_to_numpy(model(images, training=False))
    np.testing.assert_allclose(output, maps.mean(axis=(1, 2)), rtol=1e-5, atol=1e-7)


def test_poolings_and_dropout_for_cifar():
    kinds = [type(layer).__name__ for layer in kapps.nin_cifar().layers]
    places = [kinds.index(kind) for kind in ("MaxPooling2D", "AveragePooling2D")]
    assert places[0] < places[1]
    assert [kinds[place + 1] for place in places] == ["Dropout", "Dropout"]
