"""The convolutional LSTM against equation (3) pixel by pixel, and the encoder and forecaster made of it."""

import keras
import numpy as np
import pytest

import kapps
from kapps.families import convlstm
from kapps.layers import PeepholeConvLSTM2D, PeepholeConvLSTMCell

SMALL = dict(input_shape=(3, 8, 6, 1), filters=(3, 4), kernel_size=3, patch=2, horizon=4)


def array(x):
    return keras.ops.convert_to_numpy(x)


def randomise(model):
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def convolve(x, kernel):
    """The sum over the window around each pixel of (height, width, channels), padded with zeros."""
    size, (height, width) = len(kernel), x.shape[:2]
    y = np.zeros((height, width, kernel.shape[-1]))
    for row in range(height):
        for column in range(width):
            for i in range(size):
                for j in range(size):
                    r, c = row + i - size // 2, column + j - size // 2
                    if 0 <= r < height and 0 <= c < width:
                        y[row, column] += x[r, c] @ kernel[i, j]
    return y


def step(x, h, c, kernel, recurrent, bias, peephole):
    """Equation (3); x is None for a layer without input."""
    n = h.shape[-1]
    parts = {
        name: convolve(h, recurrent[..., k * n : (k + 1) * n])
        + (0 if x is None else convolve(x, kernel[..., k * n : (k + 1) * n]))
        + bias[k * n : (k + 1) * n]
        for k, name in enumerate("ifco")
    }
    i = sigmoid(parts["i"] + peephole[0] * c)
    f = sigmoid(parts["f"] + peephole[1] * c)
    c = f * c + i * np.tanh(parts["c"])
    o = sigmoid(parts["o"] + peephole[2] * c)
    return o * np.tanh(c), c


def run(layer, xs, h, c):
    """The outputs of all steps of one sequence with the layer's weights, and the last states."""
    weights = [w.astype("float64") for w in layer.get_weights()]
    kernel, recurrent, bias, peephole = [None] * (4 - len(weights)) + weights
    outputs = []
    for x in xs:
        h, c = step(x, h, c, kernel, recurrent, bias, peephole)
        outputs.append(h)
    return outputs, h, c


def test_the_nowcaster_is_equation_3_and_figure_3():
    model = randomise(convlstm(**SMALL))
    frames = np.random.default_rng(1).uniform(size=(2, *SMALL["input_shape"])).astype("float32")
    result = array(model(frames))
    assert result.shape == (2, 4, 8, 6, 1)
    for inputs, forecast in zip(frames, result, strict=True):
        # The pixels of a patch, row by row, are its channels.
        xs = [
            np.array([[f[r : r + 2, c : c + 2].ravel() for c in (0, 2, 4)] for r in (0, 2, 4, 6)])
            for f in inputs
        ]
        states = []
        for i, filters in enumerate(SMALL["filters"], start=1):
            zeros = np.zeros((4, 3, filters))
            xs, h, c = run(model.get_layer(f"encoder{i}"), xs, zeros, zeros)
            states.append((h, c))
        hidden, ys = [], [None] * 4
        for i, (h, c) in enumerate(states, start=1):
            ys, *_ = run(model.get_layer(f"forecaster{i}"), ys, h, c)
            hidden.append(ys)
        w, b = model.get_layer("head_logits").get_weights()
        for t in range(4):
            y = sigmoid(np.concatenate([hidden[0][t], hidden[1][t]], axis=-1) @ w + b)
            for row in range(4):
                for column in range(3):
                    patch = forecast[t, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                    np.testing.assert_allclose(patch.ravel(), y[row, column], rtol=1e-5, atol=1e-5)


def test_without_peepholes_it_is_keras_own_layer():
    ours, plain = (
        PeepholeConvLSTM2D(3, 5),
        keras.layers.ConvLSTM2D(3, 5, padding="same"),
    )
    x = np.random.default_rng(1).normal(size=(2, 4, 6, 5, 2)).astype("float32")
    for layer in (ours, plain):
        layer.build(x.shape)
    initial = ours.get_weights()
    np.testing.assert_array_equal(initial[2], plain.get_weights()[2])  # the forget gates start open
    plain.set_weights(initial[:3])
    assert (initial[3] == 0).all()
    np.testing.assert_allclose(array(ours(x)), array(plain(x)), rtol=1e-5, atol=1e-5)


@pytest.mark.long
def test_parameters_are_table_1():
    """The largest: 2 LSTMs of 256 channels with 5x5 kernels, one without input, and the 1x1 convolution."""
    gates, rest = 4 * 25 * 256, 4 * 256 + 3 * 256
    expected = gates * (16 + 256) + rest + gates * 256 + rest + 256 * 16 + 16
    assert kapps.convlstm_nowcaster1.card.params == expected == 13_524_496
    for builder in (
        kapps.convlstm_nowcaster1,
        kapps.convlstm_nowcaster2,
        kapps.convlstm_nowcaster3,
    ):
        assert builder().count_params() == builder.card.params


@pytest.mark.long
def test_training_lowers_the_papers_metric():
    model = convlstm(**SMALL)
    frames = np.random.default_rng(1).uniform(size=(4, 3, 8, 6, 1)).round().astype("float32")
    targets = np.concatenate([frames, frames[:, :1]], axis=1)
    model.compile(
        keras.optimizers.Adam(0.05), "binary_crossentropy",
        metrics=[kapps.training.frame_cross_entropy], jit_compile=False,
    )  # fmt: skip
    reports = [model.train_on_batch(frames, targets, return_dict=True) for _ in range(15)]
    assert reports[-1]["loss"] < 0.85 * reports[0]["loss"]
    # Its mean over frames is 48 pixels times the loss, which is the mean over pixels.
    report = model.evaluate(frames, targets, verbose=0, return_dict=True)
    np.testing.assert_allclose(report["frame_cross_entropy"], 48 * report["loss"], rtol=1e-4)


def test_files_cost_and_errors(tmp_path):
    model = randomise(convlstm(**SMALL))
    frames = np.random.default_rng(1).uniform(size=(2, 3, 8, 6, 1)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(frames)), array(model(frames)))
    pixels, gates, window = 4 * 3, 4, 9
    encoder = 3 * pixels * gates * window * (3 * (4 + 3) + 4 * (3 + 4))
    forecaster = 4 * pixels * gates * window * (3 * 3 + 4 * (3 + 4))
    assert kapps.profile(model).macs == encoder + forecaster + 4 * pixels * (3 + 4) * 4
    with pytest.raises(ValueError, match="frames of 9x6 cannot be cut into patches of 2x2"):
        convlstm(**{**SMALL, "input_shape": (3, 9, 6, 1)})
    with pytest.raises(ValueError, match="kernel_size is odd, not 4"):
        PeepholeConvLSTMCell(3, 4)
    with pytest.raises(ValueError, match="needs a state"):
        PeepholeConvLSTM2D(3, 3, steps=2)(np.zeros((1, 4, 4, 3), "float32"))
    with pytest.raises(ValueError, match="fixed height and width"):
        PeepholeConvLSTM2D(3, 3)(keras.Input((2, None, 4, 1)))


@pytest.mark.long
@pytest.mark.tensorflow
def test_tflite_agrees(tmp_path):
    model = randomise(convlstm(**SMALL))
    frames = np.random.default_rng(1).uniform(size=(2, 3, 8, 6, 1)).astype("float32")
    path = kapps.export.tflite(model, tmp_path / "net.tflite")
    report = kapps.export.verify(model, path, frames)
    assert report.largest_difference < 1e-4 and report.largest_value > 0.1
