"""ResNet for CIFAR: the paper's table, the shortcut without parameters, and half precision."""

import keras
import numpy as np
import pytest

import kapps
from kapps.cnn.resnet_cifar import basic_block

PRINTED = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7}  # millions, arXiv:1512.03385, Table 6


@pytest.mark.parametrize("layers", PRINTED)
@pytest.mark.long
def test_layers_and_parameters_of_table_6(layers, figures, reference):
    name = f"resnet{layers}_cifar"
    model, printed = getattr(kapps, name)(), PRINTED[layers]
    assert figures(model) == reference[name]
    digits = len(str(printed).partition(".")[2])
    assert round(reference[name]["trainable"] / 1e6, digits) == printed
    assert sum(hasattr(layer, "kernel") for layer in model.layers) == layers


@pytest.mark.parametrize("size", [8, 9])
def test_shortcut_keeps_every_second_pixel_and_pads_channels(size):
    image = keras.Input((size, size, 4))
    model = keras.Model(image, basic_block(image, 10, strides=2, name="unit"))
    x = np.random.default_rng(0).normal(size=(2, size, size, 4)).astype("float32")
    expected = np.pad(np.maximum(x[:, ::2, ::2], 0), ((0, 0), (0, 0), (0, 0), (3, 3)))
    gamma = model.get_layer("unit_conv2_bn").gamma
    gamma.assign(keras.ops.zeros_like(gamma))  # no residual
    output = keras.ops.convert_to_numpy(model(x, training=False))
    np.testing.assert_array_equal(output, expected)


@pytest.mark.long
@pytest.mark.parametrize(
    "precision", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.long)]
)
def test_training_in_half_precision_lowers_the_loss(precision, digits):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = kapps.families.resnet_cifar(n=1, input_shape=(16, 16, 1))
    finally:
        keras.config.set_dtype_policy(before)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    images, labels = digits(16, channels=1)
    losses = [model.train_on_batch(images, labels) for _ in range(12)]
    assert np.isfinite(losses).all() and losses[-1] < 0.8 * losses[0]
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
