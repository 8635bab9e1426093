"""QuadraticAttention2D against loops over pixels in NumPy, and convolutions as attention against Keras's own."""

import fingerprints
import keras
import numpy as np
import pytest
from attention_inputs import array
from finite_differences import assert_gradients_equal_differences

import kapps
from kapps.layers import QuadraticAttention2D, attention_as_conv, to_keras_layers

HEADS, HEIGHT, WIDTH, CHANNELS = 2, 4, 3, 5
RANDOM = np.random.default_rng(0)


def build(shape=(HEIGHT, WIDTH), channels=CHANNELS, dtype=None):
    image = keras.Input((*shape, channels), dtype=dtype)
    layer = QuadraticAttention2D(HEADS, dtype=dtype, name="attention")
    model = keras.Model(image, layer(image))
    # Centres within and outside of the map, and matrices that are not symmetric.
    centres = np.array([[1, -0.5], [-3, 2]])
    model.set_weights([centres, RANDOM.normal(0, 0.7, (HEADS, 2, 2))])
    return model


def loops(x, centres, spreads):
    """Returns the output of one map (height, width, channels)."""
    height, width, channels = x.shape
    y = np.zeros((height, width, len(centres), channels))
    for a, b, h in np.ndindex(height, width, len(centres)):
        weights = np.zeros((height, width))
        for i, j in np.ndindex(height, width):
            scaled = spreads[h] @ (np.array([i - a, j - b]) - centres[h])
            weights[i, j] = np.exp(-scaled @ scaled / 2)
        y[a, b, h] = np.einsum("ij,ijc->c", weights / weights.sum(), x)
    return y.reshape(height, width, -1)


def test_loops_over_pixels():
    model = build()
    x = RANDOM.normal(size=(2, HEIGHT, WIDTH, CHANNELS)).astype("float32")
    expected = np.stack([loops(one, *model.get_weights()) for one in x])
    free = build((None, None))
    free.set_weights(model.get_weights())
    for copy in (model, free, to_keras_layers(model)):
        np.testing.assert_allclose(array(copy(x)), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="input_shape"):
        to_keras_layers(free)


def test_gradients_of_centres_and_spreads():
    with fingerprints.float64():
        model = build(channels=2)
        assert_gradients_equal_differences(model, RANDOM.normal(size=(1, HEIGHT, WIDTH, 2)))


def test_scores_are_the_products_of_the_paper():
    """v = -alpha (1, -2 D) and r = (|d|^2, d), arXiv:1911.03584, give the same weights."""
    alpha, shift = 0.3, np.array([1.0, -2.0])
    layer = QuadraticAttention2D(1)
    layer.build((None, None, None, 1))
    layer.set_weights([shift[None], np.sqrt(2 * alpha) * np.eye(2)[None]])
    pixels = np.stack(np.meshgrid(range(4), range(5), indexing="ij"), axis=-1).reshape(-1, 2)
    d = pixels[None] - pixels[:, None]
    r = np.concatenate([(d**2).sum(axis=-1, keepdims=True), d], axis=-1)
    scores = np.exp(r @ (-alpha * np.concatenate([[1], -2 * shift])))
    expected = scores / scores.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(array(layer.attention_weights(4, 5))[0], expected, atol=1e-6)


def test_start():
    layer = QuadraticAttention2D(500)
    layer.build((None, None, None, 1))
    centres, spreads = layer.get_weights()
    assert centres.std() == pytest.approx(2, rel=0.1) and abs(centres.mean()) < 0.3
    np.testing.assert_allclose(spreads, np.broadcast_to(np.eye(2), spreads.shape), atol=0.06)
    assert (spreads - np.eye(2)).std() == pytest.approx(0.01, rel=0.1)


def test_half_precision_file_and_cost(tmp_path):
    model = build(dtype="float16")
    x = (1000 * RANDOM.normal(size=(2, HEIGHT, WIDTH, CHANNELS))).astype("float16")
    y = array(model(x))
    assert y.dtype == np.float16 and np.isfinite(y).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(x)), y)
    row = kapps.profile(model).row("attention")
    assert (row.macs, row.parameters) == (HEADS * (HEIGHT * WIDTH) ** 2 * CHANNELS, HEADS * 6)


def convolution(**options):
    """Returns a convolution with random weights, a map, and the map padded with copies of its border, in float64."""
    conv = keras.layers.Conv2D(
        4, padding="valid", bias_initializer="normal", dtype="float64", **options
    )
    conv.build((None, 10, 9, 3))
    x = RANDOM.normal(size=(2, 10, 9, 3))
    pads = [
        ((size - 1) // 2 * dilation, size // 2 * dilation)
        for size, dilation in zip(conv.kernel_size, conv.dilation_rate, strict=True)
    ]
    return conv, x, np.pad(x, ((0, 0), *pads, (0, 0)), "edge")


@pytest.mark.tensorflow  # float64
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3},
        {"kernel_size": (2, 5), "use_bias": False},
        {"kernel_size": 3, "dilation_rate": 2, "activation": "relu"},
    ],
)
def test_attention_equals_a_convolution_of_the_padded_map(options):
    conv, x, padded = convolution(**options)
    expected = array(conv(padded))
    attention = attention_as_conv(conv)
    np.testing.assert_allclose(array(attention(x)), expected, rtol=0, atol=1e-14)
    assert np.abs(array(attention_as_conv(conv, sharpness=10)(x)) - expected).max() > 1e-4


@pytest.mark.tensorflow
def test_attention_equals_a_convolution_inside_the_border():
    conv, x, _ = convolution(kernel_size=3)
    inner = array(attention_as_conv(conv)(x))[:, 1:-1, 1:-1]
    np.testing.assert_allclose(inner, array(conv(x)), rtol=0, atol=1e-14)


def test_convolutions_that_attention_is_not_raise():
    for options, word in (({"strides": 2}, "strides"), ({"groups": 2}, "groups")):
        conv = keras.layers.Conv2D(4, 3, **options)
        conv.build((None, 8, 8, 4))
        with pytest.raises(ValueError, match=word):
            attention_as_conv(conv)
    with pytest.raises(ValueError, match="not built"):
        attention_as_conv(keras.layers.Conv2D(4, 3))


def test_centres_move_to_the_displacements_of_a_convolution():
    """Gradient descent on centres and spreads fits a 3x3 convolution, whose matrices are given."""
    keras.utils.set_random_seed(0)
    conv = keras.layers.Conv2D(6, 3, use_bias=False, kernel_initializer="orthogonal")
    x = RANDOM.normal(size=(32, 7, 7, 4)).astype("float32")
    expected = array(conv(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")))
    model = attention_as_conv(conv)
    attention, output = model.layers
    output.trainable = False
    displacements, _ = attention.get_weights()
    assert sorted(map(tuple, displacements)) == [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    start = displacements + RANDOM.uniform(-0.4, 0.4, (9, 2))
    attention.set_weights([start, np.tile(1.5 * np.eye(2), (9, 1, 1))])
    model.compile(keras.optimizers.Adam(0.03), "mse", jit_compile=False)
    for _ in range(60):
        model.train_on_batch(x, expected)
    centres, _ = attention.get_weights()
    assert np.abs(start - displacements).max() > 0.35
    assert np.abs(centres - displacements).max() < 0.1
