"""Sparse attention against masked full attention: outputs, gradients, numbers of pairs, memory, decoding, files."""

import keras
import numpy as np
import pytest
from attention_inputs import K, array, check_file, randomise
from keras import ops

from kapps import generation
from kapps.generation import step_models
from kapps.layers import MultiHeadAttention, SparseAttention
from kapps.layers.sparse_patterns import sparse_attention

STRIDE, SUMMARY, LENGTH = 4, 2, 14
RULES = {
    "local": lambda i, j, s, c: i - j < s,
    "column": lambda i, j, s, c: (i - j) % s == 0,
    "strided": lambda i, j, s, c: (i - j < s) | ((i - j) % s == 0),
    "block": lambda i, j, s, c: i // s == j // s,
    "summary": lambda i, j, s, c: j % s >= s - c,
    "fixed": lambda i, j, s, c: (i // s == j // s) | (j % s >= s - c),
    "two_blocks": lambda i, j, s, c: i // s - j // s <= 1,
}
"""The patterns of the paper, as functions of the steps i and j, the stride and the number of summary steps."""

MOST = [
    pattern if pattern in ("strided", "fixed") else pytest.param(pattern, marks=pytest.mark.long)
    for pattern in RULES
]
"""All patterns; the default tests have those that contain the others."""
X = np.random.default_rng(1).normal(size=(2, LENGTH, K)).astype("float32")


def pairs(pattern, steps, stride=STRIDE, summary=SUMMARY):
    """Returns which steps attend to which, bool (steps, steps)."""
    i, j = np.mgrid[:steps, :steps]
    return (j <= i) & RULES[pattern](i, j, stride, summary)


def options(pattern, stride=STRIDE, summary=SUMMARY):
    has_summary = pattern in ("summary", "fixed")
    return dict(pattern=pattern, stride=stride, summary=summary if has_summary else None)


def weights_of(pattern, steps, stride, summary, mask=None):
    """Returns the attention weights of random queries and keys: the output for values that are unit vectors."""
    random = np.random.default_rng(0)
    query, key = random.normal(size=(2, 1, 1, steps, 3)).astype("float32")
    value = np.eye(steps, dtype="float32")[None, None]
    arguments = options(pattern, stride, summary)
    y = sparse_attention(*map(ops.convert_to_tensor, (query, key, value)), **arguments, mask=mask)
    scores = np.exp(query[0, 0] @ key[0, 0].T)
    return array(y)[0, 0], scores


@pytest.mark.parametrize("pattern", RULES)
@pytest.mark.parametrize("steps", [3, 8, LENGTH])
def test_weights_are_those_of_masked_full_attention(pattern, steps):
    result, scores = weights_of(pattern, steps, STRIDE, SUMMARY)
    expected = scores * pairs(pattern, steps)
    sums = expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result, expected / np.where(sums == 0, 1, sums), atol=1e-6)
    assert (result > 0).sum() == pairs(pattern, steps).sum()


# Numbers of pairs, counted by enumeration: stride, summary steps, and pairs by pattern.
PAIRS = {
    256: (16, 2, dict(local=3_976, column=2_176, strided=5_896, block=2_176, summary=3_888, fixed=6_016)),
    1_024: (32, 4, dict(local=32_272, column=16_896, strided=48_144, block=16_896, summary=63_808, fixed=80_384)),
}  # fmt: skip


@pytest.mark.parametrize("steps", PAIRS)
def test_numbers_of_pairs(steps):
    stride, summary, numbers = PAIRS[steps]
    for pattern, number in numbers.items():
        weights, _ = weights_of(pattern, steps, stride, summary)
        assert (weights > 0).sum() == number, pattern


@pytest.mark.parametrize(
    "first, second", [("local", "column"), ("column", "local"), ("fixed", "fixed")]
)
def test_two_layers_reach_every_earlier_step(first, second):
    steps = 64
    reached = pairs(first, steps, 8).astype(int) @ pairs(second, steps, 8).astype(int)
    blocks = [weights_of(pattern, steps, 8, SUMMARY)[0] > 0 for pattern in (first, second)]
    np.testing.assert_array_equal(blocks[0].astype(int) @ blocks[1].astype(int), reached)
    np.testing.assert_array_equal(reached > 0, np.tri(steps, dtype=bool))


def attention_pair(pattern):
    """Returns a model of sparse attention and one of full attention with a mask, of the same weights."""
    x = keras.Input((LENGTH, K))
    layer = SparseAttention(2, 3, 5, **options(pattern))
    sparse = keras.Model(x, layer(x))
    randomise(layer)
    whole = MultiHeadAttention(2, 3, value_dim=5)
    mask = ops.convert_to_tensor(pairs(pattern, LENGTH)[None])
    full = keras.Model(x, whole(x, x, attention_mask=mask))
    for ours, theirs in zip(layer.weights, whole.weights, strict=True):
        theirs.assign(ops.reshape(ours, theirs.shape))
    return sparse, full


@pytest.mark.parametrize("pattern", MOST)
def test_outputs_and_gradients_are_those_of_masked_full_attention(pattern):
    models = attention_pair(pattern)
    before = [weight.copy() for weight in models[0].get_weights()]
    outputs = [array(model(X)) for model in models]
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-4)
    for model in models:
        model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=False, run_eagerly=True)
        model.train_on_batch(X, np.ones_like(X))
    for ours, theirs in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(ours, theirs.reshape(ours.shape), atol=1e-4)
    assert np.abs(models[0].get_weights()[0] - before[0]).max() > 0.01


