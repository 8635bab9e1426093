"""The product-key memory: exact top-k, the papers' sizes, shared values, the batch norm's mask, gradients, files."""

import keras
import numpy as np
import pytest

from kapps.analysis import product_key_usage
from kapps.analysis.product_key_usage import usage_of_weights
from kapps.layers import ProductKeyMemory

FEATURES = 6
SMALL = dict(sub_keys=20, k=5, heads=3, key_dim=8)


def array(x):
    return keras.ops.convert_to_numpy(x)


def vectors(*shape):
    return np.random.default_rng(1).normal(size=(*shape, FEATURES)).astype("float32")


def random_layer(**options):
    """A layer with random weights, statistics of the batch norm included."""
    layer = ProductKeyMemory(**{**SMALL, **options})
    layer.build((None, None, FEATURES))
    random = np.random.default_rng(0)
    for variable in layer.weights:
        positive = variable.name in ("gamma", "moving_variance")
        values = random.uniform(0.5, 2, variable.shape) if positive else None
        variable.assign(random.normal(0, 1, variable.shape) if values is None else values)
    return layer


def scores_of_all_pairs(layer, query):
    """q_h1 . c_hi + q_h2 . c'_hj of each step, head and pair: (steps, heads, n^2), without the product's structure."""
    n, heads, part = layer.sub_keys, layer.heads, layer.key_dim // 2
    keys = array(layer.keys).astype("float64")
    scores = np.zeros((len(query), heads, n * n))
    for h in range(heads):
        pairs = [np.concatenate([keys[h, 0, i], keys[h, 1, j]]) for i in range(n) for j in range(n)]
        own = query[:, 2 * part * h : 2 * part * (h + 1)].astype("float64")
        scores[:, h] = own @ np.array(pairs).T
    return scores


def expected_output(layer, x):
    """The output for vectors (steps, features), from the scores of all n^2 keys."""
    w = {v.path.split("/", 1)[-1]: array(v).astype("float64") for v in layer.weights}
    query = x @ w["query/kernel"] + w["query/bias"]
    if layer.batch_norm:
        centred = query - w["query_norm/moving_mean"]
        query = centred / np.sqrt(w["query_norm/moving_variance"] + 1e-5)
        query = query * w["query_norm/gamma"] + w["query_norm/beta"]
    scores = scores_of_all_pairs(layer, query)
    y = np.zeros((len(x), w["values"].shape[1]))
    for step in range(len(x)):
        for h in range(layer.heads):
            rows = np.argsort(scores[step, h])[::-1][: layer.k]
            e = np.exp(scores[step, h, rows] - scores[step, h].max())
            y[step] += e / e.sum() @ w["values"][rows]
    return y


@pytest.mark.parametrize("k", [1, 5, 20])
def test_the_best_pairs_are_those_of_all_pairs(k):
    layer = random_layer(k=k)
    query = np.random.default_rng(2).normal(size=(40, 3 * 8)).astype("float32")
    rows, scores = map(array, layer.best_pairs(query))
    everything = scores_of_all_pairs(layer, query)
    order = np.argsort(-everything, axis=-1)[..., :k].transpose(1, 0, 2)
    np.testing.assert_array_equal(rows, order)
    expected = np.take_along_axis(everything.transpose(1, 0, 2), order, axis=-1)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"units": 4, "k": 20}, {"batch_norm": False, "heads": 1}])
def test_outputs_are_those_of_all_keys(options):
    layer, x = random_layer(**options), vectors(2, 5)
    expected = expected_output(layer, x.reshape(-1, FEATURES)).reshape(2, 5, -1)
    np.testing.assert_allclose(array(layer(x)), expected, atol=1e-4)
    assert expected.shape[-1] == options.get("units", FEATURES) and np.ptp(expected) > 1


