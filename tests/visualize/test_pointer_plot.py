"""The plot of the answers of a pointer network."""

import pytest

from kapps import visualize


def test_a_plot_has_a_panel_for_each_set(tmp_path):
    points = [[[0, 0], [1, 0], [0, 1], [0.2, 0.2]]] * 5
    answers, exact = [[0, 1, 2], [0, 1, 3], [3], [], [2, 1, 0]], [[0, 1, 2]] * 5
    path = tmp_path / "pointers.svg"
    visualize.plot_pointers(points, answers, path, expected=exact)
    text = path.read_text(encoding="utf-8")
    assert text.count('<g id="axes_') == 5
    visualize.plot_pointers(points[:1], answers[:1], path)
    assert path.read_text(encoding="utf-8").count('<g id="axes_') == 1
    with pytest.raises(ValueError, match="empty"):
        visualize.plot_pointers([], [], path)
