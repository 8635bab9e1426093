"""A training that needs more memory than there is is an error before anything is allocated."""

import resource

import pytest

import kapps
from kapps import training
from kapps.training import memory_needs


def test_the_memory_that_is_needed(monkeypatch):
    monkeypatch.setattr(memory_needs, "available_memory", lambda: 10**9)
    training.require_memory(10**9, "lower --units")
    with pytest.raises(ValueError, match=r"at least 2\.0 GB .* has 1\.0 GB: lower --units"):
        training.require_memory(2 * 10**9, "lower --units")
    assert training.image_memory(32, 8192, 8192) > 10**10
    assert training.recurrent_memory(50, 50, (128, 128), 100) < 10**8
    assert training.recurrent_memory(50, 50, (8192,)) > 10**9


def test_the_memory_of_the_machine_has_the_limit_of_the_process():
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    whole = memory_needs.available_memory()
    limit = 2**45
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        assert memory_needs.available_memory() == min(whole, limit)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def test_weights_are_counted_without_allocating_them():
    small = training.weight_memory(lambda: kapps.lenet5(input_shape=(32, 32, 1)))
    assert small == 4 * kapps.lenet5(input_shape=(32, 32, 1)).count_params()
    assert training.weight_memory(lambda: kapps.lenet5(input_shape=(1500, 1500, 3))) > 1e9
