"""A training that needs more memory than there is is an error before anything is allocated."""

import pytest

import kapps
from kapps import training
from kapps.training import memory_needs


def test_the_memory_that_is_needed(monkeypatch):
    monkeypatch.setattr(memory_needs, "available_memory", lambda: 10**9)
    training.require_memory(10**9, "lower --units")
    with pytest.raises(
        ValueError, match=r"at least 2\.0 GB .* 1\.0 GB are available: lower --units"
    ):
        training.require_memory(2 * 10**9, "lower --units")
    assert training.image_memory(32, 8192, 8192) > 10**10
    assert training.recurrent_memory(50, 50, (128, 128), 100) < 10**8
    assert training.recurrent_memory(50, 50, (8192,)) > 10**9


def test_weights_are_counted_without_allocating_them():
    small = training.weight_memory(lambda: kapps.lenet5(input_shape=(32, 32, 1)))
    assert small == 4 * kapps.lenet5(input_shape=(32, 32, 1)).count_params()
    assert training.weight_memory(lambda: kapps.lenet5(input_shape=(1500, 1500, 3))) > 1e9
