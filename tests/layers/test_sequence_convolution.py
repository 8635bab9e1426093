"""Convolutions of sequences with padding: equations in loops, masks, single steps, and files."""

import keras
import numpy as np
import pytest
from attention_inputs import K, X, array, check_file, randomise

import kapps
from kapps.layers import SequenceConv1D, SequenceSeparableConv1D
from kapps.layers.channels import PadChannels

STEPS = X.shape[1]


def separable(x, w, padding, dilation):
    """A depthwise convolution of one sequence, the product of the channels, and the bias."""
    depthwise, pointwise = w["depthwise_kernel"][..., 0], w["pointwise_kernel"][0]
    k = len(depthwise)
    p = dilation * (k - 1) if padding == "causal" else dilation * (k - 1) // 2
    y = np.zeros_like(x)
    for t in range(len(x)):
        for i in range(k):
            if 0 <= t + i * dilation - p < len(x):
                y[t] += depthwise[i] * x[t + i * dilation - p]
    return y @ pointwise + w["bias"]


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 1), (9, 1), (3, 2)])
def test_separable_convolutions_are_the_equation_and_decode(kernel_size, dilation):
    for padding in ("same", "causal"):
        options = dict(activation="relu", dilation_rate=dilation)
        layer = SequenceSeparableConv1D(5, kernel_size, padding, **options)
        layer.build((None, None, K))
        w = randomise(layer)
        y = [separable(x.astype("float64"), w, padding, dilation) for x in X]
        expected = np.maximum(y, 0)
        np.testing.assert_allclose(array(layer(X)), expected, atol=1e-4)
    reach = dilation * (kernel_size - 1)
    specs = layer.decoding_state(2, STEPS)
    shapes = {name: spec.shape for name, spec in specs.items()}
    assert shapes == ({"window": (2, reach, K)} if reach else {})
    state, steps = {name: np.zeros(shape, "float32") for name, shape in shapes.items()}, []
    for t in range(STEPS):
        y, state = layer.decoding_step(keras.ops.convert_to_tensor(X[:, t : t + 1]), None, state)
        steps.append(array(y))
    np.testing.assert_allclose(np.concatenate(steps, axis=1), expected, atol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        SequenceConv1D(5, 3, padding="same"),
        SequenceSeparableConv1D(5, 3),
        SequenceSeparableConv1D(5, 3, "causal"),
    ],
    ids=lambda layer: layer.name,
)
def test_masked_steps_are_those_of_a_shorter_sequence(layer):
    x = keras.Input((None, K))
    masked = keras.layers.Masking()(x)
    y = layer(keras.layers.Activation("linear")(masked))
    model = keras.Model(x, [y, keras.layers.GlobalAveragePooling1D()(y)])
    randomise(layer)
    padded = X.copy()
    padded[0, 4:] = 0
    outputs, means = map(array, model(padded))
    short, mean = map(array, model(X[:1, :4]))
    np.testing.assert_allclose(outputs[0, :4], short[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(means[0], mean[0], atol=1e-5)  # the output keeps the mask
    hidden = np.ones(X.shape, "float32")
    hidden[:, :4] = X[:, :4]
    mask = np.broadcast_to(np.arange(STEPS) < 4, X.shape[:2])
    np.testing.assert_allclose(
        array(layer(hidden, mask=mask))[0, :4], short[0], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    "layer",
    [
        SequenceConv1D(5, 3, padding="causal"),
        SequenceSeparableConv1D(5, 3, "causal", dilation_rate=2),
        PadChannels(9),
    ],
    ids=lambda layer: layer.name,
)
def test_files(layer, tmp_path):
    check_file(layer, tmp_path / "model.keras")


def test_costs_are_those_of_keras():
    x = keras.Input((STEPS, K))
    ours = keras.Model(x, SequenceSeparableConv1D(5, 3)(x))
    theirs = keras.Model(x, keras.layers.SeparableConv1D(5, 3, padding="same")(x))
    assert kapps.profile(ours).macs == kapps.profile(theirs).macs == STEPS * (3 * K + K * 5)


def test_padded_channels_are_zeros():
    y = array(PadChannels(K + 2)(X))
    np.testing.assert_array_equal(y, np.pad(X, ((0, 0), (0, 0), (0, 2))))
    with pytest.raises(ValueError, match="width=7"):
        PadChannels(7)(X)


def test_errors_name_what_is_allowed():
    with pytest.raises(ValueError, match='"causal"'):
        SequenceSeparableConv1D(5, 3, "valid")
    with pytest.raises(ValueError, match="strides"):
        SequenceSeparableConv1D(5, 3, strides=2)
    with pytest.raises(ValueError, match="causal"):
        SequenceSeparableConv1D(5, 3).check_decoding()
