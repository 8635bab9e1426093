"""Temporal convolutional networks: step by step in NumPy, next to PyTorch, and their receptive field."""

import keras
import numpy as np
import pytest

import kapps
from kapps.families import tcn

SMALL = dict(hidden=5, levels=3, kernel_size=3)


def array(x):
    return keras.ops.convert_to_numpy(x)


def network(features=2, outputs=None, **options):
    """A small network with random weights, so that each ReLU has inputs of both signs."""
    x = keras.Input((None, features))
    y = tcn(include_top=False, input_tensor=x, **{**SMALL, **options}).output
    model = keras.Model(x, y if outputs is None else keras.layers.Dense(outputs)(y), name="tcn")
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model


def sequences(steps=20, features=2, batch=2):
    return np.random.default_rng(1).normal(size=(batch, steps, features)).astype("float32")


def causal(x, w, b, dilation):
    """A causal convolution at each t: the sum over x_t, x_{t-d}, ..., with the kernel's last step at x_t."""
    y = np.zeros((len(x), w.shape[-1])) + b
    for t in range(len(x)):
        for k in range(len(w)):
            before = t - dilation * (len(w) - 1 - k)
            if before >= 0:
                y[t] += x[before] @ w[k]
    return y


def expected(x, model):
    """The blocks of section 3 for one sequence (steps, features)."""
    x = x.astype("float64")
    for level in range(SMALL["levels"]):
        y = x
        for i in (1, 2):
            v, b, g = model.get_layer(f"layer{level + 1}_conv{i}").get_weights()
            w = v * g / np.sqrt((v**2).sum(axis=(0, 1)))
            y = np.maximum(causal(y, w, b, 2**level), 0)
        if level == 0:
            w, b = model.get_layer("layer1_shortcut").get_weights()
            x = causal(x, w, b, 1)
        x = np.maximum(x + y, 0)
    return x


def test_equations_step_by_step():
    model = network(every_step=True)
    result = array(model(sequences()))
    for x, y in zip(sequences(), result, strict=True):
        np.testing.assert_allclose(y, expected(x, model), rtol=1e-4, atol=1e-4)
    last = network()
    last.set_weights(model.get_weights())
    np.testing.assert_array_equal(array(last(sequences())), result[:, -1])


def test_the_receptive_field():
    """The output at t depends on all R = 1 + 2 (k - 1) (2^n - 1) = 29 steps up to t, and on no other step."""
    model = network(every_step=True)
    for weight in model.weights:
        weight.assign(keras.ops.abs(weight))  # so that no ReLU removes a dependence
    x, t = np.abs(sequences(40, batch=1)), 33
    changed = x + 100 * np.eye(40)[..., None]  # one sequence for each changed step
    difference = array(model(changed.astype("float32"))) - array(model(x))
    for step in range(40):
        assert np.abs(difference[step, :step]).max(initial=0) < 0.02  # rounding
        assert (np.abs(difference[step, t]).max() > 0.02) == (t - 29 < step <= t)


def test_dropout_removes_whole_channels():
    block = network(dropout=0.5)
    x = keras.ops.ones((1, 9, 5))
    dropped = array(block.get_layer("layer2_dropout1")(x, training=True))
    assert set(np.unique(dropped)) == {0, 2} and (dropped == dropped[:, :1]).all()
    np.testing.assert_array_equal(
        array(block(sequences(), training=False)), array(network()(sequences()))
    )


def test_training_lowers_the_loss():
    model = network(outputs=1, levels=2)
    model.compile(keras.optimizers.Adam(0.03), "mse", jit_compile=False)
    x = sequences(8, batch=32)
    losses = [model.train_on_batch(x, x[:, -3:].sum(axis=(1, 2))[:, None]) for _ in range(15)]
    assert losses[-1] < 0.6 * losses[0]


def test_files_and_keras_layers(tmp_path):
    model = network(outputs=3)
    expected = array(model(sequences()))
    for name, network_ in ("own", model), ("to_keras_layers", kapps.to_keras_layers(model)):
        network_.save(tmp_path / f"{name}.keras")
        loaded = keras.saving.load_model(tmp_path / f"{name}.keras", safe_mode=True)
        np.testing.assert_allclose(array(loaded(sequences())), expected, rtol=1e-5, atol=1e-5)
    assert not any(type(layer).__module__.startswith("kapps") for layer in loaded.layers)


@pytest.mark.tensorflow
def test_tflite_agrees(tmp_path):
    model = network(outputs=3)
    path = kapps.export.tflite(model, tmp_path / "net.tflite", length=20)
    report = kapps.export.verify(model, path, sequences(20, batch=5))
    assert report.largest_difference < 1e-4 and report.largest_value > 0.1


@pytest.mark.peers
def test_is_pytorchs():
    import torch
    from torch.nn.functional import pad, relu
    from torch.nn.utils.parametrizations import weight_norm

    def conv(name, inputs, dilation=1, steps=1):
        layer = torch.nn.Conv1d(inputs, 5, steps, dilation=dilation)
        values = [torch.tensor(w) for w in model.get_layer(name).get_weights()]
        layer.bias.data = values[1]
        if len(values) == 2:
            layer.weight.data = values[0].permute(2, 1, 0)
            return layer
        layer = weight_norm(layer)
        layer.parametrizations.weight.original0.data = values[2][:, None, None]
        layer.parametrizations.weight.original1.data = values[0].permute(2, 1, 0)
        return layer

    model = network(every_step=True)
    x = torch.tensor(sequences()).permute(0, 2, 1)
    for level in range(3):
        y, d, name = x, 2**level, f"layer{level + 1}"
        for i in (1, 2):
            y = relu(conv(f"{name}_conv{i}", y.shape[1], d, 3)(pad(y, (2 * d, 0))))
        x = relu(y + (conv(f"{name}_shortcut", 2)(x) if level == 0 else x))
    np.testing.assert_allclose(
        array(model(sequences())), x.detach().permute(0, 2, 1), rtol=1e-4, atol=1e-4
    )


def test_parameters_are_tables_1_and_2():
    """Table 1 in thousands; a convolution of k steps has v, a gain and a bias for each filter."""
    expected_params = 15 * (7 * 25 * 25 + 2 * 25) + (7 * 25 + 2 * 25) + 2 * 25 + (25 * 10 + 10)
    assert kapps.tcn_mnist.card.params == expected_params
    published = {"tcn_mnist": 70_000, "tcn_adding600": 70_000, "tcn_jsb": 300_000, "tcn_nottingham": 1e6}  # fmt: skip
    for name, rounded in published.items():
        builder = getattr(kapps, name)
        assert builder().count_params() == builder.card.params
        assert abs(builder.card.params / rounded - 1) < 0.11
