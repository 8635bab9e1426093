"""The schedules against the figures of the papers they come from."""

import math

import keras
import numpy as np
import pytest

from kapps.training import SCHEDULES, Schedule, schedule


def rates(name, steps, batch_size=256):
    rate = SCHEDULES[name].rate(batch_size, steps)
    return np.array([float(rate(step)) for step in range(steps)])


def test_the_paper_divides_by_ten_at_30_60_and_80_of_90_epochs():
    per_epoch = rates("paper", 90)
    for epoch, expected in (
        (0, 0.1),
        (30, 0.1),
        (31, 0.01),
        (60, 0.01),
        (61, 0.001),
        (80, 0.001),
        (81, 1e-4),
    ):
        assert per_epoch[epoch] == pytest.approx(expected), epoch


def test_the_rate_scales_with_the_batch():
    assert rates("paper", 90, batch_size=1024)[0] == pytest.approx(0.4)
    assert rates("modern", 100, batch_size=512).max() == pytest.approx(
        2 * rates("modern", 100).max()
    )


def test_the_modern_one_warms_up_and_falls_to_zero_as_a_cosine():
    steps, peak, rise = 1000, SCHEDULES["modern"].learning_rate, 50
    found = rates("modern", steps)
    expected = [
        peak * step / rise
        if step < rise
        else peak / 2 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))
        for step in range(steps)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_weight_decay_is_as_strong_as_the_papers():
    """Decay alone, for long: the papers' loss 1/2 d |w|^2 under momentum against Keras's decoupled decay."""
    decay, rate, steps = 1e-3, 0.1, 400
    w, velocity = 1.0, 0.0
    for _ in range(steps):
        velocity = 0.9 * velocity - rate * decay * w
        w += velocity
    variable = keras.Variable(np.ones(1, "float32"), name="kernel")
    optimizer = Schedule(1, rate, decay, drops=(1.0,)).optimizer(256, steps)
    optimizer.build([variable])
    for _ in range(steps):
        optimizer.apply([keras.ops.zeros(1)])
    assert float(variable[0]) == pytest.approx(w, rel=0.02)


def test_batch_norm_and_biases_do_not_decay():
    variables = [
        keras.Variable(np.ones(1, "float32"), name=name)
        for name in ("gamma", "beta", "bias", "kernel")
    ]
    optimizer = SCHEDULES["paper"].optimizer(256, 10)
    optimizer.build(variables)
    optimizer.apply([keras.ops.zeros(1)] * 4)
    assert [float(v[0]) == 1 for v in variables] == [True, True, True, False]


def test_an_unknown_name_says_the_nearest():
    with pytest.raises(
        ValueError, match=r"'modren'. Did you mean modern\? Allowed: paper, modern, cosine"
    ):
        schedule("modren")
