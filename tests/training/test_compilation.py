"""The loss of a classifier, auxiliary losses, and options that do not work together against those that fail."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from kapps import heads, training
from kapps.layers import DropPath


@pytest.mark.parametrize(
    "head",
    [
        heads.class_map_pooling,
        pytest.param(heads.global_average_pooling, marks=pytest.mark.long),
        pytest.param(heads.per_pixel_classifier, marks=pytest.mark.long),
    ],
)
def test_the_loss_is_the_cross_entropy_of_the_predictions(head):
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, head(image, 5, "softmax"))
    trained = training.compile_classifier(model, keras.optimizers.SGD(0.1))
    draw = np.random.default_rng(0)
    x, y = (
        draw.normal(size=(6, 4, 4, 3)).astype("float32"),
        np.eye(5, dtype="float32")[[0, 1, 2] * 2],
    )
    chosen = (model.predict_on_batch(x) * y).sum(-1)
    assert len(set(chosen)) == 6
    loss = trained.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(loss, -np.log(chosen).mean(), rtol=1e-5)
    before = [value.numpy() for value in model.weights]
    trained.fit(x, y, verbose=0)
    assert all((old != new.numpy()).any() for old, new in zip(before, model.weights, strict=True))


@keras.saving.register_keras_serializable("tests")
class CountedCalls(keras.layers.Layer):
    """The identity, which counts the calls of Python."""

    count = 0

    def call(self, x):
        type(self).count += 1
        return x


@pytest.mark.parametrize("kind", ["classifier", "exits", "segmentation"])
def test_the_first_step_is_traced_once(kind):
    image = keras.Input((4, 4, 3))
    x = CountedCalls()(image)
    if kind == "segmentation":
        x = keras.layers.Conv2D(5, 1, activation="softmax", name="predictions")(x)
        trained = training.compile_segmenter(keras.Model(image, x), keras.optimizers.Adam())
        labels = np.zeros((2, 4, 4), "uint8")
    else:
        x = keras.layers.Flatten()(x)
        outputs = [heads.classifier(x, 5, "softmax")]
        if kind == "exits":
            first = heads.classifier(
                x, 5, "softmax", logits="exit1_logits", predictions="exit1_predictions"
            )
            outputs.insert(0, first)
        model = keras.Model(image, outputs if kind == "exits" else outputs[0])
        trained = training.compile_classifier(model, keras.optimizers.Adam())
        labels = np.eye(5, dtype="float32")[:2]
    before = CountedCalls.count
    trained.fit(np.zeros((2, 4, 4, 3), "float32"), labels, verbose=0)
    assert CountedCalls.count == before + 1


def test_all_exits_are_trained_by_the_sum_of_their_losses():
    draw = np.random.default_rng(0)
    image = keras.Input((4,))
    names = ("exit1", "exit2", "head")
    predictions = ("exit1_predictions", "exit2_predictions", "predictions")
    outputs = [
        heads.classifier(image, 12, "softmax", logits=f"{name}_logits", predictions=output)
        for name, output in zip(names, predictions, strict=True)
    ]
    model = keras.Model(image, outputs, name="exits")
    trained = training.compile_classifier(model, keras.optimizers.SGD(0.1))
    x = draw.normal(size=(6, 4)).astype("float32")
    y = np.eye(12, dtype="float32")[draw.integers(0, 12, 6)]
    measured = trained.evaluate(x, y, verbose=0, return_dict=True)
    scores = model.predict_on_batch(x)
    losses = [-np.log((x * y).sum(-1)).mean() for x in scores]
    assert measured["loss"] == pytest.approx(sum(losses), rel=1e-5)
    right = [float(np.mean(x.argmax(-1) == y.argmax(-1))) for x in scores]
    keys = ("exit1_accuracy", "exit2_accuracy", "accuracy")
    assert [measured[key] for key in keys] == pytest.approx(right)
    assert 0 <= measured["top5"] <= 1
    before = [value.numpy() for value in model.weights]
    trained.fit(x, y, verbose=0)
    assert all((old != new.numpy()).any() for old, new in zip(before, model.weights, strict=True))


def three_outputs(as_dict=False):
    image = keras.Input((4,))
    outputs = {
        name: keras.layers.Dense(3, activation="softmax", name=name)(image)
        for name in ("predictions", "auxiliary1", "auxiliary2")
    }
    return keras.Model(image, outputs if as_dict else list(outputs.values()), name="heads")


@pytest.mark.long
def test_drop_path_rises_to_its_rate_in_the_steps_of_the_training():
    image = keras.Input((1,))
    x = DropPath(0.5, name="first")(image)
    model = keras.Model(image, DropPath(0.5, steps=3, name="own")(x))
    training.schedule_drop_path(model, 1000)
    assert [model.get_layer(name).steps for name in ("first", "own")] == [1000, 3]
    x = np.ones((4000, 1), "float32")
    first = model.get_layer("first")
    dropped = [float(np.mean(keras.ops.convert_to_numpy(first(x, training=True)) == 0))]
    for _ in range(500):
        first(x[:1], training=True)
    dropped += [float(np.mean(keras.ops.convert_to_numpy(first(x, training=True)) == 0))]
    assert dropped == pytest.approx([0, 0.25], abs=0.03)
    with pytest.raises(ValueError, match="steps=0"):
        training.schedule_drop_path(model, 0)


@pytest.mark.parametrize("as_dict", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_auxiliary_outputs_have_weight_03_by_default(as_dict, weighted):
    draw = np.random.default_rng(0)
    x, y = (
        draw.normal(size=(6, 4)).astype("float32"),
        np.eye(3, dtype="float32")[[0, 1, 2, 2, 1, 0]],
    )
    weights = (np.arange(6, dtype="float32"),) if weighted else ()
    model = three_outputs(as_dict)
    model.compile(
        "sgd",
        **training.auxiliary_losses(
            model, keras.losses.CategoricalCrossentropy(), main="predictions"
        ),
        metrics={"predictions": ["accuracy"]},
    )
    batches = tf.data.Dataset.from_tensors((x, y, *weights))
    metrics = model.evaluate(training.repeat_targets(batches, model), verbose=0, return_dict=True)
    outputs = model.predict(x, verbose=0)
    outputs = list(outputs.values()) if as_dict else outputs
    factors = {key: 1.0 if key == "predictions" else 0.3 for key in model.output_names}
    expected = 0.0
    for name, output in zip(("predictions", "auxiliary1", "auxiliary2"), outputs, strict=True):
        entropies = -np.log((output * y).sum(-1))
        expected += factors[name] * np.mean(entropies * (weights[0] if weighted else 1))
    assert metrics["loss"] == pytest.approx(expected, rel=1e-5)
    assert "predictions_accuracy" in metrics


def test_the_first_output_of_a_list_is_the_main_output():
    options = training.auxiliary_losses(three_outputs(), "mse", weight=0.4)
    assert options["loss_weights"] == {"predictions": 1.0, "auxiliary1": 0.4, "auxiliary2": 0.4}


def test_errors_of_auxiliary_losses():
    image = keras.Input((4,))
    single = keras.Model(image, keras.layers.Dense(3, name="predictions")(image), name="single")
    stack = keras.Sequential([image, keras.layers.Dense(3, name="predictions")], name="single")
    for model in (single, stack):
        with pytest.raises(ValueError, match=r"single has .* 'predictions'"):
            training.auxiliary_losses(model, "mse")
    with pytest.raises(
        ValueError, match=r"main='top' is not an output of heads.* predictions, aux"
    ):
        training.auxiliary_losses(three_outputs(), "mse", main="top")
    with pytest.raises(ValueError, match="main=None is not an output of heads"):
        training.auxiliary_losses(three_outputs(as_dict=True), "mse")


TWO = types.SimpleNamespace(num_replicas_in_sync=2)
INVALID = [
    (
        keras.optimizers.SGD,
        {"gradient_accumulation_steps": 4},
        {},
        "accumulation=4 does not work under a",
    ),
    (keras.optimizers.SGD, {"clipvalue": 0.2}, {}, "clipvalue=0\\.2 clips each replica"),
    (keras.optimizers.SGD, {"clipnorm": 0.2}, {}, "clipnorm=0\\.2 clips each replica"),
    (keras.optimizers.SGD, {"global_clipnorm": 2.0}, {}, "global_clipnorm=2\\.0 clips"),
    (
        keras.optimizers.SGD,
        {},
        {"steps_per_execution": 2},
        "steps_per_execution=2 does not work on 2 replicas",
    ),
    (keras.optimizers.SGD, {}, {"jit": True}, "jit=True does not work on 2 replicas"),
]


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("kind", "options", "compiled", "message"), INVALID)
def test_options_that_fail_on_several_replicas_are_an_error_of_one_line(
    kind, options, compiled, message, scaled
):
    optimizer = kind(0.1, **options)
    if scaled:  # as in `compile` under mixed_float16
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    with pytest.raises(ValueError, match=f"^{message}") as error:
        training.check_compile_options(optimizer, strategy=TWO, **compiled)
    assert "\n" not in str(error.value)
    training.check_compile_options(optimizer, **compiled)  # all options work on one device


def test_accumulation_is_an_error_under_a_mirrored_strategy_of_one_device_too():
    optimizer = training.get_schedule("paper").make_optimizer(256, 100, accumulation=2)
    training.check_compile_options(optimizer, strategy=tf.distribute.get_strategy())
    with pytest.raises(ValueError, match="accumulation=2 does not work under a MirroredStrategy"):
        training.check_compile_options(
            optimizer, strategy=tf.distribute.MirroredStrategy(["CPU:0"])
        )


@pytest.mark.parametrize("name", training.SCHEDULES)
def test_every_schedule_without_clipping_works_on_several_replicas(name):
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
        one = trained(tf.distribute.get_strategy(), *arguments, **compiled)
        two = trained(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), *arguments, **compiled)
    except (RuntimeError, tf.errors.InvalidArgumentError):
        return "fails"
    return "same" if np.abs(one - two).max() < 1e-5 else "differs"


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
@pytest.mark.long
def test_the_options_that_are_an_error_fail_in_keras_too(forked):
    """If a newer Keras fixes one of them, the check can be removed."""
    lines = forked(REPLICAS, CUDA_VISIBLE_DEVICES="-1").split("\n")[-10:-1]
    assert lines == [
        *["fails"] * 3,
        *["differs"] * 3,
        *[f"{name} same" for name in ("modern", "adamw", "lamb")],
    ]


def recurrent(layer):
    return keras.Sequential([keras.Input((6, 3)), layer, keras.layers.Dense(1)])


def test_xla_with_cudnn_on_a_gpu_or_unrolled_layers_is_an_error(monkeypatch):
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
