"""Metrics and loss of segmentation equal those of a NumPy confusion matrix; void pixels do not count."""

import keras
import numpy as np
import pytest

from kapps import training
from kapps.training import losses, segmentation_losses, segmentation_metrics

CLASSES = 4


@pytest.fixture
def batches():
    """Batches of (labels, scores); class 3 is in neither, and some pixels are void."""
    random = np.random.default_rng(0)
    labels = random.choice([0, 1, 2, 255], (3, 2, 5, 6), p=[0.5, 0.3, 0.1, 0.1])
    scores = random.normal(size=(3, 2, 5, 6, CLASSES)).astype("float32")
    scores[..., 3] = -9
    return list(zip(labels, scores, strict=True))


def reference(batches):
    """Returns the confusion matrix, counted pixel by pixel."""
    confusion = np.zeros((CLASSES, CLASSES), int)
    for labels, scores in batches:
        for label, values in zip(labels.reshape(-1), scores.reshape(-1, CLASSES), strict=True):
            if label != 255:
                confusion[label, values.argmax()] += 1
    return confusion


def test_metrics_equal_the_formulas_on_the_whole_dataset(batches):
    confusion = reference(batches)
    ious = [
        confusion[i, i] / (confusion[i].sum() + confusion[:, i].sum() - confusion[i, i])
        for i in range(3)
    ]
    mean_iou, accuracy = training.MeanIoU(CLASSES), training.PixelAccuracy(CLASSES)
    for metric, expected in (
        (mean_iou, np.mean(ious)),
        (accuracy, np.trace(confusion) / confusion.sum()),
    ):
        for _ in range(2):  # the second time after a reset
            metric.reset_state()
            for labels, scores in batches:
                metric.update_state(labels, scores)
            assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(mean_iou.confusion), confusion)
    labels, scores = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    np.testing.assert_array_equal(
        training.confusion_matrix(labels, scores.argmax(-1), CLASSES), confusion
    )
    np.testing.assert_allclose(training.class_ious(confusion), [*ious, np.nan])
    result = training.segmentation_scores(confusion)
    assert result["mean_iou"] == pytest.approx(np.mean(ious))
    labelled = confusion.sum(1)[:3]
    assert result["mean_accuracy"] == pytest.approx(np.mean(np.diag(confusion)[:3] / labelled))


def test_metrics_equal_those_of_keras(batches):
    ours = training.MeanIoU(CLASSES)
    theirs = keras.metrics.MeanIoU(CLASSES, ignore_class=255, sparse_y_pred=False)
    for labels, scores in batches:
        ours.update_state(labels, scores)
        theirs.update_state(labels, scores)
    assert float(ours.result()) == pytest.approx(float(theirs.result()), rel=1e-6)


def test_counts_are_exact_beyond_the_integers_of_float32():
    metric = training.PixelAccuracy(2)
    metric.confusion.assign(np.array([[2**24, 0], [0, 0]]))
    metric.update_state(np.zeros((1, 1, 1), int), np.array([[[[1.0, 0.0]]]]))
    assert int(keras.ops.convert_to_numpy(metric.confusion)[0, 0]) == 2**24 + 1


def test_only_void_is_zero_and_not_nan():
    labels, scores = np.full((1, 2, 2), 255), np.ones((1, 2, 2, CLASSES), "float32")
    for metric in (training.MeanIoU(CLASSES), training.PixelAccuracy(CLASSES)):
        metric.update_state(labels, scores)
        assert float(metric.result()) == 0
    assert float(losses.SegmentationCrossentropy(CLASSES)(labels, scores)) == 0
    assert training.segmentation_scores(np.zeros((2, 2), int))["mean_iou"] == 0


@pytest.mark.parametrize("weights", [None, (0.5, 2.0, 1.0, 3.0)])
def test_loss_is_the_weighted_mean_of_the_pixels_with_a_class(batches, weights):
    labels, scores = batches[0]
    exponentials = np.exp(scores.astype("float64"))
    probabilities = exponentials / exponentials.sum(-1, keepdims=True)
    has_class = labels != 255
    rows = probabilities[has_class]
    true = labels[has_class]
    factors = np.array(weights or (1.0,) * CLASSES)[true]
    expected = np.sum(-factors * np.log(rows[np.arange(len(true)), true])) / factors.sum()
    loss = losses.SegmentationCrossentropy(CLASSES, weights)
    assert float(loss(labels, scores)) == pytest.approx(expected, rel=1e-5)
    loss = losses.SegmentationCrossentropy(CLASSES, weights, from_logits=False)
    assert float(loss(labels, probabilities.astype("float32"))) == pytest.approx(expected, rel=1e-4)
    copy = losses.SegmentationCrossentropy.from_config(loss.get_config())
    assert copy.get_config() == loss.get_config()


