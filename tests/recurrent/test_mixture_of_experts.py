"""The mixture of experts: the paper's equations step by step, masks, files, LiteRT and training."""

import math

import keras
import numpy as np
import pytest

import kapps

FEATURES, HIDDEN, EXPERTS = 3, 5, 6


def array(x):
    return keras.ops.convert_to_numpy(x)


def sequences(batch=4, steps=7):
    return np.random.default_rng(1).normal(size=(batch, steps, FEATURES)).astype("float32")


def softmax(x):
    x = np.exp(x - x.max())
    return x / x.sum()


def softplus(x):
    return np.log1p(np.exp(x))


def random_layer(**options):
    """A layer with random weights, the gates included."""
    layer = kapps.layers.SparseMixtureOfExperts(EXPERTS, hidden=HIDDEN, **options)
    layer.build((None, None, FEATURES))
    random = np.random.default_rng(0)
    for variable in layer.trainable_weights:
        variable.assign(random.normal(0, 0.7, variable.shape))
    return layer


def weights(layer):
    return {v.name: array(v).astype("float64") for v in layer.trainable_weights}


def cv2(x):
    return (np.std(x) / np.mean(x)) ** 2


@pytest.mark.parametrize("k", [1, 3, EXPERTS])
def test_outputs_are_those_of_the_chosen_experts(k):
    """Equations (1), (3) and (5) for each vector and expert."""
    layer = random_layer(k=k, units=2)
    w = weights(layer)
    result = array(layer(sequences()))
    for x, y in zip(sequences().reshape(-1, FEATURES), result.reshape(-1, 2), strict=True):
        h = x @ w["gate"]
        chosen = np.argsort(h)[-k:]
        gates = softmax(h[chosen])
        outputs = [np.maximum(x @ w["kernel1"][i], 0) @ w["kernel2"][i] for i in chosen]
        np.testing.assert_allclose(y, gates @ outputs, rtol=1e-5, atol=1e-5)
    assert not layer.losses  # the losses are part of training


def fix_noise(monkeypatch, shape):
    """Replaces the noise of the layer by fixed noise, and returns it."""
    noise = np.random.default_rng(2).normal(size=shape).astype("float32")
    monkeypatch.setattr(keras.random, "normal", lambda *args, **kwargs: noise)
    return noise


@pytest.mark.parametrize("masked", [False, True])
def test_losses_by_their_equations(monkeypatch, masked):
    """Equations (4) and (6) to (11), over the steps without padding."""
    layer, k = random_layer(k=2, importance=0.3, load=0.7), 2
    w, x = weights(layer), sequences()
    noise = fix_noise(monkeypatch, (*x.shape[:2], EXPERTS))
    mask = np.arange(7) < np.array([[7], [2], [5], [1]]) if masked else np.ones((4, 7), bool)
    layer(x, training=True, mask=keras.ops.array(mask) if masked else None)
    importance, load = np.zeros(EXPERTS), np.zeros(EXPERTS)
    for vector, sample in zip(x[mask], noise[mask], strict=True):
        clean = vector @ w["gate"]
        deviation = softplus(vector @ w["gate_noise"]) + 0.01
        h = clean + sample * deviation
        chosen = np.argsort(h)[-k:]
        importance[chosen] += softmax(h[chosen])
        for i in range(EXPERTS):
            kth = np.sort(np.delete(h, i))[-k]
            load[i] += 0.5 * (1 + math.erf((clean[i] - kth) / deviation[i] / math.sqrt(2)))
    (result,) = layer.losses
    np.testing.assert_allclose(result, 0.3 * cv2(importance) + 0.7 * cv2(load), rtol=1e-4)


def test_at_first_all_experts_are_chosen_equally_often():
    """With gates of zero the noise chooses, so over many vectors all experts are chosen equally often."""
    layer = kapps.layers.SparseMixtureOfExperts(EXPERTS, 2, hidden=HIDDEN)
    layer(keras.ops.zeros((200, 50, FEATURES)), training=True)
    assert float(layer.losses[0]) < 1e-3
    assert not np.any(array(layer.gate)) and not np.any(array(layer.gate_noise))


