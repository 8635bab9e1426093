"""LAMB against its paper, and what is refused against what fails."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from kapps import training


def lamb(w, gradients, rate, decay, epsilon):
    """Algorithm 2 of arXiv:1904.00962 in NumPy, with phi(z) = z."""
    mean, square = np.zeros_like(w), np.zeros_like(w)
    for t, gradient in enumerate(gradients, 1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        r = mean / (1 - 0.9**t) / (np.sqrt(square / (1 - 0.999**t)) + epsilon)
        step = r + decay * w
        w = w - rate * np.linalg.norm(w) / np.linalg.norm(step) * step
    return w


@pytest.mark.parametrize("shape", [(3, 4), (3, 3, 2, 4)])
def test_lamb_is_the_papers(shape):
    draw = np.random.default_rng(0)
    w, gradients = draw.normal(size=shape), draw.normal(size=(5, *shape))
    variable = keras.Variable(w.astype("float32"), name="kernel")
    optimizer = training.Lamb(0.1, weight_decay=0.5, epsilon=1e-6)
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient.astype("float32"))])
    expected = lamb(w, gradients, 0.1, 0.5, 1e-6)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), expected, rtol=1e-5, atol=2e-6)


def test_lamb_takes_adams_step_where_nothing_decays():
    draw = np.random.default_rng(0)
    w, gradients = draw.normal(size=4), draw.normal(size=(5, 4)).astype("float32")
    found = []
    for optimizer in (training.Lamb(0.1, weight_decay=0.5), keras.optimizers.Adam(0.1)):
        variable = keras.Variable(w.astype("float32"), name="bias")
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        optimizer.build([variable])
        for gradient in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(gradient)])
        found.append(keras.ops.convert_to_numpy(variable))
    np.testing.assert_allclose(*found, atol=1e-5)


def test_lamb_leaves_zeros_only_by_the_gradient():
    """Neither a kernel of zeros nor a gradient of zeros divides by zero."""
    variable = keras.Variable(np.zeros(2, "float32"), name="kernel")
    optimizer = training.Lamb(0.1, weight_decay=0.5)
    optimizer.build([variable])
    optimizer.apply([keras.ops.zeros(2)])
    np.testing.assert_array_equal(variable, [0, 0])
    optimizer.apply([keras.ops.ones(2)])
    assert np.isfinite(keras.ops.convert_to_numpy(variable)).all() and float(variable[0]) < 0


TWO = types.SimpleNamespace(num_replicas_in_sync=2)
REFUSED = [
    (
        keras.optimizers.SGD,
        {"gradient_accumulation_steps": 4},
        {},
        "accumulation=4 does not work under a",
    ),
    (keras.optimizers.SGD, {"clipvalue": 0.2}, {}, "clipvalue=0\\.2 clips each replica"),
    (keras.optimizers.SGD, {"clipnorm": 0.2}, {}, "clipnorm=0\\.2 clips each replica"),
    (keras.optimizers.SGD, {"global_clipnorm": 2.0}, {}, "global_clipnorm=2\\.0 is applied"),
    (
        keras.optimizers.SGD,
        {},
        {"steps_per_execution": 2},
        "steps_per_execution=2 does not work on 2 replicas",
    ),
    (keras.optimizers.SGD, {}, {"jit": True}, "jit=True does not work on 2 replicas"),
]


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("kind", "options", "compiled", "message"), REFUSED)
def test_what_fails_on_several_replicas_is_refused_in_one_line(
    kind, options, compiled, message, scaled
):
    optimizer = kind(0.1, **options)
    if scaled:  # as compile wraps it under mixed_float16
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    with pytest.raises(ValueError, match=f"^{message}") as error:
        training.check_compile_options(optimizer, strategy=TWO, **compiled)
    assert "\n" not in str(error.value)
    training.check_compile_options(optimizer, **compiled)  # on one device all of it works


def test_accumulation_is_refused_under_a_mirrored_strategy_of_one_device_as_well():
    optimizer = training.get_schedule("paper").make_optimizer(256, 100, accumulation=2)
    training.check_compile_options(optimizer, strategy=tf.distribute.get_strategy())
    with pytest.raises(ValueError, match="accumulation=2 does not work under a MirroredStrategy"):
        training.check_compile_options(
            optimizer, strategy=tf.distribute.MirroredStrategy(["CPU:0"])
        )


@pytest.mark.parametrize("name", training.SCHEDULES)
def test_every_schedule_that_does_not_clip_goes_on_several_replicas(name):
    optimizer = training.get_schedule(name).make_optimizer(256, 100)
    if name == "inception":
        with pytest.raises(ValueError, match=r"global_clipnorm=2\.0"):
            training.check_compile_options(optimizer, strategy=TWO)
    else:
        training.check_compile_options(optimizer, strategy=TWO)


REPLICAS = """
import sys

