"""Compound scaling: the formula, and how the published networks differ from it."""

import pytest

import kapps
from kapps.search import compound_scale


def test_formula():
    assert compound_scale(1).macs == pytest.approx(1.2 * 1.1**2 * 1.15**2)
    scale = compound_scale(3)
    assert (scale.depth, scale.width, scale.resolution) == pytest.approx((1.728, 1.331, 1.520875))
    sides = [compound_scale(phi).pixels for phi in (1, 2, 3, 4, 5, 6, 7)]
    assert sides == pytest.approx([258, 296, 341, 392, 451, 518, 596], abs=0.5)
    other = compound_scale(-2, alpha=2.0, beta=1.0, gamma=1.5, pixels=90)
    assert (other.depth, other.width, other.pixels) == (0.25, 1, 40)


def test_published_networks_differ_from_the_formula():
    """The formula's channels and blocks agree for B1 to B3; the later networks are larger than it says."""
    published = {0.5: "b1", 1: "b2", 2: "b3", 3: "b4", 4: "b5", 5: "b6", 6: "b7"}
    larger = []
    for phi, name in published.items():
        scale = compound_scale(phi)
        builder = getattr(kapps, f"efficientnet_{name}")
        row = builder.builder.row
        assert scale.published == builder.__name__
        assert scale.published_width == row["width_coefficient"]
        assert scale.published_depth == row["depth_coefficient"]
        assert scale.published_pixels == builder.card.input_shape[0]
        assert scale.published in scale.difference and "\n" not in scale.difference
        larger.append(scale.published_pixels > 1.02 * scale.pixels)
        assert scale.published_width == pytest.approx(scale.width, abs=0.24)
    assert larger == [False] * 3 + [True] * 4
    assert compound_scale(0).published_pixels == 224


def test_other_scales_have_no_published_network():
    for scale in (compound_scale(2.5), compound_scale(1, alpha=1.3), compound_scale(1, pixels=32)):
        assert scale.published is None and scale.difference.count("pixels") == 1


def test_factors_that_are_not_positive_are_one_line():
    with pytest.raises(ValueError, match="alpha"):
        compound_scale(1, alpha=0.0)
