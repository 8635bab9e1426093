"""The plot of accuracy against costs."""

import pytest

from kapps import visualize
from kapps.analysis import published_results


def test_every_network_with_a_profile_has_a_point(profile, tmp_path):
    profiles = {"resnet50": profile, "regnety_004": profile, "none": profile}
    points = published_results.accuracy_points(profiles)
    assert [(point["network"], point["top1"]) for point in points] == [
        ("ResNet 50", 76.15),
        ("RegNetY 400MF", pytest.approx(74.1)),
    ]
    assert points[0]["macs"] == profile.macs and points[0]["parameters"] == profile.trainable
    visualize.plot_accuracy(points, tmp_path / "accuracy.png")
    assert (tmp_path / "accuracy.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="points"):
        visualize.plot_accuracy([], tmp_path / "accuracy.png")
