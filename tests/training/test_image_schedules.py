"""The schedules against the numbers of their papers."""

import dataclasses
import math

import keras
import numpy as np
import pytest

from kapps.training import SCHEDULES, Schedule, get_schedule


def rates(name, steps, batch_size=256):
    rate = SCHEDULES[name].make_learning_rate(batch_size, steps)
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


def test_binary_networks_have_a_hundredth_of_the_rate_at_the_end():
    """0.01 for 128 images with SGD, 0.001 for any number with Adam, from epoch 1 to 18 of 55."""
    for name, batch_size, first in (("bwn", 128, 0.01), ("xnor", 128, 1e-3), ("xnor", 800, 1e-3)):
        per_epoch = rates(name, 55, batch_size)
        np.testing.assert_allclose(per_epoch[[0, 18]], first)
        np.testing.assert_allclose(per_epoch[[53, 54]], first / 100)


def test_the_rate_scales_with_the_batch():
    assert rates("paper", 90, batch_size=1024)[0] == pytest.approx(0.4)
    assert rates("modern", 100, batch_size=512).max() == pytest.approx(
        2 * rates("modern", 100).max()
    )


def test_modern_has_a_warmup_and_a_cosine_decay_to_zero():
    steps, peak, rise = 1000, SCHEDULES["modern"].learning_rate, 50
    learning_rates = rates("modern", steps)
    expected = [
        peak * step / rise
        if step < rise
        else peak / 2 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))
        for step in range(steps)
    ]
    np.testing.assert_allclose(learning_rates, expected, rtol=1e-4, atol=1e-6)


def test_weight_decay_equals_that_of_the_papers():
    """Only decay, for many steps: the papers' loss 1/2 d |w|^2 under momentum against Keras's decoupled decay."""
    decay, rate, steps = 1e-3, 0.1, 400
    w, velocity = 1.0, 0.0
    for _ in range(steps):
        velocity = 0.9 * velocity - rate * decay * w
        w += velocity
    variable = keras.Variable(np.ones(1, "float32"), name="kernel")
    optimizer = Schedule(1, rate, decay, drops=(1.0,)).make_optimizer(256, steps)
    optimizer.build([variable])
    for _ in range(steps):
        optimizer.apply([keras.ops.zeros(1)])
    assert float(variable[0]) == pytest.approx(w, rel=0.02)


def test_batch_norm_and_biases_do_not_decay():
    variables = [
        keras.Variable(np.ones(1, "float32"), name=name)
        for name in ("gamma", "beta", "bias", "kernel")
    ]
    optimizer = SCHEDULES["paper"].make_optimizer(256, 10)
    optimizer.build(variables)
    optimizer.apply([keras.ops.zeros(1)] * 4)
    assert [float(v[0]) == 1 for v in variables] == [True, True, True, False]


def test_an_unknown_name_is_an_error_with_the_nearest():
    with pytest.raises(
        ValueError,
        match=r"'modren' .*Did you mean modern\? Allowed: paper, modern, cosine, .*, lamb",
    ):
        get_schedule("modren")


def test_inception_falls_by_094_every_two_of_100_epochs_from_0045_for_32_images():
    per_epoch = rates("inception", 100, batch_size=32)
    for epoch, expected in ((0, 0.045), (2, 0.045), (3, 0.045 * 0.94), (99, 0.045 * 0.94**49)):
        assert per_epoch[epoch] == pytest.approx(expected), epoch


def test_large_batches_rise_over_5_of_90_epochs_and_then_fall_in_steps():
    steps = 900
    learning_rates = rates("large_batch", steps, batch_size=8192)
    peak = 0.1 * 8192 / 256  # section 5.1: k n = 8,192, eta = 3.2
    np.testing.assert_allclose(learning_rates[:51], np.arange(51) / 50 * peak, rtol=1e-5)
    for step, expected in ((299, 3.2), (301, 0.32), (601, 0.032), (801, 0.0032)):
        assert learning_rates[step] == pytest.approx(expected), step


@pytest.mark.parametrize(
    ("name", "batch_size", "peak"),
    [
        ("adamw", 4096, 4e-3),
        ("adamw", 2048, 2e-3),
        ("lamb", 2048, 5e-3),
        ("lamb", 512, 2.5e-3),
    ],
)
def test_the_peak_is_the_papers_at_the_papers_batch_and_scales_from_there(name, batch_size, peak):
    assert rates(name, 300, batch_size).max() == pytest.approx(peak)


@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        ("paper", "SGD", {"momentum": 0.9, "nesterov": False, "global_clipnorm": None}),
        ("modern", "SGD", {"momentum": 0.9, "nesterov": True}),
        ("inception", "RMSprop", {"rho": 0.9, "momentum": 0.9, "epsilon": 1, "global_clipnorm": 2}),
        ("adamw", "AdamW", {"beta_1": 0.9, "beta_2": 0.999, "weight_decay": 0.05}),
        ("lamb", "Lamb", {"beta_1": 0.9, "beta_2": 0.999, "weight_decay": 0.02}),
    ],
)
def test_the_optimizer_has_the_papers_settings(name, kind, settings):
    optimizer = SCHEDULES[name].make_optimizer(256, 100)
    assert type(optimizer).__name__ == kind
    assert {key: getattr(optimizer, key) for key in settings} == settings


