"""The costs of exits of a small network, computed by hand."""

import graphs
import keras
import pytest

import kapps
from kapps.analysis import exit_costs


def test_lazy_costs_leave_out_what_no_exit_reads():
    options = {"depths": (1, 1), "growth_rate": 2, "filters": 4, "factors": (1, 2)}
    model = graphs.build(kapps.families.msdnet_cifar, **options, input_shape=(8, 8, 3), classes=5)
    first = 64 * 27 * 4 + 16 * 9 * 4 * 8  # 8x8 and 4x4
    coarse = 64 * 4 * 2 + 16 * 9 * 2 * 2 + 16 * 8 * 4 + 16 * 9 * 4 * 2
    fine = 64 * 4 * 2 + 64 * 9 * 2 * 2
    classifier = 4 * 9 * 12 * 128 + 9 * 128 * 128 + 128 * 5
    after = 64 * 6 * 2 + 16 * 9 * 2 * 2 + 16 * 12 * 4 + 16 * 9 * 4 * 2 + 16 * 16 * 8
    last = 4 * 9 * 8 * 128 + 9 * 128 * 128 + 128 * 5
    assert exit_costs(model) == (
        first + coarse + classifier,
        first + coarse + classifier + fine + after + last,
    )
    assert exit_costs(model, lazy=False) == (
        first + coarse + fine + classifier,
        first + coarse + fine + classifier + after + last,
    )
    stopped = graphs.build(
        kapps.families.msdnet_cifar, **options, input_shape=(8, 8, 3), classes=5, stop_at=1
    )
    assert kapps.profile(stopped).macs == exit_costs(model)[0]


def test_a_model_with_one_exit_raises():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="plain")
    with pytest.raises(ValueError, match="plain has no output called exit1_predictions") as caught:
        exit_costs(model)
    assert "\n" not in str(caught.value)