import keras
import numpy as np
import tensorflow as tf

from kapps import training

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
draw = np.random.default_rng(0)
x, y = draw.normal(size=(32, 5)).astype("float32"), draw.normal(size=(32, 2)).astype("float32")


def trained(strategy, optimizer, **compiled):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
        model.compile(optimizer(), "mse", **{"jit_compile": False, **compiled})
    model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(8), verbose=0, shuffle=False)
    return model.get_weights()[0]


def outcome(*arguments, **compiled):
    try:
        alone = trained(tf.distribute.get_strategy(), *arguments, **compiled)
        both = trained(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), *arguments, **compiled)
    except (RuntimeError, tf.errors.InvalidArgumentError):
        return "fails"
    return "same" if np.abs(alone - both).max() < 1e-5 else "differs"


SGD = keras.optimizers.SGD
print(outcome(lambda: SGD(0.1, gradient_accumulation_steps=2)))
print(outcome(lambda: SGD(0.1), steps_per_execution=2))
print(outcome(lambda: SGD(0.1), jit_compile=True))
print(outcome(lambda: SGD(0.1, global_clipnorm=0.1)))
print(outcome(lambda: SGD(0.1, clipnorm=0.1)))
print(outcome(lambda: SGD(0.1, clipvalue=0.01)))
for name in ("modern", "adamw", "lamb"):
    print(name, outcome(lambda: training.get_schedule(name).make_optimizer(256, 4)))
"""


@pytest.mark.long
def test_what_is_refused_fails_and_what_is_not_trains_as_on_one_device(forked):
    """A refusal whose reason a newer Keras has mended goes."""
    lines = forked(REPLICAS, CUDA_VISIBLE_DEVICES="-1").split("\n")[-10:-1]
    assert lines == [
        *["fails"] * 3,
        *["differs"] * 3,
        *[f"{name} same" for name in ("modern", "adamw", "lamb")],
    ]


def recurrent(layer):
    return keras.Sequential([keras.Input((6, 3)), layer, keras.layers.Dense(1)])


def test_xla_is_refused_for_cudnn_on_a_gpu_and_for_unrolled_layers(monkeypatch):
    layers, sgd = keras.layers, keras.optimizers.SGD(0.1)
    fine = [layers.LSTM(2, use_cudnn=False), layers.SimpleRNN(2)]
    cudnn = [layers.LSTM(2, name="cell"), layers.Bidirectional(layers.GRU(2, name="cell"))]
    training.check_compile_options(
        sgd, model=recurrent(layers.LSTM(2)), jit=True
    )  # no GPU, no cuDNN
    with pytest.raises(ValueError, match=r"'cell', which is unrolled.* unroll=False"):
        training.check_compile_options(
            sgd, model=recurrent(layers.LSTM(2, unroll=True, name="cell")), jit=True
        )
    monkeypatch.setattr(
        "tensorflow.config.list_physical_devices", lambda kind: ["one"] if kind == "GPU" else []
    )
    for layer in fine:
        training.check_compile_options(sgd, model=recurrent(layer), jit=True)
    for layer in cudnn:
        training.check_compile_options(sgd, model=recurrent(layer), jit=False)
        with pytest.raises(ValueError, match=r"cell', which runs in cuDNN.* use_cudnn=False"):
            training.check_compile_options(sgd, model=recurrent(layer), jit=True)
