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


def test_history_has_a_panel_for_each_quantity(tmp_path, monkeypatch):
    rows = [
        {"epoch": 1, "loss": 2.0, "val_loss": 3.0, "learning_rate": 0.1},
        {"epoch": 2, "loss": 1.0, "val_loss": 2.5, "learning_rate": 0.05, "accuracy": 0.5},
    ]
    figures = []
    monkeypatch.setattr(training_curves, "save_figure", lambda figure, _: figures.append(figure))
    visualize.plot_history(rows, tmp_path / "curves.png")
    loss, accuracy, learning_rate = figures[0].axes
    assert [axis.get_ylabel() for axis in figures[0].axes] == ["loss", "accuracy", "learning rate"]
    assert [line.get_ydata()[-1] for line in loss.lines] == [1.0, 2.5]
    assert len(accuracy.lines) == len(learning_rate.lines) == 1
