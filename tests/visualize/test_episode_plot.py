"""The plot of episodes of few-shot classification."""

import numpy as np
import pytest

from kapps import visualize


def test_a_plot_has_the_examples_the_query_and_the_bars_of_each_episode(tmp_path):
    random, path = np.random.default_rng(0), tmp_path / "episodes.svg"
    examples, queries = random.random((2, 3, 4, 4)), random.random((2, 4, 4))
    visualize.plot_episodes(examples, queries, [0, 2], random.random((2, 3)), path)
    assert path.read_text(encoding="utf-8").count('<g id="axes_') == 2 * (3 + 2)
    with pytest.raises(ValueError, match="empty"):
        visualize.plot_episodes([], [], [], [], path)