@pytest.mark.long
def test_weight_decay_equals_that_of_inception():
    """The loss 1/2 d |w|^2 through RMSProp with momentum, written out, against Keras's decoupled decay."""
    decay, rate, steps = 1e-3, 0.1, 400
    w, square, velocity = 1.0, 0.0, 0.0
    for _ in range(steps):
        gradient = decay * w
        square = 0.9 * square + 0.1 * gradient**2
        velocity = 0.9 * velocity + rate * gradient / math.sqrt(square + 1)
        w -= velocity
    variable = keras.Variable(np.ones(1, "float32"), name="kernel")
    optimizer = dataclasses.replace(
        SCHEDULES["inception"], learning_rate=rate, weight_decay=decay, drops=(1.0,)
    ).make_optimizer(256, steps)
    optimizer.build([variable])
    for _ in range(steps):
        optimizer.apply([keras.ops.zeros(1)])
    assert w < 0.75  # the decay has an effect
    assert float(variable[0]) == pytest.approx(w, rel=0.02)


@pytest.mark.parametrize(
    ("limit", "gradient", "expected"),
    [
        ({"clipnorm": 1.0}, [[3.0], [4.0]], [[0.6], [0.8]]),  # the norm of both together is 5
        ({"clipvalue": 3.5}, [[3.0], [-4.0]], [[3.0], [-3.5]]),
        ({}, [[3.0], [4.0]], [[3.0], [4.0]]),
    ],
)
def test_gradients_are_clipped_by_their_global_norm_or_by_value(limit, gradient, expected):
    variables = [keras.Variable(np.zeros(1, "float32"), name=name) for name in ("one", "two")]
    plan = Schedule(1, 1.0, 0.0, drops=(1.0,), momentum=0.0, **limit)
    optimizer = plan.make_optimizer(256, 10)
    optimizer.build(variables)
    optimizer.apply([keras.ops.convert_to_tensor(values) for values in gradient])
    np.testing.assert_allclose(np.array(variables), -np.array(expected), rtol=1e-6)


@pytest.mark.long
def test_the_average_covers_its_fraction_of_the_training():
    """Every batch adds 1: the average is behind by the number of batches that it covers, minus one."""
    steps, back = 1000, 100
    variable = keras.Variable(np.zeros(1, "float32"), name="kernel")
    plan = Schedule(1, 1.0, 0.0, drops=(1.0,), momentum=0.0, ema=back / steps)
    optimizer = plan.make_optimizer(256, steps)
    optimizer.build([variable])
    for _ in range(steps):
        optimizer.apply([-keras.ops.ones(1)])
    (average,) = optimizer._model_variables_moving_average
    assert float(variable[0]) == steps
    assert float(average[0]) == pytest.approx(steps - (back - 1), rel=1e-3)


def network():
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(6, activation="tanh"), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((4,)), *layers])


def trained(plan, batch_size, accumulation, x, y):
    """Returns the weights after one epoch of x and y, and the learning rate of each batch."""
    model, learning_rates = network(), []
    steps = len(x) // batch_size
    model.compile(
        plan.make_optimizer(batch_size, steps, accumulation), keras.losses.MeanSquaredError()
    )
    for start in range(0, len(x), batch_size):
        learning_rates.append(float(model.optimizer.learning_rate))
        model.train_on_batch(x[start : start + batch_size], y[start : start + batch_size])
    return model.get_weights(), learning_rates


@pytest.mark.long
@pytest.mark.parametrize("name", SCHEDULES)
def test_accumulated_batches_train_as_one_large_one(name):
    """With weight decay, clipping and the learning rates of the updates; without the average of the weights."""
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(96, 4)).astype("float32"), draw.normal(size=(96, 3)).astype("float32")
    plan = dataclasses.replace(SCHEDULES[name], ema=0.0)
    large, rates = trained(plan, 12, 1, x, y)
    small, held = trained(plan, 4, 3, x, y)
    np.testing.assert_allclose(held, np.repeat(rates, 3), rtol=1e-6)
    for one, other, start in zip(large, small, network().get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
        assert np.abs(one - start).max() > 1e-5  # it has trained


def test_an_incomplete_update_at_the_end_is_skipped():
    x = np.ones((20, 4), "float32")
    plan = dataclasses.replace(SCHEDULES["cosine"], warmup=0.0)
    whole, _ = trained(plan, 4, 2, x[:16], x[:16, :3])
    rest, _ = trained(plan, 4, 2, x, x[:, :3])
    for one, other in zip(whole, rest, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("accumulation", [0, 11])
def test_an_accumulation_without_an_update_is_an_error(accumulation):
    with pytest.raises(ValueError, match=rf"accumulation={accumulation}: must be from 1 to 10"):
        SCHEDULES["paper"].make_optimizer(256, 10, accumulation)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"algorithm": "adam"},
            r"'adam' .*Did you mean adamw\? Allowed: sgd, rmsprop, adamw, lamb",
        ),
        ({"algorithm": "lamb", "nesterov": True}, "nesterov=True .*'sgd', not 'lamb'"),
        ({"clipnorm": 1.0, "clipvalue": 2.0}, "clipnorm=1.0 and clipvalue=2.0"),
    ],
)
def test_options_that_exclude_each_other_are_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        Schedule(1, 0.1, 0.0, **options)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_saved_compiled_model_has_its_learning_rates(name, tmp_path):
    model = network()
    model.compile(SCHEDULES[name].make_optimizer(64, 100, accumulation=2), "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert type(loaded) is type(model.optimizer)
    for step in (0, 1, 2, 7, 50, 99):
        expected = float(model.optimizer._learning_rate(step))
        assert float(loaded._learning_rate(step)) == pytest.approx(expected)
