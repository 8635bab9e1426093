"""The supernet, and searches with shared weights on it."""

import keras
import numpy as np
import pytest

from kapps import search
from kapps.search import supernet, weight_sharing

OPTIONS = dict(filters=2, depth=1, input_shape=(8, 8, 1), classes=3)


@pytest.fixture(scope="module")
def network():
    return search.supernet.supernet(**OPTIONS)


@pytest.fixture(scope="module")
def images():
    """Three classes: the place of a bright square."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 48)
    values = random.normal(0, 0.3, (48, 8, 8, 1)).astype("float32")
    for image, label in zip(values, labels, strict=True):
        image[2 * label : 2 * label + 3, 2 * label : 2 * label + 3] += 2
    return values, labels


@pytest.mark.parametrize("cell", ["303101", "423410"])
def test_one_hot_gates_are_the_cells_own_network(network, images, cell):
    model = search.build(cell, classifier_activation=None, **OPTIONS)
    random = np.random.default_rng(0)
    for variable in network.trainable_variables:
        variable.assign(random.normal(size=variable.shape) / 2)
    for layer in network.layers:  # the cell's batch norms have a scale, the supernet's have none
        if isinstance(layer, keras.layers.BatchNormalization) and layer.scale:
            layer.gamma.assign(np.ones(layer.gamma.shape))
    supernet.copy_weights(network, model, cell)
    expected = model(images[0], training=True)
    result = network([images[0], supernet.one_hot(cell)], training=True)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_gates_and_cells():
    assert supernet.cell_of(supernet.one_hot("423410")) == "423410"
    assert supernet.skip_count("110213") == 3
    with pytest.raises(ValueError, match="depth"):
        deep = search.build("303101", **{**OPTIONS, "depth": 2})
        supernet.copy_weights(search.supernet.supernet(**OPTIONS), deep, "303101")


@pytest.fixture
def eager():
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.long
@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "method",
    [
        "darts",
        *(pytest.param(x, marks=pytest.mark.long) for x in weight_sharing.METHODS[1:]),
    ],
)
def test_a_search_learns_and_resumes(network, images, method, eager):
    def make():
        keras.utils.set_random_seed(0)
        return weight_sharing.WeightSharing(
            search.supernet.supernet(**OPTIONS), method, epochs=3, batch_size=24, alpha_rate=0.05,
            costs=np.ones((6, 5)), cost_weight=0.1,
        )  # fmt: skip

    whole = make()
    before = whole.probabilities()
    rows = [whole.train_epoch(images, images) for _ in range(2)]
    assert rows[1]["loss"] < 1.3 and abs(whole.probabilities() - before).max() > 1e-3
    np.testing.assert_allclose(whole.probabilities().sum(axis=-1), 1, rtol=1e-5)
    assert len(whole.cell(images)) == 6 and rows[0]["skips"] == rows[0]["cell"].count("1")
    stopped = make()
    stopped.train_epoch(images, images)
    resumed = make()
    resumed.set_state(stopped.state())
    row = resumed.train_epoch(images, images)
    assert row["cell"] == rows[1]["cell"] and row["loss"] == pytest.approx(
        rows[1]["loss"], rel=1e-4
    )
    np.testing.assert_allclose(resumed.probabilities(), whole.probabilities(), rtol=1e-3)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "call, words",
    [
        (lambda network: weight_sharing.WeightSharing(network, "dart", epochs=1), "darts"),
        (
            lambda network: weight_sharing.WeightSharing(network, epochs=1).set_state({}),
            "incomplete",
        ),
        (
            lambda network: weight_sharing.WeightSharing(network, epochs=1).train_epoch(
                (np.zeros((8, 8, 8, 1)), np.zeros(8)), (np.zeros((8, 8, 8, 1)), np.zeros(8))
            ),
            "batch_size=64",
        ),
    ],
)
def test_mistakes_raise_in_one_line(network, call, words):
    with pytest.raises(ValueError, match=words) as raised:
        call(network)
    assert "\n" not in str(raised.value)
