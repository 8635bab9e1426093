"""Adversarial training against the losses and gradients in NumPy: noise, averages, replicas, the state of a run."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kapps import training
from kapps.training.adversarial import (
    class_numbers,
    discriminator_hinge_loss,
    generator_hinge_loss,
)
from kapps.training.checkpoint_state import list_variables

RANDOM = np.random.default_rng(0)
NOISE, PIXELS, CLASSES = 3, 4, 2


def linear_networks():
    """A generator z W + b and a discriminator x a. Neither reads the class."""
    z, label = keras.Input((NOISE,)), keras.Input((), dtype="int32")
    generator = keras.Model([z, label], keras.layers.Dense(PIXELS, name="w")(z))
    image, label = keras.Input((PIXELS,)), keras.Input((), dtype="int32")
    score = keras.layers.Dense(1, use_bias=False, name="a")(image)
    return generator, keras.Model([image, label], score)


def compiled(generator_optimizer, discriminator_optimizer, **options):
    keras.utils.set_random_seed(0)
    model = training.AdversarialModel(*linear_networks(), CLASSES, **options)
    model.compile(generator_optimizer, discriminator_optimizer, run_eagerly=True)
    return model


def batch(examples=6):
    images = RANDOM.normal(size=(examples, PIXELS)).astype("float32")
    return images, np.arange(examples, dtype="int32") % CLASSES


def test_hinge_losses():
    real, generated = np.array([[2.0], [0.5], [-1.0]]), np.array([[-3.0], [0.25], [1.0]])
    expected = np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + generated).mean()
    np.testing.assert_allclose(discriminator_hinge_loss(real, generated), expected)
    np.testing.assert_allclose(generator_hinge_loss(generated), -generated.mean())


def test_a_step_changes_each_network_by_its_own_rate_and_loss():
    """The gradients of both losses at the weights before the step, for the same generated images."""
    model = compiled(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.01), seed=5)
    (w, b), (a,) = model.generator.get_weights(), model.discriminator.get_weights()
    seeds = keras.random.SeedGenerator(5)
    x, labels = batch()
    z = keras.ops.convert_to_numpy(keras.random.normal((len(x), NOISE), seed=seeds))
    generated = z @ w + b
    logs = model.train_on_batch(x, labels, return_dict=True)
    scores = x @ a, generated @ a
    loss = np.maximum(0, 1 - scores[0]).mean() + np.maximum(0, 1 + scores[1]).mean()
    of_real, of_generated = (scores[0] < 1) * x, (scores[1] > -1) * generated
    gradient = -of_real.mean(axis=0) + of_generated.mean(axis=0)
    np.testing.assert_allclose(
        model.discriminator.get_weights()[0][:, 0], a[:, 0] - 0.01 * gradient, rtol=1e-4, atol=1e-6
    )
    after = model.generator.get_weights()
    step = 0.1 * z.mean(axis=0)[:, None] * a[:, 0]
    np.testing.assert_allclose(after[0], w + step, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after[1], b + 0.1 * a[:, 0], rtol=1e-4, atol=1e-6)
    expected = {
        "loss": loss, "generator_loss": -scores[1].mean(), "real_score": scores[0].mean(),
        "generated_score": scores[1].mean(),
    }  # fmt: skip
    assert {
        key: pytest.approx(value, rel=1e-4, abs=1e-6) for key, value in logs.items()
    } == expected


def test_labels_are_numbers_or_one_hot():
    for labels in (np.array([1, 0, 1]), np.eye(2, dtype="float32")[[1, 0, 1]]):
        numbers = class_numbers(tf.constant(labels))
        assert numbers.dtype == tf.int32 and numbers.numpy().tolist() == [1, 0, 1]


def test_evaluations_have_the_same_noise_and_another_one_in_each_batch():
    features = keras.Sequential([keras.Input((PIXELS,)), keras.layers.Dense(2)])
    model = compiled(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), features=features)
    x, labels = batch(8)
    first, again = (
        model.evaluate(x, labels, batch_size=4, verbose=0, return_dict=True) for _ in range(2)
    )
    assert first == again and first["feature_distance"] > 0
    x[4:], labels[4:] = x[:4], labels[:4]  # of two equal batches
    once = model.evaluate(x[:4], labels[:4], batch_size=4, verbose=0, return_dict=True)
    twice = model.evaluate(x, labels, batch_size=4, verbose=0, return_dict=True)
    assert once["generated_score"] != pytest.approx(twice["generated_score"], rel=1e-6)
    assert not features.trainable_variables and len(model.trainable_variables) == 3


def test_an_epoch_ends_with_the_metrics_of_all_its_steps():
    """Keras reads them at the end of an epoch if they have the names of the last step's: see `Checkpoints`."""
    features = keras.Sequential([keras.Input((PIXELS,)), keras.layers.Dense(2)])
    model = compiled(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), features=features)
    x, labels = batch()
    logs = model.train_on_batch(x, labels, return_dict=True)
    assert set(model.get_metrics_result()) == set(logs)
    model.reset_metrics()
    logs = model.test_on_batch(x, labels, return_dict=True)
    assert set(model.get_metrics_result()) == set(logs) and "feature_distance" in logs


