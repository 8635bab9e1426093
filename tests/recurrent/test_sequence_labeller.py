"""Sequence labelling in LiteRT."""

import pytest
from small_networks import build, random_inputs

import kapps


@pytest.mark.long
@pytest.mark.tensorflow
def test_tflite_has_segments_with_its_own_operations(tmp_path):
    model = build("segments")
    path = kapps.export.tflite(model, tmp_path / "net.tflite", length=6)
    report = kapps.export.verify(model, path, random_inputs(model, batch=3))
    assert report.largest_difference < 1e-5 and report.largest_value > 0.1