@pytest.mark.tensorflow
@pytest.mark.parametrize("pattern", [pytest.param("strided", marks=pytest.mark.long), "fixed"])
def test_no_tensor_has_all_pairs_of_steps(pattern):
    """The largest tensor of a call and its gradient grows eightfold for four times the steps, if l is sqrt(n)."""
    import tensorflow as tf

    largest = []
    for steps, stride in ((1_024, 32), (4_096, 64)):
        layer = SparseAttention(1, 2, **options(pattern, stride, 1))
        layer.build((1, steps, 2))

        @tf.function
        def gradient(x, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(layer(x))
            return tape.gradient(loss, x)

        graph = gradient.get_concrete_function(tf.TensorSpec((1, steps, 2))).graph
        tensors = [x for operation in graph.get_operations() for x in operation.outputs]
        largest.append(max(x.shape.num_elements() or 0 for x in tensors))
        assert largest[-1] <= 3 * steps * stride
    assert largest[1] == 8 * largest[0]


@pytest.mark.parametrize("pattern", RULES)
def test_masked_steps_change_nothing(pattern):
    layer = SparseAttention(2, 3, **options(pattern))
    layer.build(X.shape)
    randomise(layer)
    expected = array(layer(X[:, :9]))
    mask = np.arange(LENGTH) < np.array([[9], [9]])
    changed = np.where(mask[..., None], X, 99.0).astype("float32")
    np.testing.assert_allclose(
        array(layer(changed, mask=mask))[:, :9], expected, rtol=1e-5, atol=1e-5
    )
    # A masked step in the middle has a weight of 0.
    mask = np.ones((2, LENGTH), "bool")
    mask[:, 2] = False
    changed = np.where(mask[..., None], X, 99.0).astype("float32")
    both = [array(layer(x, mask=mask)) for x in (X, changed)]
    np.testing.assert_allclose(*(y[mask] for y in both), rtol=1e-5, atol=1e-5)
    assert np.abs(both[0][mask] - array(layer(X))[mask]).max() > 1e-3


STATES = {
    "local": {"block": STRIDE}, "block": {"block": STRIDE}, "two_blocks": {"block": 2 * STRIDE},
    "column": {"": LENGTH}, "strided": {"": LENGTH}, "summary": {"summary": 4 * SUMMARY},
    "fixed": {"block": STRIDE, "summary": 4 * SUMMARY},
}  # fmt: skip
"""The number of steps of each part of the decoding state: of 14 steps, 4 are in blocks of 4 at most 4 times."""


@pytest.mark.parametrize("pattern", MOST)
def test_single_steps_equal_the_whole_sequence(pattern):
    x = keras.Input((None, K), name="x")
    layer = SparseAttention(2, 3, 5, name="sparse", **options(pattern))
    model = keras.Model(x, keras.layers.Dense(4, name="head_logits")(layer(x)))
    randomise(layer)
    expected = array(model(X))
    step = generation.step_model(model, length=LENGTH)
    states = step_models.initial_states(step, 2)
    sizes = {
        f"sparse_{part}_{kind}" if part else f"sparse_{kind}s": (2, count, 2, width)
        for part, count in STATES[pattern].items()
        for kind, width in (("key", 3), ("value", 5))
    }
    assert {name: s.shape for name, s in states.items() if name != "position"} == sizes
    logits = []
    for t in range(LENGTH):
        outputs = step.predict_on_batch({"x": X[:, t : t + 1], **states})
        states = {name: array(outputs[name]) for name in states}
        logits.append(array(outputs["logits"]))
    np.testing.assert_allclose(np.concatenate(logits, axis=1), expected, rtol=1e-5, atol=1e-5)


def test_half_precision_has_no_nan():
    layer = SparseAttention(2, 3, pattern="fixed", stride=4, summary=1, dtype="mixed_float16")
    mask = np.ones((2, LENGTH), "bool")
    mask[0] = False
    y = layer((100 * X).astype("float16"), mask=mask)
    assert keras.backend.standardize_dtype(y.dtype) == "float16" and np.isfinite(array(y)).all()


def test_files_and_cost(tmp_path):
    layer = SparseAttention(
        2, 3, pattern="fixed", stride=4, summary=1, kernel_initializer="he_normal", output_initializer="zeros"
    )  # fmt: skip
    check_file(layer, tmp_path / "model.keras")
    assert not array(
        SparseAttention.from_config(layer.get_config()).output_initializer((2, 2))
    ).any()
    cost = layer.profile_cost([(1, 8, K)], [(1, 8, K)])
    scores = (
        2 * 8 * (4 + 2 * 1)
    )  # of 2 heads and 8 steps: a block of 4, and 1 summary step of each of 2 blocks
    assert cost["macs"] == 8 * K * 2 * 3 * 4 + scores * (3 + 3)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (dict(pattern="stride"), ["stride", "strided"]),
        (dict(stride=0), ["stride", "0"]),
        (dict(pattern="fixed"), ["summary", "None", "128"]),
        (dict(pattern="fixed", summary=129), ["summary", "129", "128"]),
        (dict(pattern="local", summary=3), ["summary=3", "fixed", "local"]),
        (dict(key_dim=0), ["key_dim", "0"]),
    ],
)
def test_errors_name_option_and_value(arguments, words):
    with pytest.raises(ValueError) as error:
        SparseAttention(**{"heads": 2, "key_dim": 4, **arguments})
    message = str(error.value)
    assert all(word in message for word in words) and "\n" not in message
