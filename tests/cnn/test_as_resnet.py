"""AS-ResNet: logits of the authors' network, its shifts, and training of the displacements."""

import re

import fingerprints
import graphs
import keras
import numpy as np
import pytest

import kapps
from kapps.layers import ActiveShift

PARTS = {
    "preact": "scale{}", "conv1": "conv{}/1", "norm": "scale{}/1", "shift": "shift{}/2",
    "conv2": "conv{}/3",
}  # fmt: skip
ENDS = {"stem_conv": "conv0", "level5_norm": "scale/bnlast"}


def caffe_name(layer):
    """Returns the name of a layer in the authors' prototxt."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part = re.fullmatch(r"level(\d)_block(\d+)_(\w+)", layer).groups()
    stage = int(level) - 1
    if part == "shortcut":
        return f"conv/shortcut{stage}"
    return PARTS[part].format(f"{stage}_{int(block) - (stage == 0)}")


def sample(layer):
    """Sets a layer's weights to those made of the names of its tensors, and returns their number."""
    name = caffe_name(layer.name)
    first, second = (fingerprints.seeded(f"{name}.{x}") for x in ("weight", "bias"))
    if isinstance(layer, ActiveShift):
        channels = layer.displacement.shape[0]
        x, y = (fingerprints.seeded(f"{name}.{key}") for key in ("alpha", "beta"))
        layer.displacement.assign(
            np.stack([y.uniform(-1, 1, channels), x.uniform(-1, 1, channels)], -1)
        )
        return 2
    if isinstance(layer, keras.layers.BatchNormalization):
        # The authors' file has them folded into scales and shifts.
        (channels,), zero = layer.gamma.shape, np.zeros(layer.gamma.shape)
        gamma, beta = first.uniform(0.6, 1.4, channels), 0.2 * second.standard_normal(channels)
        layer.set_weights([gamma, beta, zero, zero + 1 - layer.epsilon])
        return 2
    height, width, inputs, filters = layer.kernel.shape
    kernel = first.standard_normal((filters, inputs, height, width))
    layer.kernel.assign(kernel.transpose(2, 3, 1, 0) * np.sqrt(2 / (inputs * height * width)))
    return 1


@pytest.mark.long
def test_logits_equal_those_of_the_authors_network():
    with fingerprints.float64():
        model = kapps.as_resnet_w32(include_top=False, pooling="avg", input_shape=(224, 224, 3))
        count = sum(sample(layer) for layer in model.layers if layer.weights)
        features = keras.ops.convert_to_numpy(model(fingerprints.images(1, 224, 224)))
    weight = fingerprints.seeded("fc/linear.weight").standard_normal((1000, 256)) * np.sqrt(2 / 256)
    bias = 0.1 * fingerprints.seeded("fc/linear.bias").standard_normal(1000)
    assert count + 2 == 145
    first = (501.105138, -7.94257133, 247.041531, 232.399161)
    fingerprints.assert_fingerprint(features @ weight.T + bias, first, -176.637783, 9786.83129)


def test_only_the_stem_and_shifts_are_spatial():
    model = graphs.graph("as_resnet_w32").model
    shifts = [layer for layer in model.layers if isinstance(layer, ActiveShift)]
    assert len(shifts) == 17 and sum(x.strides == (2, 2) for x in shifts) == 4
    assert sum(2 * x.displacement.shape[0] for x in shifts) == 3_840
    assert {x.gradient_length for x in shifts} == {0.01}
    kernels = [x.kernel_size for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert kernels[0] == (3, 3) and set(kernels[1:]) == {(1, 1)}


def test_parameters_are_those_of_the_file_names(reference):
    """Shift networks of equal widths have as many multiply-accumulates, and no displacements."""
    for expansion in (1, 3, 6, 9):
        active, fixed = (
            reference[name.format(expansion)]["macs"]
            for name in ("as_resnet20_16x{}", "shift_resnet20_e{}")
        )
        assert active == fixed


def test_training_moves_displacements_by_the_gradients_length(digits):
    model = kapps.families.as_resnet_cifar(
        n=1, filters=8, expansion=1, input_shape=(16, 16, 3), classifier_activation="softmax"
    )
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    images, labels = digits(16)
    layers = [layer for layer in model.layers if isinstance(layer, ActiveShift)]
    before = [keras.ops.convert_to_numpy(layer.displacement) * 1 for layer in layers]
    losses = [model.train_on_batch(images, labels)]
    for layer, value in zip(layers, before, strict=True):
        moved = keras.ops.convert_to_numpy(layer.displacement) - value
        np.testing.assert_allclose(np.linalg.norm(moved, axis=-1), 0.5 * 0.01, rtol=1e-2)
    losses += [model.train_on_batch(images, labels) for _ in range(10)]
    assert np.isfinite(losses).all() and losses[-1] < 0.9 * losses[0]


def test_displacements_have_no_weight_decay():
    schedule = kapps.training.Schedule(epochs=1, learning_rate=0.1, weight_decay=0.1)
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, ActiveShift()(keras.layers.Conv2D(3, 1, use_bias=False)(image)))
    before = model.get_weights()
    optimizer = schedule.make_optimizer(256, 10)
    optimizer.apply(
        [keras.ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables
    )
    kernel, displacement = model.get_weights()
    assert np.abs(kernel).sum() < np.abs(before[0]).sum()
    np.testing.assert_array_equal(displacement, before[1])
