"""The plots of architecture searches."""

import numpy as np
import pytest

from kapps import visualize


def test_plots_of_regret_and_of_all_evaluations(tmp_path):
    random = np.random.default_rng(0)
    curves = {
        name: np.sort(random.random((5, 30)))[:, ::-1] for name in ("random", "evolution", "rena")
    }
    curves["evolution"][:, -5:] = 0.0  # all searches have the best network: no logarithm
    visualize.plot_regret(curves, tmp_path / "regret.png")
    points = {"random": [(1e5, 70.0), (2e5, 80.0)], "evolution": [(3e5, 75.0)], "rena": []}
    visualize.plot_evaluations(points, tmp_path / "all.png")
    for name in ("regret", "all"):
        assert (tmp_path / f"{name}.png").stat().st_size > 5000


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda path: visualize.plot_regret({}, path), "empty"),
        (lambda path: visualize.plot_regret({"random": [1.0, 2.0]}, path), "seeds"),
        (lambda path: visualize.plot_evaluations({"random": []}, path), "empty"),
    ],
)
def test_nothing_to_plot(tmp_path, call, words):
    with pytest.raises(ValueError, match=words):
        call(tmp_path / "plot.png")
