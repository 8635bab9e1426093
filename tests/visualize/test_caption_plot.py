"""The plot of captions with the attention weights of each word."""

import numpy as np
import pytest

from kapps import visualize
from kapps.visualize.caption_plot import enlarge


def test_each_word_has_a_panel_and_weights_change_its_brightness(tmp_path):
    from matplotlib import image as matplotlib_image

    images = [np.full((12, 12, 1), 255, np.uint8), np.full((8, 10, 3), 0.5)]
    words = [["a", "small", "seven"], [f"word{i}" for i in range(8)]]
    brightness = []
    for value in (0.0, 1.0):
        weights = [np.full((len(row), 3, 3), value) for row in words]
        for maps in weights:
            maps[:, 0, 0] = 1
        path = tmp_path / f"{value}.png"
        visualize.plot_caption(images, words, weights, path)
        brightness.append(matplotlib_image.imread(path)[..., :3].mean())
    assert brightness[1] > brightness[0] + 0.02
    visualize.plot_caption(images, words, weights, tmp_path / "a.svg")
    svg = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert all(word in svg for row in words for word in row[:8])


def test_maps_are_enlarged_bilinearly():
    np.testing.assert_allclose(
        enlarge(np.array([[0.0, 1.0]]), (1, 4)), [[0, 0.25, 0.75, 1]], rtol=1e-6, atol=1e-6
    )
    assert enlarge(np.ones((2, 3)), (5, 7)).tolist() == np.ones((5, 7)).tolist()


def test_wrong_arguments_are_errors(tmp_path):
    scene = np.zeros((4, 4, 1))
    for images, words, weights, text in (
        ([], [], [], "images"),
        ([scene], [["a"]], [np.zeros((2, 3, 3))], "1 words"),
        ([scene], [["a"]], [np.zeros((1, 9))], r"\(1, 9\)"),
    ):
        with pytest.raises(ValueError, match=text):
            visualize.plot_caption(images, words, weights, tmp_path / "a.png")
