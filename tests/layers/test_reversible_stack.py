"""Reversible layers: outputs, gradients next to those of the backend, dropout, memory by depth, decoding, files."""

import gc
import weakref

import keras
import numpy as np
import pytest
from attention_inputs import K, array, check_file
from keras import ops

from kapps import generation
from kapps.generation import step_models
from kapps.layers import FeedForward, LSHAttention, ReversibleStack, SparseAttention

X = np.random.default_rng(1).normal(size=(2, 14, K)).astype("float32")
MASK = np.arange(14) < np.array([[14], [9]])


def parts(depth=3, chunk=4, activation="tanh", hashed=True):
    """Returns attention layers and feed-forward layers; every second attention layer hashes."""
    attentions = [
        LSHAttention(2, 3, buckets=4, chunk=chunk, seed=i)
        if hashed and i % 2
        else SparseAttention(2, 3, pattern="two_blocks", stride=chunk, use_bias=False)
        for i in range(depth)
    ]
    return attentions, [FeedForward(5, activation) for _ in range(depth)]


def build(dtype=None, depth=3, hashed=True, **options):
    """Returns a stack with random weights, the same for the same depth."""
    stack = ReversibleStack(*parts(depth, hashed=hashed), dtype=dtype, **options)
    stack.build((None, None, K))
    random = np.random.default_rng(4)
    for variable in stack.weights:
        shift = 1.0 if variable.name == "gamma" else 0.0
        variable.assign(random.normal(shift, 0.4, variable.shape))
    return stack


def test_outputs_are_the_equations():
    stack = build()
    x1 = x2 = ops.convert_to_tensor(X)
    for attention, feed_forward in zip(stack.attentions, stack.feed_forwards, strict=True):
        x1 = x1 + attention.layer(attention.norm(x2), mask=MASK)
        x2 = x2 + feed_forward.layer(feed_forward.norm(x1))
    expected = np.concatenate([array(x1), array(x2)], axis=-1)
    for training in (False, True):
        y = array(stack(X, mask=MASK, training=training))
        np.testing.assert_allclose(y, expected, atol=1e-4)


def gradients(stack, mask, eager=True):
    """Returns the weights after one step of SGD, and the embedded input's."""
    tokens = keras.Input((14,), dtype="int32")
    embedding = keras.layers.Embedding(7, K, mask_zero=mask)
    model = keras.Model(tokens, stack(embedding(tokens)))
    random = np.random.default_rng(6)
    embedding.embeddings.assign(random.normal(size=(7, K)))
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False, run_eagerly=eager)
    batch = random.integers(1, 7, (2, 14))
    batch[1, 9:] = 0
    model.train_on_batch(batch, random.normal(size=(2, 14, 2 * K)))
    return model.get_weights()