def test_the_generator_ends_as_the_average_of_its_weights():
    x, labels = batch()
    averaged = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    models = [
        compiled(sgd, keras.optimizers.SGD(0.01)) for sgd in (averaged, keras.optimizers.SGD(0.1))
    ]
    weights, average = [], None
    for epoch in range(3):
        models[1].fit(x, labels, batch_size=6, epochs=1, shuffle=False, verbose=0)
        weights.append(models[1].generator.get_weights()[0])
        average = weights[0] if average is None else 0.5 * average + 0.5 * weights[epoch]
    models[0].fit(x, labels, batch_size=6, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(models[0].generator.get_weights()[0], average, rtol=1e-4, atol=1e-6)
    of_discriminator = [model.discriminator.get_weights()[0] for model in models]
    np.testing.assert_allclose(*of_discriminator, rtol=1e-5, atol=1e-6)


def test_the_state_of_a_run_has_both_optimizers_and_the_random_state():
    adam = [keras.optimizers.Adam(1e-3, use_ema=True), keras.optimizers.Adam(4e-3)]
    model = compiled(*adam)
    listed = {id(variable) for variable in list_variables(model)}
    for optimizer in adam:
        assert optimizer.variables and {id(variable) for variable in optimizer.variables} <= listed
    assert id(model.seeds.state) in listed
    assert {id(variable) for variable in model.trainable_variables} <= listed


TWO_REPLICAS = r"""
import sys
import keras, numpy as np, tensorflow as tf
from kapps import training
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
y = np.arange(8, dtype="int32") % 2

def trained(strategy, **options):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        z, label = keras.Input((3,)), keras.Input((), dtype="int32")
        image = keras.layers.Dense(4)(keras.layers.Rescaling(0.0)(z))
        generator = keras.Model([z, label], image)
        image, label = keras.Input((4,)), keras.Input((), dtype="int32")
        discriminator = keras.Model([image, label], keras.layers.Dense(1)(image))
        model = training.AdversarialModel(generator, discriminator, 2)
        average = {"use_ema": True, "ema_momentum": 0.5}
        model.compile(keras.optimizers.Adam(0.1, **average), keras.optimizers.SGD(0.1), **options)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    with training.replica_workarounds(model, strategy):
        model.fit(data, epochs=3, shuffle=False, verbose=0)
        logs = model.evaluate(data, verbose=0, return_dict=True)
    return model.get_weights(), logs

mirrored = training.make_strategy("mirrored")
assert mirrored.num_replicas_in_sync == 2
one, two = trained(tf.distribute.get_strategy(), run_eagerly=True), trained(mirrored)
logs = [list(values.values()) for _, values in (one, two)]
print("\nequal", all(np.allclose(a, b, atol=1e-5) for a, b in zip(one[0], two[0])), np.allclose(*logs, atol=1e-5))
"""


@pytest.mark.long
def test_two_replicas_train_as_one(forked):
    """The images do not depend on the noise, which is another one on each replica."""
    assert "\nequal True True" in forked(TWO_REPLICAS)
