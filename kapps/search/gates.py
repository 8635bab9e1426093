"""Gates of a supernet from its architecture parameters, and what their gradients estimate.

[1] DARTS, Liu 2018, arXiv:1806.09055      [2] SNAS, Xie 2018, arXiv:1812.09926
[3] ProxylessNAS, Cai 2018, arXiv:1812.00332

All functions take `alphas` (edges, operations), whose softmax is the probability of each operation, and return gates of
that shape. The gradients by `alphas` are those of the backend's automatic differentiation.
"""

import numpy as np
from keras import ops


def softmax_gates(alphas):
    """Returns the softmax: each edge is the expectation over its operations [1]."""
    return ops.softmax(alphas, axis=-1)


def gumbel_noise(random: np.random.Generator, shape) -> np.ndarray:
    """Returns float32 noise of the standard Gumbel distribution."""
    return random.gumbel(size=shape).astype("float32")


def concrete_gates(alphas, noise, temperature):
    """Returns a sample of the concrete distribution [2], equation 4: softmax((log p + noise) / temperature).

    At a temperature near 0 it is one-hot, an operation with the frequency of its probability. Its gradient is that of
    the expected loss for a loss that is linear in the gates, in the limit of temperature 0, and biased otherwise.

    Args:
        alphas: architecture parameters (edges, operations).
        noise: of `gumbel_noise`, of the same shape.
        temperature: positive number; [2] lowers it from 1 to 0.03.
    """
    return ops.softmax((ops.log_softmax(alphas, axis=-1) + noise) / temperature, axis=-1)


def choose(probabilities, numbers) -> np.ndarray:
    """Returns the number of an option of each row, with the row's probabilities, for uniform numbers in [0, 1)."""
    cumulated = np.cumsum(np.asarray(probabilities, "float64"), axis=-1)
    cumulated /= cumulated[:, -1:]
    return (cumulated <= np.asarray(numbers)[:, None]).sum(axis=-1)


def choose_pairs(probabilities, random: np.random.Generator) -> np.ndarray:
    """Returns two different options of each row, int (rows, 2), sampled by its probabilities [3], section 3.2.1."""
    rows = np.asarray(probabilities, "float64")
    first = choose(rows, random.random(len(rows)))
    others = rows.copy()
    others[np.arange(len(rows)), first] = 0
    others += 1e-12 * (np.arange(rows.shape[1]) != first[:, None])
    second = choose(others / others.sum(axis=-1, keepdims=True), random.random(len(rows)))
    return np.stack([first, second], axis=-1)


def binary_gates(alphas, chosen, among=None):
    """Returns one-hot gates of the chosen operations, with the gradient of [3], equation 4.

    dL/d alpha_i = sum_j dL/dg_j p_j (delta_ij - p_i): the gates pass the gradient to the probabilities as they are.

    Args:
        alphas: architecture parameters (edges, operations).
        chosen: one-hot float32 (edges, operations), sampled by the probabilities.
        among: 1 for the two operations of each edge that take part, 0 for others, float32 (edges, operations); the
            probabilities are those of the two. None for all operations.
    """
    if among is not None:
        alphas = alphas + (1 - among) * -1e9
    probabilities = ops.softmax(alphas, axis=-1)
    return ops.stop_gradient(chosen - probabilities) + probabilities


def keep_other_probabilities(
    alphas: np.ndarray, updated: np.ndarray, among: np.ndarray
) -> np.ndarray:
    """Returns updated alphas, the two of an edge shifted so that the others keep their probability [3], 3.2.1."""
    before = (np.exp(alphas) * among).sum(axis=-1, keepdims=True)
    after = (np.exp(updated) * among).sum(axis=-1, keepdims=True)
    return np.where(among > 0, updated + np.log(before / after), alphas)


def expected_cost(alphas, costs):
    """Returns the expected cost, the sum of p times cost, for `costs` (edges, operations) [3], equation 7."""
    return ops.sum(ops.softmax(alphas, axis=-1) * costs)