@pytest.mark.parametrize(
    "mask, eager",
    [(True, True), *(pytest.param(m, False, marks=pytest.mark.long) for m in (True, False))],
)
def test_gradients_are_those_of_the_backend(mask, eager):
    reversible, plain = (
        gradients(build(depth=2, reversible=value), mask, eager) for value in (True, False)
    )
    before = [array(weight) for weight in build(depth=2).weights]
    for ours, theirs in zip(reversible, plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    moved = [np.abs(w - b).max() for w, b in zip(reversible[1:], before, strict=True)]
    assert min(moved) > 1e-5 and max(moved) > 0.01


def test_dropout_is_the_same_in_the_gradient():
    """The change of the loss along a direction is the gradient's, although the gradient runs the layers again."""
    stack = build(dropout=0.5, depth=2, hashed=False)  # a bucket may change along the direction
    seeds = [branch.dropout.seed_generator.state for branch in stack.branches]
    first = [array(seed).copy() for seed in seeds]
    random = np.random.default_rng(7)
    target = random.normal(size=(2, 14, 2 * K)).astype("float32")
    x = keras.Input((14, K))
    model = keras.Model(x, stack(x))
    before = model.get_weights()

    def run(weights):
        model.set_weights(weights)
        for seed, value in zip(seeds, first, strict=True):
            seed.assign(value)
        return array(model(X, training=True)).astype("float64")

    y = run(before)
    assert np.abs(y - array(model(X))).max() > 0.1  # dropout is active
    assert (
        np.abs(y - array(model(X, training=True))).max() > 0.1
    )  # and another one in the next call
    run(before)
    for seed, value in zip(seeds, first, strict=True):
        seed.assign(value)
    model.compile(
        keras.optimizers.SGD(1.0), lambda t, p: ops.sum(t * p, axis=(1, 2)), jit_compile=False, run_eagerly=True
    )  # fmt: skip
    model.train_on_batch(X, target)
    gradient = [b - w for b, w in zip(before, model.get_weights(), strict=True)]
    length = sum((g.astype("float64") ** 2).sum() for g in gradient) ** 0.5
    direction = [1e-3 * g / length for g in gradient]
    losses = [
        (target * run([b + sign * d for b, d in zip(before, direction, strict=True)])).sum() / 2
        for sign in (1, -1)
    ]
    assert length > 1
    assert (losses[0] - losses[1]) / 2e-3 == pytest.approx(length, rel=0.02)


@pytest.mark.tensorflow
@pytest.mark.parametrize("reversible", [True, False])
def test_no_hidden_value_of_the_forward_pass_is_kept(reversible):
    import tensorflow as tf

    references = []

    def activation(x):
        y = ops.tanh(x)
        references.append(weakref.ref(y))
        return y

    stack = ReversibleStack(*parts(4, activation=activation), reversible=reversible)
    x = tf.constant(X)
    stack(x)
    references.clear()
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(stack(x, training=True) ** 2)
    gc.collect()
    assert len(references) == 4
    assert sum(value() is not None for value in references) == (0 if reversible else 4)
    del tape, y


def ancestors(operation):
    """Returns the operations of a TensorFlow graph that run before an operation."""
    earlier, queue = set(), [operation]
    while queue:
        operation = queue.pop()
        before = {x.op for x in operation.inputs}.union(operation.control_inputs) - earlier
        earlier |= before
        queue += before
    return earlier


@pytest.mark.tensorflow
def test_a_graph_computes_a_layer_again_after_the_gradient_of_the_layer_above():
    """Otherwise TensorFlow computes all layers again at once, and the memory grows with the depth."""
    import tensorflow as tf

    def activation(x):
        @tf.custom_gradient
        def marked(x):
            return tf.tanh(x, name="value"), lambda dy: tf.multiply(dy, 1 - tf.tanh(x) ** 2, name="slope")  # fmt: skip

        return marked(x)

    stack = ReversibleStack(*parts(3, activation=activation, hashed=False))
    stack.build((None, None, K))

    @tf.function
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(stack(x, training=True) ** 2)
        return tape.gradient(loss, x)

    operations = gradient.get_concrete_function(tf.constant(X)).graph.get_operations()
    values = [x for x in operations if x.type == "Tanh" and "value" in x.name]
    slopes = [x for x in operations if x.type == "Mul" and "slope" in x.name]
    assert len(values) == 6 and len(slopes) == 3  # in the order of their creation
    for slope, value in zip(slopes[:-1], values[4:], strict=True):
        assert slope in ancestors(value)
        assert value not in ancestors(slope)


def test_half_precision_has_streams_in_float32():
    half, whole = build(dtype="mixed_float16"), build()
    y = half(X, training=True)
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    np.testing.assert_allclose(array(y), array(whole(X)), atol=0.1)
    weights = [gradients(stack, True) for stack in (half, whole)]
    for ours, theirs in zip(*weights, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=0.05)


def test_single_steps_equal_the_whole_sequence():
    x = keras.Input((None, K), name="x")
    stack = ReversibleStack(*parts(chunk=14), name="stack")
    model = keras.Model(x, keras.layers.Dense(4, name="head_logits")(stack(x)))
    step = generation.step_model(model, length=14)
    states = step_models.initial_states(step, 2)
    assert {name: state.shape[1] for name, state in states.items() if name != "position"} == {
        "stack_layer1_block_key": 28, "stack_layer1_block_value": 28, "stack_layer2_keys": 14,
        "stack_layer2_values": 14, "stack_layer3_block_key": 28, "stack_layer3_block_value": 28,
    }  # fmt: skip
    logits = []
    for t in range(14):
        outputs = step.predict_on_batch({"x": X[:, t : t + 1], **states})
        states = {name: array(outputs[name]) for name in states}
        logits.append(array(outputs["logits"]))
    np.testing.assert_allclose(
        np.concatenate(logits, axis=1), array(model(X)), rtol=1e-5, atol=1e-5
    )


def test_files_and_cost(tmp_path):
    stack = ReversibleStack(*parts(2), dropout=0.25, reversible=False)
    check_file(stack, tmp_path / "model.keras")
    copy = ReversibleStack.from_config(stack.get_config())
    assert copy.get_config() == stack.get_config() and len(copy.attentions) == 2
    shape = (1, 14, K)
    layers = [branch.layer for branch in stack.branches]
    macs = sum(layer.profile_cost([shape], [shape])["macs"] for layer in layers)
    assert stack.profile_cost([shape], [(1, 14, 2 * K)])["macs"] == macs


@pytest.mark.parametrize(
    "arguments, words",
    [
        (([], []), ["0 attentions"]),
        ((parts(2)[0], parts(1)[1]), ["2 attentions", "1 feed_forwards"]),
        ((*parts(1), 1.5), ["dropout", "1.5"]),
        ((*parts(1), 0.1, 1), ["reversible", "1"]),
    ],
)
def test_errors_name_what_is_wrong(arguments, words):
    with pytest.raises(ValueError) as error:
        ReversibleStack(*arguments)
    assert all(word in str(error.value) for word in words)
