"""Fused batch norms train as Keras's, and a model has Keras's again after the training."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from kapps import training
from kapps.layers import CrossLayerDepthwiseConv2D

SHAPE = (5, 6, 8)
MAPS = np.random.default_rng(0).normal(2, 3, size=(4, *SHAPE)).astype("float32")
OPERATION = "FusedBatchNormV3"


def norm_model(shape=SHAPE, **options):
    """Returns a model with one batch norm whose weights differ from channel to channel."""
    options = {"momentum": 0.5, "name": "norm", **options}
    x = keras.Input(shape)
    return keras.Model(
        x,
        keras.layers.BatchNormalization(
            gamma_initializer=keras.initializers.RandomUniform(1, 2, seed=0),
            beta_initializer=keras.initializers.RandomUniform(1, 2, seed=1),
            **options,
        )(x),
    )


def operations(model, maps=MAPS):
    """Returns the types of the operations of a call of a model."""
    call = tf.function(lambda x: model(x, training=True))
    graph = call.get_concrete_function(tf.constant(maps)).graph
    return {operation.type for operation in graph.get_operations()}


def results(model, maps):
    """Returns the output, the gradients and the moving averages of one training step."""
    norm = model.get_layer("norm")
    maps = tf.cast(maps, norm.compute_dtype)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        y = model(maps, training=True)
        loss = tf.reduce_sum(tf.cast(y, "float32") ** 3)
    assert y.dtype == norm.compute_dtype
    gradients = tape.gradient(loss, [maps, *model.trainable_variables])
    return [y, *gradients, *model.non_trainable_variables]


@pytest.mark.parametrize(
    "options", [{}, {"axis": 3}, {"center": False}, {"scale": False}, {"epsilon": 0.1}], ids=str
)
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])  # fmt: skip
def test_a_step_equals_keras(options, policy):
    keras_model, model = (norm_model(dtype=policy, **options) for _ in range(2))
    expected = results(keras_model, MAPS)
    with training.fused_batch_norms(model):
        assert OPERATION in operations(model)
        actual = results(model, MAPS)
    tolerance = {"float32": 2e-6, "float16": 2e-3}.get(expected[0].dtype.name, 2e-2)
    for first, second in zip(actual, expected, strict=True):
        first, second = (np.asarray(tf.cast(x, "float64")) for x in (first, second))
        np.testing.assert_allclose(
            first, second, rtol=tolerance, atol=tolerance * np.abs(second).max()
        )


def test_moving_averages_have_the_biased_variance():
    model = norm_model(momentum=0.0)
    with training.fused_batch_norms(model):
        model(MAPS, training=True)
    norm = model.get_layer("norm")
    np.testing.assert_allclose(norm.moving_mean, MAPS.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, MAPS.var((0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"dtype": "float64"}, SHAPE),
        ({"axis": 1}, SHAPE),
        ({"renorm": True}, SHAPE),
        ({"synchronized": True}, SHAPE),
        ({"trainable": False}, SHAPE),
        ({}, SHAPE[-1:]),
        ({}, (3, *SHAPE)),
    ],
    ids=str,
)
def test_other_norms_are_those_of_keras(options, shape):
    maps = np.random.default_rng(0).normal(size=(4, *shape)).astype(options.get("dtype", "float32"))
    model = norm_model(shape, **options)
    with training.fused_batch_norms(model):
        assert OPERATION not in operations(model, maps)


def test_masked_positions_are_not_counted():
    mask = tf.constant(np.arange(4 * 5 * 6).reshape(4, 5, 6) % 3 > 0)
    means = []
    for fused in (False, True):
        model = norm_model()
        norm = model.get_layer("norm")
        with training.fused_batch_norms(model) if fused else contextlib.nullcontext():
            norm(MAPS, training=True, mask=mask)
        means.append(np.asarray(norm.moving_mean))
    np.testing.assert_array_equal(*means)


def test_inference_uses_the_moving_averages():
    model = norm_model()
    expected = np.asarray(model(MAPS, training=False))
    with training.fused_batch_norms(model):
        np.testing.assert_array_equal(model(MAPS, training=False), expected)


def test_norms_of_inner_models_are_fused():
    inner = norm_model()
    x = keras.Input(SHAPE)
    model = keras.Model(x, inner(x))
    with training.fused_batch_norms(model):
        assert OPERATION in operations(model)


def test_subclasses_keep_their_own_call():
    x = keras.Input(SHAPE)
    model = keras.Model(x, CrossLayerDepthwiseConv2D(name="norm")([x, 2 * x]))
    with training.fused_batch_norms(model):
        assert OPERATION not in operations(model)


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_has_the_batch_norms_of_keras_after_the_block(fails, tmp_path):
    model = norm_model()
    model.compile("sgd", "mean_squared_error", jit_compile=False)
    try:
        with training.fused_batch_norms(model):
            model.fit(MAPS, MAPS, verbose=0)
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert OPERATION not in operations(model)
    assert "call" not in vars(model.get_layer("norm"))
    model.fit(MAPS, MAPS, verbose=0)
    model.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    assert type(loaded.get_layer("norm")) is keras.layers.BatchNormalization


def test_a_run_trains_with_fused_batch_norms(tmp_path):
    """Only the training has them, and not the model that it returns."""
    model, traced = norm_model(), []
    model.compile("sgd", "mean_squared_error", metrics=["mean_squared_error"], jit_compile=False)
    batches = tf.data.Dataset.from_tensors((MAPS, MAPS))
    run = training.Run(
        tmp_path,
        tf.distribute.get_strategy(),
        epochs=1,
        steps_per_epoch=1,
        batch_size=4,
        identity={},
    )
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_, **__: traced.append(operations(model))
    )
    run.fit(model, lambda first_step, shard: batches.repeat(), batches, callbacks=[look])
    assert [OPERATION in types for types in traced] == [True]
    assert OPERATION not in operations(model)


def test_fit_equals_keras():
    weights = []
    for fused in (False, True):
        keras.utils.set_random_seed(0)
        x = keras.Input((8, 8, 3))
        y = x
        for i, strides in enumerate((1, 2)):
            y = keras.layers.Conv2D(6, 3, strides, name=f"conv{i}")(y)
            y = keras.layers.BatchNormalization(name=f"bn{i}")(y)
            y = keras.layers.ReLU(name=f"relu{i}")(y)
        model = keras.Model(x, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(y)))
        model.compile(keras.optimizers.SGD(0.05), "mean_squared_error", jit_compile=False)
        images = np.random.default_rng(1).normal(size=(16, 8, 8, 3)).astype("float32")
        targets = np.random.default_rng(2).normal(size=(16, 4)).astype("float32")
        with training.fused_batch_norms(model) if fused else contextlib.nullcontext():
            model.fit(images, targets, batch_size=8, epochs=3, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for first, second in zip(*weights, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)