@pytest.mark.parametrize("jaccard", [0.0, 0.5])
def test_jaccard_loss_is_the_formula_over_the_classes_that_occur(batches, jaccard):
    labels, scores = batches[0]
    exponentials = np.exp(scores.astype("float64"))
    probabilities = exponentials / exponentials.sum(-1, keepdims=True)
    rows, true = probabilities[labels != 255], labels[labels != 255]
    ious = []
    for number in np.unique(true):  # class 3 does not occur
        p, t = rows[:, number], true == number
        ious.append(np.sum(p * t) / np.sum(p + t - p * t))
    weights = (0.5, 2.0, 1.0, 3.0)
    crossentropy = float(losses.SegmentationCrossentropy(CLASSES, weights)(labels, scores))
    expected = crossentropy + jaccard * (1 - np.mean(ious))
    loss = segmentation_losses.SegmentationJaccard(CLASSES, weights, jaccard=jaccard)
    assert len(ious) == 3 and float(loss(labels, scores)) == pytest.approx(expected, rel=1e-5)
    copy = segmentation_losses.SegmentationJaccard.from_config(
        loss.get_config() | {"from_logits": False}
    )
    assert copy.jaccard == jaccard
    assert float(copy(labels, probabilities.astype("float32"))) == pytest.approx(expected, rel=1e-4)
    void = np.full_like(labels, 255)
    assert float(loss(void, scores)) == 0
    with pytest.raises(ValueError, match="jaccard=-1"):
        segmentation_losses.SegmentationJaccard(CLASSES, jaccard=-1)


def test_median_frequency_weights_are_those_of_the_formula():
    # Class 0: 30 of 100 pixels; class 1: 10 of 100; class 2: 5 of 10; class 3 does not occur.
    counts = np.array([[30, 10, 5, 0], [100, 100, 10, 0]])
    weights = (1.0, 3.0, 0.6, 0.0)
    assert training.median_frequency_weights(counts) == pytest.approx(weights)
    roots = np.sqrt(weights)
    assert training.median_frequency_weights(counts, 0.5) == pytest.approx(roots)


def network(activation="softmax", name="predictions"):
    image = keras.Input((4, 6, 3))
    x = keras.layers.Conv2D(CLASSES, 3, padding="same", name="logits")(image)
    return keras.Model(image, keras.layers.Activation(activation, name=name)(x), name="net")


@pytest.mark.parametrize("activation", ["softmax", pytest.param("linear", marks=pytest.mark.long)])
def test_compiled_network_shares_weights_and_learns(activation):
    keras.utils.set_random_seed(0)
    model = network(activation)
    trained = training.compile_segmenter(
        model,
        keras.optimizers.Adam(0.05),
        class_weights=(1.0, 1.0, 1.0, 1.0),
        jaccard=float(activation == "softmax"),
    )
    assert isinstance(trained.loss, training.SegmentationJaccard) == (activation == "softmax")
    images = np.random.default_rng(0).uniform(-1, 1, (8, 4, 6, 3)).astype("float32")
    labels = (images[..., 0] > 0).astype("int32")
    labels[:, 0] = 255
    before = trained.evaluate(images, labels, verbose=0, return_dict=True)
    trained.fit(images, labels, epochs=30, batch_size=4, verbose=0)
    after = trained.evaluate(images, labels, verbose=0, return_dict=True)
    assert set(after) == {"loss", "pixel_accuracy", "mean_iou"}
    assert after["loss"] < before["loss"] and after["pixel_accuracy"] > 0.9
    maps = np.asarray(model.predict(images, verbose=0)).argmax(-1)
    confusion = training.confusion_matrix(labels, maps, CLASSES)
    expected = training.segmentation_scores(confusion)
    assert after["mean_iou"] == pytest.approx(expected["mean_iou"], rel=1e-5)


def test_other_networks_and_arrays_raise():
    optimizer = keras.optimizers.SGD()
    with pytest.raises(ValueError, match="no layer 'predictions'"):
        training.compile_segmenter(network(name="scores"), optimizer)
    image = keras.Input((4, 6, 3))
    x = keras.layers.Conv2D(2, 3, name="predictions")(image)  # smaller than the image
    with pytest.raises(ValueError, match="each pixel"):
        training.compile_segmenter(keras.Model(image, x), optimizer)
    with pytest.raises(ValueError, match="2 weights"):
        losses.SegmentationCrossentropy(2, (1.0, 1.0, 1.0))
    with pytest.raises(ValueError):
        losses.SegmentationCrossentropy(2, (1.0, -1.0))
    with pytest.raises(ValueError):
        training.confusion_matrix(np.zeros((2, 2), int), np.zeros((2, 3), int), 2)
    with pytest.raises(ValueError):
        training.confusion_matrix(np.zeros(2, int), np.full(2, 5), 2)
    with pytest.raises(ValueError):
        segmentation_metrics.class_ious(np.zeros((2, 3)))
