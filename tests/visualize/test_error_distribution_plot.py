"""The plot of error distributions."""

import numpy as np
import pytest

from kapps import visualize
from kapps.search import design_space


def test_every_population_has_a_line_and_a_band(tmp_path):
    random = np.random.default_rng(0)
    populations = {"A": random.normal(40, 5, 50), "E": random.normal(36, 4, 500)}
    distributions = {name: design_space.edf(errors) for name, errors in populations.items()}
    for most in (None, 60.0):
        path = tmp_path / f"errors_{most}.png"
        visualize.plot_error_distributions(distributions, path, most=most)
        assert path.stat().st_size > 10_000
    with pytest.raises(ValueError, match="distributions"):
        visualize.plot_error_distributions({}, tmp_path / "none.png")
