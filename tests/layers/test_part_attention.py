"""PartAttention and its losses against NumPy: loops, special maps, gradients, half precision, files, cost."""

import fingerprints
import keras
import numpy as np
import pytest
from attention_inputs import array
from finite_differences import assert_gradients_equal_differences

import kapps
from kapps.layers import PartAttention, to_keras_layers
from kapps.layers.part_attention import part_losses

HEIGHT, WIDTH, CHANNELS, PARTS = 4, 3, 5, 3
RANDOM = np.random.default_rng(0)


def build(shape=(HEIGHT, WIDTH), dtype=None, **options):
    inputs = [
        keras.Input((*shape, CHANNELS), dtype=dtype),
        keras.Input((PARTS, CHANNELS), dtype=dtype),
    ]
    return keras.Model(inputs, PartAttention(dtype=dtype, name="parts", **options)(inputs))


def inputs():
    x = RANDOM.normal(size=(2, HEIGHT, WIDTH, CHANNELS)).astype("float32")
    return [x, RANDOM.uniform(0, 2, (2, PARTS, CHANNELS)).astype("float32")]


def loops(x, d):
    """Returns the maps (parts, height, width) and the features of the parts of one image."""
    maps = np.zeros((len(d), *x.shape[:2]))
    for i, a, b in np.ndindex(maps.shape):
        maps[i, a, b] = 1 / (1 + np.exp(-(d[i] @ x[a, b])))
    maps /= maps.sum(axis=(1, 2), keepdims=True)
    return maps, np.einsum("iab,abc->ic", maps, x)


def losses(maps, margin=0.02):
    """Returns Dis and Div of maps (parts, height, width), pixel by pixel."""
    distance = diversity = 0.0
    for i, m in enumerate(maps):
        row, column = np.unravel_index(m.argmax(), m.shape)
        others = np.delete(maps, i, axis=0).max(axis=0)
        for a, b in np.ndindex(m.shape):
            square = ((a - row) / m.shape[0]) ** 2 + ((b - column) / m.shape[1]) ** 2
            distance += m[a, b] * square
            diversity += m[a, b] * (others[a, b] - margin)
    return distance, diversity


def test_loops_over_pixels():
    model, (x, d) = build(), inputs()
    expected = np.stack([loops(*one)[1] for one in zip(x, d, strict=True)])
    for copy in (model, build((None, None)), to_keras_layers(model)):
        np.testing.assert_allclose(array(copy([x, d])), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("grouping, diversity", [(1.0, 2.0), (0.5, 0.0), (0.0, 2.0)])
def test_losses_of_training(grouping, diversity):
    model, (x, d) = build(grouping=grouping, diversity=diversity), inputs()
    model([x, d])
    assert not model.losses
    model([x, d], training=True)
    pairs = np.array([losses(loops(*one)[0]) for one in zip(x, d, strict=True)])
    expected = grouping * (pairs[:, 0] + diversity * pairs[:, 1]).mean()
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)
    assert bool(model.losses) == (grouping > 0)


def test_losses_of_maps_of_one_pixel():
    """Dis is 0. Div is -margin for each part if no two parts have the same pixel, and above 0 if two have."""
    apart = np.eye(HEIGHT * WIDTH)[:, :PARTS][None].astype("float32")
    distance, diversity = (array(x)[0] for x in part_losses(apart, HEIGHT, WIDTH, 0.02))
    assert distance == 0 and diversity == pytest.approx(-0.02 * PARTS)
    equal = apart[..., [0, 0, 1]]
    distance, diversity = (array(x)[0] for x in part_losses(equal, HEIGHT, WIDTH, 0.02))
    assert distance == 0 and diversity == pytest.approx(2 * 0.98 - 0.02)


def test_gradients():
    """Those of the features; the map and the weights are dense layers of one image."""
    with fingerprints.float64():
        image = keras.Input((2,))
        x = keras.layers.Reshape((2, 2, 2))(keras.layers.Dense(8)(image))
        d = keras.layers.Reshape((2, 2))(keras.layers.Dense(4)(image))
        model = keras.Model(image, PartAttention(grouping=0)([x, d]))
        model.set_weights([RANDOM.normal(size=w.shape) for w in model.get_weights()])
        assert_gradients_equal_differences(model, RANDOM.normal(size=(1, 2)))


def zero(expected, output):
    del expected
    return 0 * keras.ops.mean(output, axis=(1, 2))


def test_gradient_descent_makes_maps_compact_and_apart():
    """The loss of training is that of the maps only."""
    keras.utils.set_random_seed(0)
    position = np.eye(16, dtype="float32").reshape(1, 4, 4, 16)
    first = keras.Input((1,))
    d = keras.layers.Dense(2 * 16, use_bias=False)(first)
    x = keras.Input((4, 4, 16))
    layer = PartAttention(name="parts")
    model = keras.Model([x, first], layer([x, keras.layers.Reshape((2, 16))(d)]))
    model.compile(keras.optimizers.Adam(0.3), loss=zero, jit_compile=False)
    data = [position, np.ones((1, 1), "float32")]
    results = [float(model.train_on_batch(data, np.zeros((1, 1)))) for _ in range(80)]
    kernel = array(model.trainable_variables[0]).reshape(2, 16)
    assert results[-1] < 0.7 * results[0]
    assert kernel[0].argmax() != kernel[1].argmax()


def test_half_precision_file_and_cost(tmp_path):
    model, x = build(dtype="float16"), [(60 * x).astype("float16") for x in inputs()]
    y = array(model(x))
    assert y.dtype == np.float16 and np.isfinite(y).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(x)), y)
    assert kapps.profile(model).row("parts").macs == 2 * HEIGHT * WIDTH * PARTS * CHANNELS


def test_one_part_and_other_values_raise():
    x = np.zeros((1, 4, 4, 3), "float32")
    with pytest.raises(ValueError, match="two parts"):
        PartAttention()([x, np.zeros((1, 1, 3), "float32")])
    with pytest.raises(ValueError, match="margin"):
        PartAttention(margin=-1)
