"""The plot of training curves."""

import pytest
from PIL import Image

from kapps import visualize
from kapps.visualize import training_curves


def test_every_curve_has_a_panel_with_the_others_behind_it(tmp_path, monkeypatch):
    curves = {name: [(0, 10.0), (5, 20.0 + i)] for i, name in enumerate("abcdef")}
    figures, save_figure = [], training_curves.save_figure

    def keep_and_save(figure, path):
        figures.append(figure)
        save_figure(figure, path)

    monkeypatch.setattr(training_curves, "save_figure", keep_and_save)
    visualize.plot_training_curves(curves, tmp_path / "curves.png", "seconds", "top 1 (%)")
    panels = figures[0].axes
    titles = [panel.get_title() for panel in panels[:6]]
    assert titles == [f"{name}  {20 + i}" for i, name in enumerate(curves)]
    for panel, points in zip(panels, curves.values(), strict=False):
        assert [tuple(point) for point in panel.lines[-1].get_xydata()] == points
        assert len(panel.lines) == 7
    assert [panel.axison for panel in panels[6:]] == [False] * 4
    with Image.open(tmp_path / "curves.png") as image:
        assert min(image.size) > 300


def test_no_curve_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="curves"):
        visualize.plot_training_curves({}, tmp_path / "none.png", "", "")
