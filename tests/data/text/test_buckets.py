"""Batches of examples of similar length."""

import numpy as np
import pytest
import tensorflow as tf

from kapps.data import DataError, text


@pytest.fixture
def examples():
    random = np.random.default_rng(0)
    return [random.integers(1, 9, n) for n in random.integers(1, 41, 200)]


@pytest.mark.parametrize("seed", [None, 5])
def test_every_example_occurs_once_with_little_padding(examples, seed):
    dataset = text.bucketed_dataset(examples, np.arange(200), 120, seed=seed)
    first = list(dataset.as_numpy_iterator())
    rows = {}
    for tokens, targets in first:
        assert tokens.size <= 120
        rows |= dict(zip(targets, tokens, strict=True))
    assert len(rows) == 200
    padding = 0
    for number, row in rows.items():
        example = examples[number]
        np.testing.assert_array_equal(row[: len(example)], example)
        assert not row[len(example) :].any()
        padding += len(row) - len(example)
    assert padding < 0.15 * sum(map(len, examples))
    second = list(dataset.as_numpy_iterator())
    repeats = all(np.array_equal(a[0], b[0]) for a, b in zip(first, second, strict=False))
    assert repeats is (seed is None)


def test_targets_per_token_are_padded_with_weight_zero(examples):
    dataset = text.bucketed_dataset(examples, [example + 1 for example in examples], 120)
    for tokens, targets, weights in dataset:
        np.testing.assert_array_equal(weights, tf.cast(tokens > 0, tf.float32))
        np.testing.assert_array_equal(targets, tf.where(tokens > 0, tokens + 1, 0))


def test_an_error_names_the_budget_or_the_numbers(examples):
    with pytest.raises(DataError, match="tokens=30"):
        text.bucketed_dataset(examples, np.arange(200), 30)
    with pytest.raises(DataError, match="200 examples and 3 targets"):
        text.bucketed_dataset(examples, np.arange(3), 30)
