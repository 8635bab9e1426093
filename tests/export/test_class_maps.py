"""Exports of networks that score every pixel: class maps in the SavedModel, mIoU in the verification."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import kapps
from kapps.export import inference_model as _inference_model
from kapps.export._class_maps import gives_class_maps, miou_agreement
from kapps.export.runtime import run
from kapps.export.tflite import file_operations
from kapps.preprocessing import Preprocessing

PIXELS = Preprocessing(size=(12, 16), crop=1.0)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 12, 16, 3)).astype("float32")
CLASSES = 4


def network(size=(12, 16), name="predictions", upsample=True):
    """A network that scores the pixels of a map of half the size, and enlarges the scores."""
    keras.utils.set_random_seed(0)
    image = keras.Input((*size, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    x = keras.layers.Conv2D(CLASSES, 1)(x)
    if upsample:
        x = keras.layers.UpSampling2D(2, interpolation="bilinear")(x)
    return keras.Model(image, keras.layers.Softmax(name=name)(x), name="pixels")


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    options = {"preprocessing": PIXELS, "class_names": list("abcd"), "verbose": 0}
    return {
        "saved_model": kapps.export.saved_model(model, folder, **options),
        "tflite": kapps.export.tflite(model, folder / "pixels.tflite", **options),
        "int8": kapps.export.tflite(
            model, folder / "int8.tflite", precision="int8", calibration=IMAGES, **options
        ),
    }


def test_which_networks_give_class_maps():
    for model, expected in [
        (network(), True),
        (network(size=(None, None)), True),
        (network(name="features"), False),
        (network(upsample=False), False),
        (network(size=(None, None), upsample=False), False),
    ]:
        reference = _inference_model.inference_model(model)
        assert gives_class_maps(reference) == expected, model.input_shape
    image = keras.Input((12, 16, 3))
    x = keras.layers.GlobalAveragePooling2D(name="predictions")(image)
    assert not gives_class_maps(_inference_model.inference_model(keras.Model(image, x)))


@pytest.mark.long
def test_signatures_return_scores_and_class_maps(files, model):
    signatures = tf.saved_model.load(str(files["saved_model"])).signatures
    outputs = signatures["serving_default"](image=tf.constant(IMAGES))
    assert set(outputs) == {"probabilities", "classes"}
    normalised = (IMAGES / 255 - PIXELS.mean) / PIXELS.std
    expected = model.predict(normalised.astype("float32"), verbose=0)
    np.testing.assert_allclose(outputs["probabilities"], expected, rtol=1e-5, atol=1e-5)
    assert outputs["classes"].dtype == tf.uint8
    np.testing.assert_array_equal(outputs["classes"], outputs["probabilities"].numpy().argmax(-1))
    encoded = [tf.io.encode_png(tf.cast(image, tf.uint8)).numpy() for image in IMAGES]
    served = signatures["serve_bytes"](image_bytes=tf.constant(encoded))
    assert served["classes"].shape == (5, 12, 16)
    np.testing.assert_allclose(served["probabilities"], expected, rtol=1e-5, atol=1e-5)
    labels = files["saved_model"] / "assets" / "labels.txt"
    assert labels.read_text(encoding="utf-8").split() == list("abcd")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["saved_model", "tflite", "int8"])
def test_verification_reports_the_agreement_of_class_maps(files, model, kind):
    report = kapps.export.verify(model, files[kind], IMAGES, preprocessing=PIXELS, verbose=0)
    assert report.agreement == ("mIoU agreement", report.miou_agreement)
    assert "mIoU agreement" in str(report)
    # Scores of a network that is not trained are close to each other, so that int8 changes more pixels.
    assert (kind == "int8" and report.miou_agreement > 0.5) or report.failure() is None
    scores = run(files[kind], IMAGES)["probabilities"]
    normalised = ((IMAGES / 255 - PIXELS.mean) / PIXELS.std).astype("float32")
    expected = model.predict(normalised, verbose=0)
    ious = []
    for number in range(CLASSES):
        ours, theirs = scores.argmax(-1) == number, expected.argmax(-1) == number
        if (ours | theirs).any():
            ious.append((ours & theirs).sum() / (ours | theirs).sum())
    assert report.miou_agreement == pytest.approx(np.mean(ious), abs=5e-3)
    bad = dataclasses.replace(report, precision="int8", miou_agreement=0.5)
    assert "mIoU agreement of 50.0%" in bad.failure() and bad.failure(min_agreement=0.4) is None


@pytest.mark.long
def test_resizing_is_a_builtin_operation(files):
    assert "RESIZE_BILINEAR" in file_operations(files["tflite"])


def test_agreement_of_class_maps_is_the_mean_iou():
    scores = np.eye(3)[np.array([[[0, 0, 1, 1]]])]
    other = np.eye(3)[np.array([[[0, 1, 1, 1]]])]
    assert miou_agreement(other, scores) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert miou_agreement(scores, scores) == 1
    assert miou_agreement(np.full_like(scores, np.nan), scores) == 0
