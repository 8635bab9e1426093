"""Samples of the design spaces, and their complexity without building them."""

import csv
import itertools

import models
import numpy as np
import pytest

import kapps
from kapps.cnn.anynet import check_space
from kapps.cnn.regnet import quantised_stages
from kapps.search import design_space

SMALL = {"input_shape": (33, 32, 3), "classes": 10}
NARROW = {"depth": (1, 3), "width": (8, 64), **SMALL}

with open(models.REFERENCE / "pycls_complexity.csv", newline="", encoding="utf-8") as file:
    PYCLS = {
        row.pop("name"): {key: int(x) for key, x in row.items()} for row in csv.DictReader(file)
    }


def test_complexity_of_the_regnets_is_that_of_pycls():
    """pycls also counts the biases of the classifier and of SE blocks, and the classifier's outputs."""
    assert len(PYCLS) == 24
    for name, row in PYCLS.items():
        options = getattr(kapps, name).builder.row
        figures = design_space.complexity(options)
        channels, biases = 32, 1000
        se_ratio = options.get("se_ratio", 0)
        stages = quantised_stages(**{k: v for k, v in options.items() if k != "se_ratio"})
        for stage in stages if se_ratio else ():
            for _ in range(stage.depth):
                biases += round(se_ratio * channels) + stage.width
                channels = stage.width
        assert figures.parameters == row["params"], name
        assert figures.macs + biases == row["flops"], name
        assert figures.activations + 1000 == row["acts"], name
        assert figures.macs == kapps.card(name).macs


def test_complexity_is_that_of_the_built_model():
    """Samples of AnyNet and RegNet, of an uneven size."""
    for space in ("A", "E", "RegNetX", "RegNetY"):
        limits = (
            {"depth": (4, 6), "width": (8, 64)}
            if space.startswith("Reg")
            else {"depth": (1, 2), "width": (8, 64)}
        )
        (sample,) = design_space.sample(space, 1, seed=5, **limits, **SMALL)
        model = sample.build(weights=None)
        profile = kapps.profile(model)
        built = (profile.trainable, profile.macs, profile.convolution_outputs)
        figures = sample.complexity
        assert (figures.parameters, figures.macs, figures.activations) == built, sample
        assert model.input_shape[1:] == (33, 32, 3) and model.output_shape[1:] == (10,)


def test_samples_are_in_their_space_and_range():
    spaces = "ABCDE"
    for space in spaces:
        samples = design_space.sample(space, 15, macs=(360e6, 400e6), seed=1)
        assert len(samples) == 15
        assert all(360e6 <= x.complexity.macs <= 400e6 for x in samples)
        for x in samples:
            check_space(**x.options)
        allowed = [all(_is_in(later, x) for x in samples) for later in spaces]
        assert allowed == [later <= space for later in spaces], space


def _is_in(space, sample):
    try:
        check_space(**{**sample.options, "space": space})
    except ValueError:
        return False
    return True


def test_a_regnet_has_the_limits_of_the_paper_and_four_stages():
    for space, se_ratio in (("RegNetX", 0), ("RegNetY", 0.25)):
        samples = design_space.sample(space, 40, macs=(100e6, 1e9), parameters=(1e6, 2e7), seed=2)
        for x in samples:
            options = dict(x.options)
            assert options.pop("se_ratio") == se_ratio
            assert len(quantised_stages(**options)) == 4 and options["d"] < 64
            assert options["w_0"] < 256 and options["w_a"] < 256 and 1.5 <= options["w_m"] <= 3
            assert options["bottleneck"] in (1, 2, 4)
            assert options["group_width"] in (1, 2, 4, 8, 16, 32)
            assert 1e6 <= x.complexity.parameters <= 2e7


def test_a_seed_means_the_same_samples():
    first, again, other = (
        design_space.sample("A", 5, seed=seed, **NARROW) for seed in (2**40, 2**40, 3)
    )
    assert first == again != other
    few = design_space.sample("A", 3, seed=2**40, **NARROW)
    assert few == first[:3]


def test_draws_are_log_uniform():
    """As pycls's: each octave of a width and of a depth is about as likely, each ratio and group width equally."""
    samples = design_space.sample("A", 1500, seed=0)
    values = {
        key: np.concatenate([x.options[key] for x in samples])
        for key in ("depths", "widths", "bottlenecks", "group_widths")
    }
    low, high = np.log(4), np.log(1024)  # of the draw before it is rounded up to multiples of 8
    for width in (8, 64, 512):
        fraction = (np.log(width) - low) / (high - low)
        assert np.mean(values["widths"] <= width) == pytest.approx(fraction, abs=0.02)
    assert np.mean(values["depths"] == 1) == pytest.approx(1 / 5, abs=0.02)
    assert set(values["widths"] % 8) == {0} and max(values["widths"]) <= 1024
    for key, count in (("bottlenecks", 3), ("group_widths", 6)):
        _, counts = np.unique(values[key], return_counts=True)
        assert counts / 6000 == pytest.approx(np.full(count, 1 / count), abs=0.03)


@pytest.mark.parametrize(
    "arguments, word",
    [
        ({"space": "F"}, "space"), ({"space": "RegnetX"}, "RegNetX"), ({"macs": (2, 1)}, "macs"),
        ({"depth": (0, 1)}, "depth"), ({"width": (8,)}, "width"),
        ({"width": (9, 15)}, "width"), ({"depth": (1, 17)}, "depth"), ({"stages": 0}, "stages"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_one_line(arguments, word):
    with pytest.raises(ValueError, match=word) as raised:
        design_space.sample(**{"space": "A", "count": 1, **arguments})
    assert "\n" not in str(raised.value)


def test_a_range_without_networks_is_one_line(monkeypatch):
    monkeypatch.setattr("kapps.search.design_space.sampling.MOST_DRAWS", 50)
    with pytest.raises(ValueError, match="macs") as raised:
        design_space.sample("A", 1, macs=(1, 2))
    assert "\n" not in str(raised.value)


def test_spaces_have_the_same_draws_of_a_seed():
    """Every pair of spaces has different samples of one seed, but the same first draw of the ratios."""
    draws = {space: design_space.sample(space, 1, seed=9)[0].options for space in "ABCDE"}
    assert all(a != b for a, b in itertools.combinations(draws.values(), 2))
    assert len({options["bottlenecks"][0] for options in draws.values()}) == 1
