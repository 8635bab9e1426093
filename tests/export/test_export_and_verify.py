"""What a recipe ends with: all files of one version, and a word on each that falls short."""

import keras
import numpy as np
import pytest

import kapps
from kapps.cards import Preprocessing

PIXELS = Preprocessing(size=(8, 8), crop=1.0)
IMAGES = np.random.default_rng(0).normal(size=(60, 8, 8, 3)).astype("float32")


@pytest.fixture
def model():
    """A network whose answers differ from image to image."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(16, 3, activation="relu", name="first")(image)
    x = keras.layers.Dense(4, name="second")(keras.layers.Flatten()(x))
    return keras.Model(image, keras.layers.Softmax()(x), name="net")


@pytest.mark.long
def test_files_of_one_version(model, tmp_path):
    options = {"preprocessing": PIXELS, "class_names": "abcd", "calibration": IMAGES}
    for version in (1, 2):
        reports, faults = kapps.export.export_and_verify(
            model, tmp_path, IMAGES, precisions=["float32", "int8"], **options
        )
        names = [str(report.path.relative_to(tmp_path)) for report in reports]
        assert names == [f"net/{version}", f"net/{version}.tflite", f"net/{version}.int8.tflite"]
        assert [report.precision for report in reports] == ["float32", "float32", "int8"]
        assert faults == [] and all(report.images == 60 for report in reports)


def test_a_file_that_falls_short_names_the_layers(model, tmp_path):
    dark = IMAGES * 0.01
    reports, faults = kapps.export.export_and_verify(
        model, tmp_path, IMAGES, preprocessing=PIXELS, precisions=["int8"], calibration=dark
    )
    (fault,) = faults
    assert "1.int8.tflite (int8) agrees on" in fault and "most is lost in" in fault
    assert "first" in fault or "second" in fault
    assert "\n" not in fault and reports[1].path.exists()
