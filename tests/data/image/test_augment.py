"""Augmentation depends only on its seed, and follows the papers."""

import numpy as np
import pytest
import tensorflow as tf

from kapps.data.image import _augment_operations, augment

SEED = tf.constant([5, 7], tf.int64)
IMAGES = tf.repeat(tf.repeat(tf.range(64.0)[:, None, None, None], 16, 1), 16, 2)
LABELS = tf.one_hot(range(64), 64)


@pytest.mark.parametrize(
    "options", [{"mixup": 0.2}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0}], ids=str
)
def test_labels_are_mixed_as_the_images_are(options):
    images, labels = augment.mix_batch(IMAGES, LABELS, SEED, **options)
    # All pixels of image i are i, so the mean of a mixed image is the mean class of its label.
    np.testing.assert_allclose(
        tf.reduce_mean(images, [1, 2, 3]), labels.numpy() @ np.arange(64.0), atol=1e-3
    )
    np.testing.assert_allclose(tf.reduce_sum(labels, 1), 1, rtol=1e-5)
    assert not np.array_equal(labels, LABELS)
    again = augment.mix_batch(IMAGES, LABELS, SEED, **options)
    np.testing.assert_array_equal(images, again[0])
    other = augment.mix_batch(IMAGES, LABELS, SEED + 1, **options)
    assert not np.array_equal(images, other[0])


def test_cutmix_replaces_a_rectangle_and_mixup_blends_whole_images():
    images, _ = augment.mix_batch(IMAGES, LABELS, SEED, cutmix=1.0)
    for index, image in enumerate(images.numpy()[..., 0]):
        replaced = image != index
        assert len(np.unique(image)) <= 2
        rows, columns = np.flatnonzero(replaced.any(1)), np.flatnonzero(replaced.any(0))
        assert replaced.sum() == len(rows) * len(columns)
    images, _ = augment.mix_batch(IMAGES, LABELS, SEED, mixup=0.2)
    assert all(len(np.unique(image)) == 1 for image in images.numpy())


def test_mixing_weights_follow_the_beta_distribution():
    for alpha in (0.2, 1.0):
        samples = augment._sample_beta(alpha, 20000, SEED).numpy()
        assert abs(samples.mean() - 0.5) < 0.01
        assert abs(samples.var() - 1 / (4 * (2 * alpha + 1))) < 0.005
    assert np.isfinite(augment._sample_beta(1e-3, 1000, SEED)).all()


def test_a_batch_is_unchanged_without_mixup_and_cutmix():
    images, labels = augment.mix_batch(IMAGES, LABELS, SEED)
    assert images is IMAGES and labels is LABELS


def test_a_random_shift_is_at_most_an_eighth():
    image = tf.ones([16, 16, 1])
    areas = [
        int(tf.reduce_sum(augment.random_shift(image, tf.constant([0, i], tf.int64))))
        for i in range(60)
    ]
    assert min(areas) == 14 * 14 and max(areas) == 16 * 16


@pytest.mark.long
def test_rand_augment_has_no_stateful_operation_and_changes_images():
    rand_augment = augment.make_rand_augment(0.5)
    apply = tf.function(lambda image, seed: rand_augment(image, seed))
    noise = tf.random.stateless_uniform([24, 24, 3], [1, 2], 0, 255)
    graph = apply.get_concrete_function(noise, SEED).graph
    nodes = [
        node for function in graph.as_graph_def().library.function for node in function.node_def
    ]
    stateful = (
        "RandomUniform",
        "RandomUniformInt",
        "RandomStandardNormal",
        "StatefulUniform",
        "RngReadAndSkip",
    )
    assert nodes and not [node.name for node in nodes if node.op in stateful]
    seeds = [tf.constant([0, i], tf.int64) for i in range(12)]
    first, second = ([apply(noise, seed).numpy() for seed in seeds] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len({image.tobytes() for image in first}) > 8
    assert min(map(np.min, first)) >= 0 and max(map(np.max, first)) <= 255


@pytest.mark.parametrize("count", [10, pytest.param(150, marks=pytest.mark.long)])
def test_rand_augment_has_the_pixels_of_keras_cv(count, monkeypatch):
    """The operations that replace slower ones of keras_cv give its values within a hundredth of a grey level."""
    rand_augment = augment.make_rand_augment()
    monkeypatch.setattr(_augment_operations, "install", lambda layer: None)
    expected = augment.make_rand_augment()
    random = np.random.default_rng(3)
    for number in range(count):
        image = random.uniform(0, 255, (20, 28, 3)).astype("float32")
        image = tf.constant(image if number % 2 else np.round(image / 4))
        seed = tf.constant([number, 5], tf.int64)
        pixels = rand_augment(image, seed)
        np.testing.assert_allclose(pixels, expected(image, seed), atol=0.01)


def test_a_channel_of_one_value_is_unchanged():
    image = tf.fill([6, 8, 3], 77.0)
    np.testing.assert_array_equal(_augment_operations.stretch_contrast(image), image)
    np.testing.assert_array_equal(_augment_operations.equalize(image), image)
