"""One line on standard error for each phase of an export."""

import re

import keras
import numpy as np
import pytest

import kapps
from kapps.export._progress import phase


@pytest.fixture
def model():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(image), name="net")


def test_each_phase_is_a_line_on_standard_error(model, tmp_path, capsys):
    path = kapps.export.tflite(model, tmp_path / "net.tflite", preprocessing=False)
    kapps.export.verify(model, path, np.ones((1, 8, 8, 3)), preprocessing=False)
    output, error = capsys.readouterr()
    lines = error.splitlines()
    assert output == "" and len(lines) == 2
    assert re.fullmatch(r"Exporting net as a TFLite file in float32 \.\.\. \d+\.\d s", lines[0])
    assert re.fullmatch(r"Verifying .*net\.tflite \.\.\. \d+\.\d s", lines[1])


@pytest.mark.long
def test_verbose_0_prints_nothing(model, tmp_path, capfd):
    path = kapps.export.saved_model(model, tmp_path, verbose=0)
    kapps.export.verify(model, path, np.ones((1, 8, 8, 3)), verbose=0)
    assert capfd.readouterr() == ("", "")


def test_a_failed_phase_ends_its_line(capsys):
    with pytest.raises(ValueError, match="no space"), phase("Exporting net"):
        raise ValueError("no space")
    assert capsys.readouterr().err == "Exporting net ... failed\n"