def test_gates_are_trained_and_load_is_balanced():
    """A gate that chooses only one expert learns from the two losses to choose the others."""
    layer = kapps.layers.SparseMixtureOfExperts(EXPERTS, 1, hidden=HIDDEN)
    x = keras.Input((None, FEATURES))
    model = keras.Model(x, layer(x))
    gate = np.zeros((FEATURES, EXPERTS))
    gate[0, 0] = 2
    layer.gate.assign(gate)
    model.compile(keras.optimizers.Adam(0.1), "mse", jit_compile=False)
    x = np.abs(sequences(16))
    losses = [model.train_on_batch(x, np.zeros_like(x)) for _ in range(30)]
    assert losses[-1] < 0.3 * losses[0]


@pytest.fixture(scope="module")
def network():
    return kapps.families.mixture_of_experts(
        vocabulary=11, experts=EXPERTS, k=2, units=4, hidden=HIDDEN
    )


def tokens(batch=8, steps=6):
    return np.random.default_rng(3).integers(1, 11, (batch, steps)).astype("int32")


def test_padding_changes_no_logit(network):
    long = np.pad(tokens(), ((0, 0), (0, 3)))
    np.testing.assert_allclose(array(network(long))[:, :6], array(network(tokens())), atol=1e-6)


def test_padding_changes_no_loss(monkeypatch):
    layer = random_layer(k=2)
    x = sequences()
    fix_noise(monkeypatch, (4, 7, EXPERTS))
    mask = keras.ops.array(np.arange(7) < np.full((4, 1), 4))
    layer(x, training=True, mask=mask)
    (before,) = layer.losses
    x[:, 4:] = 50
    layer(x, training=True, mask=mask)
    np.testing.assert_allclose(array(layer.losses[-1]), array(before), rtol=1e-6)


@pytest.mark.long
def test_files_half_precision_and_training(network, tmp_path):
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(tokens())), array(network(tokens())))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = kapps.families.mixture_of_experts(
            vocabulary=11, experts=4, k=2, units=8, hidden=HIDDEN, dropout=0
        )
    finally:
        keras.config.set_dtype_policy("float32")
    assert half.get_layer("layer2").gate.dtype == "float32" and half.output.dtype == "float32"
    half.compile(
        keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(), jit_compile=False
    )
    losses = [half.train_on_batch(tokens(), tokens()) for _ in range(25)]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.long
@pytest.mark.tensorflow
def test_tflite_has_it_with_its_own_operations(network, tmp_path):
    for weight in network.get_layer("layer2").trainable_weights:  # otherwise all gates are equal
        weight.assign(np.random.default_rng(4).normal(size=weight.shape))
    path = kapps.export.tflite(network, tmp_path / "net.tflite", length=6)
    report = kapps.export.verify(network, path, tokens(3))
    assert report.largest_difference < 1e-5 and report.largest_value > 0.05


def test_parameters_are_table_7s():
    """Two LSTMs of 4 (512 + 512 + 1) 512, experts of 2 * 512 * 1024, gates of 2 * 512 each; in millions."""
    published = {"moe4": 8.4, "moe32": 37.8, "moe256": 272.9}
    for name, millions in published.items():
        card = getattr(kapps, name).card
        number = int(name[3:])
        inner = 2 * 4 * (512 + 512 + 1) * 512 + number * (2 * 512 * 1024 + 2 * 512)
        assert round(inner / 1e6, 1) == millions
        assert card.params == inner + 10_000 * 512 + (512 + 1) * 10_000
    built = kapps.moe4().trainable_variables
    assert sum(math.prod(v.shape) for v in built) == kapps.moe4.card.params


def test_an_error_names_the_range_of_k():
    with pytest.raises(ValueError, match=r"k .*1 to 4.* 5"):
        kapps.layers.SparseMixtureOfExperts(4, 5)
