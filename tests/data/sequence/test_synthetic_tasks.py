"""The adding problem and copy memory."""

import numpy as np
import pytest

from kapps.data import sequence


def first_batch(dataset):
    return next(dataset.as_numpy_iterator())


def test_the_adding_problem_sums_the_marked_numbers():
    inputs, sums = first_batch(sequence.adding_problem_dataset(30, 2000))
    assert inputs.shape == (2000, 30, 2) and sums.shape == (2000, 1)
    numbers, marks = inputs[..., 0], inputs[..., 1]
    assert set(np.unique(marks)) == {0, 1} and (marks.sum(axis=1) == 2).all()
    np.testing.assert_allclose(sums[:, 0], (numbers * marks).sum(axis=1), rtol=1e-6)
    assert numbers.min() >= 0 and numbers.max() < 1
    assert abs(np.mean((sums - 1) ** 2) - 1 / 6) < 0.015
    assert (marks.sum(axis=0) > 80).all()  # every step is marked; 133 are expected


def test_a_sequence_depends_only_on_seed_and_number():
    def twelve(batch_size, seed=0, sequences=None):
        dataset = sequence.adding_problem_dataset(9, batch_size, sequences=sequences, seed=seed)
        dataset = dataset.take(12 // batch_size)
        return np.concatenate([inputs for inputs, _ in dataset.as_numpy_iterator()])

    expected = twelve(4)
    assert np.array_equal(expected, twelve(6))
    assert np.array_equal(expected, twelve(4, sequences=12))
    assert not np.array_equal(expected, twelve(4, seed=1))
    assert len(np.unique(expected[..., 0])) == 12 * 9


def test_copy_memory_repeats_the_first_ten_digits():
    inputs, targets = first_batch(sequence.copy_memory_dataset(7, 500))
    assert inputs.shape == (500, 27, 1) and targets.shape == (500, 27)
    np.testing.assert_array_equal(inputs[:, :10, 0], targets[:, -10:])
    assert set(np.unique(targets[:, -10:])) == set(range(1, 9)) and (targets[:, :17] == 0).all()
    assert (inputs[:, 10:16] == 0).all() and (inputs[:, 16:] == 9).all()


def test_an_error_names_the_argument():
    with pytest.raises(ValueError, match="steps=1"):
        sequence.adding_problem_dataset(1, 4)
    with pytest.raises(ValueError, match="blanks=0"):
        sequence.copy_memory_dataset(0, 4)
