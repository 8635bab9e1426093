"""Gradients of the gates' estimators on toy problems with known answers."""

import numpy as np
import pytest

from kapps.search import gates

pytestmark = pytest.mark.tensorflow
ALPHAS = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")


def gradient(function, alphas=ALPHAS):
    """Returns the gradient of a function of the alphas."""
    import tensorflow as tf

    variable = tf.Variable(alphas)
    with tf.GradientTape() as tape:
        loss = function(variable)
    return tape.gradient(loss, variable).numpy()


def softmax(values):
    powers = np.exp(values)
    return powers / powers.sum(axis=-1, keepdims=True)


def expectation_gradient(values):
    """d sum_j p_j v_j / d alpha_i = p_i (v_i - sum_j p_j v_j), for the linear loss with values v."""
    p = softmax(ALPHAS.astype("float64"))
    return p * (values - (p * values).sum(axis=-1, keepdims=True))


def test_binary_gates_have_the_gradient_of_the_paper():
    """dL/d alpha_i = sum_j dL/dg_j p_j (delta_ij - p_i), for a loss that is not linear in the gates."""
    matrix = np.random.default_rng(1).normal(size=(6, 6)).astype("float32")
    chosen = np.eye(3, dtype="float32")[[2, 0]]

    def loss(variable):
        from keras import ops

        g = ops.reshape(gates.binary_gates(variable, chosen), (6,))
        return ops.sum(g * ops.matmul(matrix, g[:, None])[:, 0]) + ops.sum(g**3)

    g = chosen.reshape(-1)
    of_gates = ((matrix + matrix.T) @ g + 3 * g**2).reshape(2, 3)
    p = softmax(ALPHAS)
    expected = [
        [sum(of_gates[e, j] * p[e, j] * ((i == j) - p[e, i]) for j in range(3)) for i in range(3)]
        for e in range(2)
    ]
    np.testing.assert_allclose(gradient(loss), expected, rtol=1e-4, atol=1e-5)


def test_binary_gates_of_two_operations_leave_the_third_alone():
    among = np.array([[1, 1, 0], [0, 1, 1]], "float32")
    values = np.random.default_rng(2).normal(size=(2, 3)).astype("float32")
    chosen = np.eye(3, dtype="float32")[[0, 2]]
    result = gradient(lambda x: sum_of(gates.binary_gates(x, chosen, among) * values))
    assert (result[among == 0] == 0).all() and (result[among == 1] != 0).all()
    updated = ALPHAS - 0.5 * result
    after = gates.keep_other_probabilities(ALPHAS, updated, among)
    np.testing.assert_allclose(softmax(after)[among == 0], softmax(ALPHAS)[among == 0], rtol=1e-5)
    ratio = softmax(after)[0, 0] / softmax(after)[0, 1]
    assert ratio == pytest.approx(np.exp(updated[0, 0] - updated[0, 1]), rel=1e-5)


def sum_of(x):
    from keras import ops

    return ops.sum(x)


def test_concrete_samples_at_a_low_temperature_are_one_hot_with_the_frequency_of_the_softmax():
    noise = gates.gumbel_noise(np.random.default_rng(0), (20_000, 2, 3))
    samples = np.asarray(gates.concrete_gates(ALPHAS[None], noise, 1e-3))
    assert (samples.max(axis=-1) > 0.999).mean() > 0.99
    np.testing.assert_allclose(samples.mean(axis=0), softmax(ALPHAS), atol=0.012)


def test_the_mean_gradient_of_concrete_gates_is_that_of_the_expectation():
    """A loss that is linear in the gates; the bias of a temperature of 0.2 is below the tolerance, that of 5 is not."""
    values = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], "float32")
    noise = gates.gumbel_noise(np.random.default_rng(3), (60_000, 2, 3))
    expected = expectation_gradient(values)
    errors = []
    for temperature in (0.2, 5.0):
        result = gradient(
            lambda x, t=temperature: sum_of(gates.concrete_gates(x[None], noise, t) * values) / len(noise)
        )  # fmt: skip
        errors.append(abs(result - expected).max())
    assert errors[0] < 0.03 < 0.1 < errors[1]


def test_the_mean_gradient_of_binary_gates_is_that_of_the_expectation():
    """For a linear loss the gradient does not depend on the sample."""
    values = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], "float32")
    for row in ([0, 0], [2, 1]):
        chosen = np.eye(3, dtype="float32")[row]
        result = gradient(lambda x, c=chosen: sum_of(gates.binary_gates(x, c) * values))
        np.testing.assert_allclose(result, expectation_gradient(values), rtol=1e-4, atol=1e-5)


def test_expected_cost_by_enumeration():
    costs = np.array([[0.0, 2.0, 9.0], [1.0, 1.0, 4.0]], "float32")
    p = softmax(ALPHAS)
    expected = sum(
        p[0, i] * p[1, j] * (costs[0, i] + costs[1, j]) for i in range(3) for j in range(3)
    )
    assert float(gates.expected_cost(ALPHAS, costs)) == pytest.approx(expected, rel=1e-5)
    result = gradient(lambda x: gates.expected_cost(x, costs))
    np.testing.assert_allclose(result, expectation_gradient(costs), rtol=1e-4, atol=1e-6)


def test_samples_of_options_and_of_pairs_have_their_probabilities():
    random, p = np.random.default_rng(0), softmax(ALPHAS)
    counts, pairs = np.zeros((2, 3)), np.zeros((3, 3))
    for _ in range(4000):
        counts[[0, 1], gates.choose(p, random.random(2))] += 1
        first, second = gates.choose_pairs(p, random)[0]
        pairs[first, second] += 1
    np.testing.assert_allclose(counts / 4000, p, atol=0.03)
    expected = p[0][:, None] * p[0][None] / (1 - p[0][:, None]) * (1 - np.eye(3))
    np.testing.assert_allclose(pairs / 4000, expected, atol=0.03)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_the_second_order_gradient_of_a_toy(rate):
    """Training loss (w - a)^2 / 2 + w a b / 10, validation loss (w - 1)^3: the derivative of one step by hand."""
    import tensorflow as tf

    from kapps.search.bilevel import second_order_gradient

    w, a = tf.Variable([2.0]), tf.Variable([0.5])

    def train_loss():
        return tf.reduce_sum((w - a) ** 2 / 2 + 0.1 * w**2 * a**2)

    def valid_loss():
        return tf.reduce_sum((w - 1) ** 3 + 0.2 * a**2)

    result = second_order_gradient(train_loss, valid_loss, [w], a, rate).numpy()
    stepped = 2.0 - rate * (2.0 - 0.5 + 0.2 * 2.0 * 0.25)
    mixed = -1 + 0.4 * 2.0 * 0.5  # d^2 / dw da of the training loss
    expected = 0.4 * 0.5 - rate * 3 * (stepped - 1) ** 2 * mixed
    assert result == pytest.approx([expected], rel=2e-3)
    assert w.numpy() == [2.0] and a.numpy() == [0.5]
