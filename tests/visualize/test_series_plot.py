"""Plots of text and time series."""

import pytest

from kapps import visualize


def test_lines_and_levels_are_plotted(tmp_path):
    lines = {"network": ([1, 2, 3], [9.0, 5.0, 4.0]), "baseline": ([1, 2, 3], [9.0, 8.0, 7.0])}
    for logarithmic in (False, True):
        path = tmp_path / f"lines_{logarithmic}.png"
        visualize.plot_lines(
            lines, path, "epoch", "perplexity", logarithmic=logarithmic, levels={"bigrams": 6.0}
        )
        assert path.stat().st_size > 10_000


def test_predictions_have_a_panel_each(tmp_path):
    series = (range(4), [0.0, 1.0, 0.0, 1.0])
    panels = {name: {"series": series, "1 ahead": ([2, 3], [0.1, 0.9])} for name in ("lstm", "tcn")}
    visualize.plot_predictions(panels, tmp_path / "series.png", "t", "value", test_start=2)
    assert (tmp_path / "series.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "plot, argument",
    [
        (visualize.plot_lines, "lines"),
        (visualize.plot_predictions, "panels"),
    ],
)
def test_nothing_to_plot_is_an_error(plot, argument, tmp_path):
    with pytest.raises(ValueError, match=argument):
        plot({}, tmp_path / "none.png", "x", "y")
