"""The last step of a recipe: all files of one version, and a line for each that fails verification."""

import keras
import numpy as np
import pytest

import kapps
from kapps.cards import Preprocessing

PIXELS = Preprocessing(size=(8, 8), crop=1.0)
IMAGES = np.random.default_rng(0).normal(size=(60, 8, 8, 3)).astype("float32")


@pytest.fixture
def model():
    """A network whose outputs differ from image to image."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(16, 3, activation="relu", name="first")(image)
    x = keras.layers.Dense(4, name="second")(keras.layers.Flatten()(x))
    return keras.Model(image, keras.layers.Softmax()(x), name="net")


@pytest.mark.long
def test_files_of_one_version(model, tmp_path):
    options = {"preprocessing": PIXELS, "class_names": list("abcd"), "calibration": IMAGES}
    for version in (1, 2):
        reports, failures = kapps.export.export_and_verify(
            model, tmp_path, IMAGES, precisions=["float32", "int8"], **options
        )
        names = [str(report.path.relative_to(tmp_path)) for report in reports]
        assert names == [f"net/{version}", f"net/{version}.tflite", f"net/{version}.int8.tflite"]
        assert [report.precision for report in reports] == ["float32", "float32", "int8"]
        assert failures == [] and all(report.examples == 60 for report in reports)


@pytest.mark.long
def test_a_failure_of_a_quantised_file_names_layers(model, tmp_path):
    dark = IMAGES * 0.01
    reports, failures = kapps.export.export_and_verify(
        model, tmp_path, IMAGES, preprocessing=PIXELS, precisions=["int8"], calibration=dark
    )
    (failure,) = failures
    assert "1.int8.tflite (int8)" in failure and "98.0%" in failure
    assert "first (" in failure or "second (" in failure
    assert "\n" not in failure and reports[1].path.exists()
