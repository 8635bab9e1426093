"""Error distributions, bootstrap and distances, on samples and on two real populations of networks."""

import csv

import numpy as np
import pytest
import scipy.stats

from kapps.search import design_space


def errors_of(count, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(30 + shift, 5, count)


def test_edf_is_the_share_of_smaller_errors():
    result = design_space.edf([3.0, 1.0, 2.0, 2.0])
    assert list(result.errors[:3]) == [1, 2, 3] and result.errors[3] > 3
    assert list(result.fraction) == [0, 0.25, 0.75, 1]
    assert (result.count, result.minimum, result.mean) == (4, 1, 2)
    assert (result.low <= result.fraction).all() and (result.fraction <= result.high).all()


def test_band_holds_other_samples_of_the_population():
    """At its median the fraction of a sample is binomial: the band has two deviations on each side."""
    errors = errors_of(500)
    result = design_space.edf(errors)
    middle = np.abs(result.fraction - 0.5).argmin()
    deviation = (0.25 / 500) ** 0.5
    width = result.high[middle] - result.low[middle]
    assert width == pytest.approx(2 * 1.96 * deviation, rel=0.15)
    narrow = design_space.edf(errors, level=0.5)
    assert (narrow.high - narrow.low)[middle] == pytest.approx(2 * 0.674 * deviation, rel=0.2)
    again = design_space.edf(errors)
    assert (again.low == result.low).all() and (again.high == result.high).all()
    inside = []
    for seed in range(1, 40):
        other = np.sort(errors_of(500, seed))
        fraction = np.searchsorted(other, result.errors[middle]) / 500
        inside.append(result.low[middle] <= fraction <= result.high[middle])
    assert (
        np.mean(inside) > 0.6
    )  # the band is that of one sample, whose own fraction is not the population's


def test_distance_equals_scipy_s():
    for count, other, shift in [(50, 50, 0.0), (30, 200, 3.0), (10, 10, 50.0)]:
        first, second = errors_of(count), errors_of(other, 1, shift)
        expected = scipy.stats.ks_2samp(first, second).statistic
        assert design_space.ks_distance(first, second) == pytest.approx(expected, abs=1e-12)
    ties = ([1, 1, 2, 3], [1, 2, 2, 2])
    assert design_space.ks_distance(*ties) == scipy.stats.ks_2samp(*ties).statistic == 0.25


def test_bootstrap_finds_the_values_of_the_best_networks():
    """Error is least at depth 20: the interval lies around it, and it is wide for a parameter without influence."""
    random = np.random.default_rng(0)
    depths, noise = random.integers(1, 64, 500), random.normal(0, 1, 500)
    errors = 30 + 0.05 * np.abs(depths - 20) ** 1.5 + noise
    low, median, high = design_space.bootstrap_best(depths, errors, repeats=2000)
    assert 10 <= low <= median <= high <= 30
    low, _, high = design_space.bootstrap_best(random.integers(1, 64, 500), errors, repeats=2000)
    assert high - low > 20
    assert design_space.bootstrap_best([7], [1.0]) == (7, 7, 7)


@pytest.mark.parametrize(
    "call",
    [
        lambda: design_space.edf([]),
        lambda: design_space.edf([1.0, float("nan")]),
        lambda: design_space.edf([1.0], level=1.0),
        lambda: design_space.edf([1.0], repeats=0),
        lambda: design_space.ks_distance([1.0], []),
        lambda: design_space.bootstrap_best([1.0, 2.0], [1.0]),
        lambda: design_space.bootstrap_best([1.0], [1.0], fraction=0.0),
    ],
)
def test_arguments_that_do_not_fit_are_one_line(call):
    with pytest.raises(ValueError) as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.fixture(scope="module")
def cells(shared_data):
    """The cells of NAS-Bench-201 and their errors after 200 epochs on CIFAR-10."""
    with open(shared_data("nasbench", "nasbench201.csv"), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row["cell"] for row in rows], 100 - np.array(
        [float(x["cifar10_test_200"]) for x in rows]
    )


@pytest.fixture(scope="module")
def networks(shared_data):
    """The networks of NAS-Bench-Macro and their errors on CIFAR-10."""
    with open(shared_data("nasbench", "nasbench_macro.csv"), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    errors = 100 - np.array([float(row["mean"]) for row in rows])
    return [row["blocks"] for row in rows], errors


def test_populations_of_nas_bench_201(cells):
    """The spaces within it: number of cells, least, mean and median error."""
    names, errors = cells
    spaces = {
        "all": (lambda cell: True, 15_625, 5.63, 12.94, 9.25),
        "without none": (lambda cell: "0" not in cell, 4_096, 5.63, 10.55, 8.62),
        "two 3x3": (lambda cell: cell.count("3") >= 2, 5_385, 5.63, 8.83, 7.74),
        "without none and pooling": (lambda cell: not set(cell) & set("04"), 729, 5.63, 7.72, 7.11),
    }
    means = []
    for name, (keep, count, least, mean, median) in spaces.items():
        space = errors[[keep(cell) for cell in names]]
        result = design_space.edf(space, repeats=200)
        assert result.count == count, name
        figures = (result.minimum, result.mean, float(np.median(space)))
        assert figures == pytest.approx((least, mean, median), abs=0.006), name
        middle = np.searchsorted(result.errors, median)
        assert 0.45 < result.fraction[middle] < 0.55
        means.append(result.mean)
    assert means == sorted(means, reverse=True)
    whole = design_space.ks_distance(errors, errors[[cell.count("3") >= 2 for cell in names]])
    assert whole > 0.2


def test_distances_of_samples_to_their_population(cells):
    """Median and 95 % of the distance of n samples: fifty networks only show differences above 0.2."""
    _, errors = cells
    random = np.random.default_rng(0)
    for count, median, most in [
        (25, 0.16, 0.28),
        (50, 0.11, 0.19),
        (100, 0.08, 0.14),
        (500, 0.04, 0.06),
    ]:
        distances = [
            design_space.ks_distance(random.choice(errors, count), errors) for _ in range(200)
        ]
        assert np.quantile(distances, [0.5, 0.95]) == pytest.approx([median, most], abs=0.015)


def test_populations_of_nas_bench_macro(networks):
    names, errors = networks
    blocks = np.array([[int(x) > 0 for x in name] for name in names])
    spaces = [
        (slice(None), 6_561, 6.87, 9.75), (blocks.sum(axis=1) >= 6, 3_072, 6.87, 8.28),
        (blocks[:, :4].sum(axis=1) >= blocks[:, 4:].sum(axis=1), 4_241, 6.87, 9.31),
        (blocks[:, :4].sum(axis=1) <= blocks[:, 4:].sum(axis=1), 4_241, 6.89, 10.07),
    ]  # fmt: skip
    for keep, count, least, mean in spaces:
        result = design_space.edf(errors[keep], repeats=100)
        assert result.count == count
        assert (result.minimum, result.mean) == pytest.approx((least, mean), abs=0.006)
    assert design_space.bootstrap_best(blocks.sum(axis=1), errors, repeats=500)[1] >= 7  # of 8
    # The best of m sampled networks has a rank above k of n with the probability (1 - k / n)^m.
    ranks, sampled = errors.argsort().argsort(), int(0.01 * 6_561)
    expected = [6_561 * (1 - (1 - x) ** (1 / sampled)) for x in (0.025, 0.5, 0.975)]
    assert design_space.bootstrap_best(ranks, errors, fraction=0.01) == pytest.approx(
        expected, rel=0.1, abs=1
    )
