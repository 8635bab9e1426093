"""LSH attention: the algorithm in NumPy, full attention, recall by rounds, causality, masks, gradients, decoding."""

import keras
import numpy as np
import pytest
from attention_inputs import K, array, check_file, randomise
from keras import ops

from kapps import generation
from kapps.generation import step_models
from kapps.layers import LSHAttention
from kapps.layers.lsh_attention import lsh_attention

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(2, 14, K)).astype("float32")


def rotations(buckets, rounds, width, heads=1, seed=0):
    random = np.random.default_rng(seed)
    return [random.normal(size=(heads, rounds, width, b // 2)).astype("float32") for b in buckets]


def unit(x):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-6) / np.sqrt(x.shape[-1])


def scores_of(query, i, js):
    """Scores of step i with steps js: of unit keys; with itself -1e5."""
    scores = unit(query[js]) @ query[i]
    scores[np.array(js) == i] = -1e5
    return scores


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def full_attention(query, value):
    """Shared-query attention of all pairs, for one head."""
    rows = [softmax(scores_of(query, i, range(i + 1))) @ value[: i + 1] for i in range(len(query))]
    return np.stack(rows)


def hashed_attention(query, value, matrices, chunk):
    """The algorithm of the paper, one step after the other, for one head of float64 (steps, width)."""
    steps, outputs, totals = len(query), [], []
    for r in range(matrices[0].shape[1]):
        bucket, below = np.zeros(steps, int), 1
        for matrix in matrices:
            rotated = query @ matrix[0, r]
            bucket += below * np.argmax(np.concatenate([rotated, -rotated], axis=1), axis=1)
            below *= 2 * matrix.shape[-1]
        order = sorted(range(steps), key=lambda t, bucket=bucket: (bucket[t], t))
        place = {t: p for p, t in enumerate(order)}
        output, total = np.zeros(value.shape), np.zeros(steps)
        for i in range(steps):
            chunks = (place[i] // chunk, place[i] // chunk - 1)
            js = [j for j in range(i + 1) if place[j] // chunk in chunks]
            scores = scores_of(query, i, js)
            output[i] = softmax(scores) @ value[js]
            total[i] = scores.max() + np.log(np.exp(scores - scores.max()).sum())
        outputs.append(output)
        totals.append(total)
    weights = np.exp(np.array(totals) - np.max(totals, axis=0))
    weights /= weights.sum(axis=0)
    return np.sum(weights[..., None] * np.array(outputs), axis=0)


def attend(query, value, matrices, chunk, **options):
    """Returns the output of `lsh_attention` for one head of arrays (steps, width)."""
    query, value = (ops.convert_to_tensor(x[None, None].astype("float32")) for x in (query, value))
    return array(lsh_attention(query, value, matrices, chunk, **options)[0])[0, 0]


@pytest.mark.parametrize(
    "steps, chunk, buckets, rounds", [(24, 4, (6,), 1), (21, 4, (2, 4), 3), (7, 2, (4,), 2)]
)
def test_outputs_are_those_of_the_algorithm(steps, chunk, buckets, rounds):
    query, value = RANDOM.normal(size=(2, steps, 5))
    matrices = rotations(buckets, rounds, 5)
    expected = hashed_attention(query, value, matrices, chunk)
    np.testing.assert_allclose(attend(query, value, matrices, chunk), expected, atol=1e-4)
    assert np.abs(expected - full_attention(query, value)).max() > 0.1


@pytest.mark.parametrize("chunk", [14, 64])
def test_a_chunk_of_all_steps_is_full_attention(chunk):
    query, value = RANDOM.normal(size=(2, 14, 5))
    y = attend(query, value, rotations((4,), 2, 5), chunk)
    np.testing.assert_allclose(y, full_attention(query, value), rtol=1e-5, atol=1e-5)


def recall(query, rounds):
    """Returns the fraction of the weights of full attention that are at pairs of LSH attention."""
    steps = len(query)
    eye = np.eye(steps)
    pairs = attend(query, eye, rotations((16,), rounds, query.shape[1]), 16) > 0
    assert not np.triu(pairs, 1).any()  # no later step
    weights = full_attention(query, eye)[1:]
    return (weights * pairs[1:]).sum() / weights.sum()


def test_recall_rises_with_rounds_and_with_similar_keys():
    random = np.random.default_rng(0)
    scattered = 4 * random.normal(size=(256, 16))
    centres = 4 * random.normal(size=(16, 16))
    clustered = centres[random.integers(0, 16, 256)] + random.normal(size=(256, 16))
    shares = [
        [recall(query, rounds) for rounds in (1, 2, 4, 8)] for query in (scattered, clustered)
    ]
    for share in shares:
        assert share == sorted(share) and share[-1] > share[0] + 0.1
    assert shares[1][0] > shares[0][0] and shares[1][-1] > 0.9


def test_masked_steps_at_the_end_change_nothing():
    layer = LSHAttention(2, 3, buckets=4, rounds=2, chunk=4)
    layer.build(X.shape)
    randomise(layer)
    expected = array(layer(X[:, :9]))
    mask = np.arange(14) < np.array([[9], [9]])
    changed = np.where(mask[..., None], X, 99.0).astype("float32")
    np.testing.assert_allclose(
        array(layer(changed, mask=mask))[:, :9], expected, rtol=1e-5, atol=1e-5
    )


def test_given_buckets_are_used():
    layer = LSHAttention(2, 3, buckets=4, rounds=2, chunk=4)
    y, buckets = layer(X, return_buckets=True)
    assert buckets.shape == (2, 2, 2, 16) and set(np.unique(array(buckets))) <= set(range(4))
    np.testing.assert_array_equal(array(layer(X, buckets=buckets)), array(y))
    moved = layer(X, buckets=(buckets + ops.arange(16, dtype="int32")) % 4)
    assert np.abs(array(moved) - array(y)).max() > 1e-3


class SharedAttention(LSHAttention):
    """Full attention with shared queries and keys, with the gradients of the backend."""

    def call(self, inputs, mask=None):
        query, value = (ops.transpose(y, (0, 2, 1, 3)) for y in self.project(inputs))
        key = (
            query
            / ops.sqrt(ops.mean(query**2, axis=-1, keepdims=True) + 1e-6)
            / query.shape[-1] ** 0.5
        )
        scores = ops.matmul(query, ops.swapaxes(key, 2, 3))
        steps = np.arange(inputs.shape[1])
        scores = scores + np.where(steps[:, None] < steps, -1e9, 0).astype("float32")
        scores = ops.where(np.eye(len(steps), dtype=bool), np.float32(-1e5), scores)
        return self.merge(ops.matmul(ops.softmax(scores), value))


def test_gradients_are_those_of_full_attention():
    updated = []
    for kind in (LSHAttention, SharedAttention):
        x = keras.Input((14, K))
        layer = kind(2, 3, 4, buckets=4, rounds=2, chunk=16)
        model = keras.Model(x, layer(x))
        randomise(layer)
        before = model.get_weights()
        model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=False, run_eagerly=True)
        model.train_on_batch(X, np.ones_like(X))
        updated.append(model.get_weights())
    for one, other, start in zip(*updated, before, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
        assert np.abs(one - start).max() > 0.01


@pytest.mark.parametrize("chunk", [14, 4])
def test_single_steps_are_full_attention(chunk):
    x = keras.Input((None, K), name="x")
    layer = LSHAttention(2, 3, 5, buckets=4, chunk=chunk, name="hashed")
    model = keras.Model(x, keras.layers.Dense(4, name="head_logits")(layer(x)))
    randomise(layer)
    step = generation.step_model(model, length=14)
    states = step_models.initial_states(step, 2)
    assert states["hashed_keys"].shape == (2, 14, 2, 3)
    assert states["hashed_values"].shape == (2, 14, 2, 5)
    logits = []
    for t in range(14):
        outputs = step.predict_on_batch({"x": X[:, t : t + 1], **states})
        states = {name: array(outputs[name]) for name in states}
        logits.append(array(outputs["logits"]))
    whole = array(model(X))
    layer.chunk = 14
    expected = array(model(X))
    np.testing.assert_allclose(np.concatenate(logits, axis=1), expected, rtol=1e-5, atol=1e-5)
    assert (np.abs(whole - expected).max() < 1e-5) == (chunk == 14)


def test_half_precision_has_no_nan():
    layer = LSHAttention(2, 3, buckets=4, chunk=4, dtype="mixed_float16")
    mask = np.ones((2, 14), "bool")
    mask[0] = False
    y = layer((100 * X).astype("float16"), mask=mask)
    assert keras.backend.standardize_dtype(y.dtype) == "float16" and np.isfinite(array(y)).all()


def test_files_and_cost(tmp_path):
    layer = LSHAttention(2, 3, 5, buckets=(2, 4), rounds=3, chunk=4, seed=7)
    check_file(layer, tmp_path / "model.keras")
    cost = layer.profile_cost([(1, 6, K)], [(1, 6, K)])
    rows = 2 * 3 * 8  # heads, rounds and steps, a multiple of the chunk
    assert cost["macs"] == 6 * K * 2 * (3 + 2 * 5) + rows * (1 + 2) * 3 + rows * 8 * (3 + 5)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (dict(buckets=3), ["buckets", "3", "even"]),
        (dict(buckets=(4, 4, 4)), ["buckets", "(4, 4, 4)", "two"]),
        (dict(rounds=0), ["rounds", "0"]),
        (dict(chunk=0), ["chunk", "0"]),
    ],
)
def test_errors_name_option_and_value(arguments, words):
    with pytest.raises(ValueError) as error:
        LSHAttention(2, 4, **arguments)
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)