def test_heads_share_the_values():
    """Two heads with the same keys and queries read the same values twice."""
    one, two = random_layer(heads=1, batch_norm=False), random_layer(heads=2, batch_norm=False)
    two.query.kernel.assign(np.tile(array(one.query.kernel), 2))
    two.query.bias.assign(np.tile(array(one.query.bias), 2))
    two.keys.assign(np.tile(array(one.keys), (2, 1, 1, 1)))
    two.values.assign(array(one.values))
    x = vectors(2, 5)
    np.testing.assert_allclose(array(two(x)), 2 * array(one(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options, features, params",
    [
        (dict(sub_keys=512, heads=4, key_dim=128, units=100), 50, 26_503_680),
        (dict(sub_keys=512, heads=4, key_dim=512), 1024, 271_587_328),
    ],
)
def test_parameters_are_those_of_the_authors_layer(options, features, params):
    layer = ProductKeyMemory(**options)
    with keras.StatelessScope(initialize_variables=False):
        layer.build((None, features))
    keras.utils.clear_session(free_memory=False)
    assert sum(int(np.prod(v.shape)) for v in layer.trainable_variables) == params


def test_masked_steps_do_not_change_the_statistics():
    layers = [random_layer() for _ in range(2)]
    x, mask = vectors(3, 7), np.arange(7) < np.array([[7], [3], [5]])
    layers[0](x, training=True, mask=keras.ops.array(mask))
    x[~mask] = 100
    layers[1](x, training=True, mask=keras.ops.array(mask))
    statistics = [array(layer.norm.moving_mean) for layer in layers]
    np.testing.assert_allclose(*statistics, rtol=1e-5)
    before = array(random_layer().norm.moving_mean)
    query = vectors(3, 7)[mask] @ array(layers[0].query.kernel) + array(layers[0].query.bias)
    np.testing.assert_allclose(statistics[0], 0.9 * before + 0.1 * query.mean(0), atol=1e-4)


def test_only_values_that_are_read_are_trained():
    layer = random_layer(batch_norm=False)
    x = keras.Input((None, FEATURES))
    model = keras.Model(x, layer(x))
    data = vectors(1, 2)
    rows = array(layer.read(data)[0])
    before = array(layer.values).copy()
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False, run_eagerly=True)
    keys = array(layer.keys).copy()
    model.train_on_batch(data, np.zeros_like(data))
    changed = np.flatnonzero((array(layer.values) != before).any(axis=-1))
    assert set(changed) == set(rows.ravel()) and len(changed) < len(before)
    assert np.abs(array(layer.keys) - keys).max() > 0


def test_files_and_half_precision(tmp_path):
    x = keras.Input((None, FEATURES))
    model = keras.Model(x, random_layer(name="memory")(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    expected = array(model(vectors(2, 3)))
    np.testing.assert_array_equal(array(loaded(vectors(2, 3))), expected)
    half = random_layer(dtype="mixed_bfloat16")
    assert {half.keys.dtype, half.values.dtype} == {"float32"}
    result = array(half(vectors(2, 3))).astype("float32")
    assert half(vectors(2, 3)).dtype == keras.ops.zeros(1, "bfloat16").dtype
    assert np.isfinite(result).all() and np.ptp(result) > 1


def test_usage_and_divergence_of_known_weights():
    assert usage_of_weights(np.ones(16)) == (1, pytest.approx(0, abs=1e-12))
    one = np.zeros(16)
    one[3] = 7
    assert usage_of_weights(one) == (1 / 16, pytest.approx(np.log(16)))
    # Half of the values, equally: log(16) - log(8).
    assert usage_of_weights(np.arange(16) % 2) == (0.5, pytest.approx(np.log(2)))


def test_usage_of_a_model_counts_steps_without_padding():
    tokens = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(9, FEATURES, mask_zero=True)(tokens)
    layer = random_layer(sub_keys=4, k=2, name="memory")
    model = keras.Model(tokens, layer(embedded))
    data = np.array([[3, 4, 0, 0], [5, 0, 0, 0], [6, 7, 8, 2]])
    result = product_key_usage(model, data, batch_size=2)
    vectors_of_words = array(model.layers[1](data[data > 0][None]))
    rows, weights = map(array, layer.read(vectors_of_words))
    totals = np.bincount(rows.ravel(), weights.ravel(), minlength=16)
    assert list(result) == ["memory"] and 0 < result["memory"].usage < 1
    assert result["memory"] == pytest.approx(usage_of_weights(totals), rel=1e-5)
    with pytest.raises(ValueError, match="masked"):
        product_key_usage(model, np.zeros((2, 3), "int32"))
    with pytest.raises(ValueError, match="ProductKeyMemory"):
        product_key_usage(keras.Model(tokens, embedded), data)


def test_wrong_sizes_are_errors():
    for options, words in [
        (dict(k=21), "k .*1 to 20.* 21"),
        (dict(key_dim=7), "key_dim=7 is odd"),
        (dict(batch_norm=2), "batch_norm"),
    ]:
        with pytest.raises(ValueError, match=words):
            ProductKeyMemory(**{**SMALL, **options})


@pytest.mark.long
def test_learns_facts_that_a_dense_network_of_equal_cost_does_not():
    """6,000 random vectors, each with one of 50 random classes; 6.9 k and 7.9 k multiply-accumulates."""
    random = np.random.default_rng(0)
    x = random.normal(size=(6000, 32)).astype("float32")
    y = random.integers(0, 50, 6000)
    accuracies = []
    memory = ProductKeyMemory(64, 8, heads=2, key_dim=32, units=50, batch_norm=True)
    for network in ([memory], [keras.layers.Dense(96, "relu"), keras.layers.Dense(50)]):
        model = keras.Sequential([keras.Input((32,)), *network])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"], jit_compile=False)
        model.fit(x, y, batch_size=250, epochs=40, verbose=0)
        accuracies.append(model.evaluate(x, y, verbose=0)[1])
    assert accuracies[0] > 0.9 > 0.5 > accuracies[1]
