"""Plots of what is inside a network: heat maps, sheets, probes, texts with colours."""

import numpy as np
import pytest
from PIL import Image

from kapps import visualize

IMAGES = np.random.default_rng(0).random((3, 8, 8, 3))


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_heat_maps_are_red_and_blue(tmp_path):
    heat = np.zeros((3, 8, 8))
    visualize.plot_heat_maps(IMAGES[..., :1], {"none": heat}, tmp_path / "none.png")
    heat[:, :4], heat[:, 4:] = 1, -1
    visualize.plot_heat_maps(
        IMAGES[..., :1], {"both": heat}, tmp_path / "both.png", ["a", "b", "c"]
    )
    counts = []
    for name in ("none", "both"):
        red, _, blue = np.moveaxis(pixels(tmp_path / f"{name}.png"), -1, 0)
        counts.append(((red - blue > 50).sum(), (blue - red > 50).sum()))
    assert min(counts[1]) > 5000 and max(counts[0]) < 100
    with pytest.raises(ValueError, match="map of each method"):
        visualize.plot_heat_maps(IMAGES, {"one": heat[:1]}, tmp_path / "no.png")


def test_sheets_have_one_scale(tmp_path):
    images = np.stack([np.full((8, 8), value) for value in (0.0, 0.5, 1.0)])
    visualize.plot_sheet(images, tmp_path / "sheet.png", ["a", "b", "c"], columns=3)
    values = pixels(tmp_path / "sheet.png")[..., 0]
    for grey in (0, 127, 255):
        assert (np.abs(values - grey) <= 1).sum() > 3000
    with pytest.raises(ValueError, match="count, height, width"):
        visualize.plot_sheet(images[0], tmp_path / "no.png")


def test_probes_of_the_same_layers(tmp_path):
    probes = [visualize.Probe(f"layer{i}", 4, 1.0, 0.5 / i, 0.1) for i in (1, 2, 3)]
    visualize.plot_probes({"trained": probes}, tmp_path / "probes.png", majority=0.7)
    assert (tmp_path / "probes.png").stat().st_size > 5000
    with pytest.raises(ValueError, match="same layers"):
        visualize.plot_probes({"trained": probes, "random": probes[:2]}, tmp_path / "no.png")


def test_tokens_have_the_colours_of_their_values(tmp_path):
    text = list("a line\nand another one " * 9)
    values = np.sign(np.arange(len(text)) % 2 - 0.5)
    visualize.plot_text(text, {"cell 1": values, "none": 0 * values}, tmp_path / "text.png")
    red, _, blue = np.moveaxis(pixels(tmp_path / "text.png"), -1, 0)
    assert (red - blue > 30).sum() > 1000 and (blue - red > 30).sum() > 1000
    with pytest.raises(ValueError, match="one for each token"):
        visualize.plot_text(text, {"cell": values[:3]}, tmp_path / "no.png")


def test_lines_of_a_head_view_have_the_opacity_of_the_weights(tmp_path):
    words, counts = list("abc"), []
    for name, value in (("none", 0.0), ("weak", 0.1), ("strong", 1.0)):
        view = np.zeros((2, 3, 3))
        view[:, 0, 2] = value
        visualize.plot_head_view(view, words, words, tmp_path / f"{name}.png")
        image = pixels(tmp_path / f"{name}.png")
        counts.append((image.max(axis=-1) - image.min(axis=-1)).sum())
    assert counts[0] == 0 and 0 < 3 * counts[1] < counts[2]
    with pytest.raises(ValueError, match="2 queries"):
        visualize.plot_head_view(view, words[:2], words, tmp_path / "no.png")


def test_a_model_view_has_a_panel_for_each_head(tmp_path):
    view = np.zeros((2, 3, 4, 4))
    visualize.plot_model_view(view, tmp_path / "white.png", ["first", "second"])
    view[1, 2] = np.eye(4)
    visualize.plot_model_view(view, tmp_path / "one.png", ["first", "second"])
    white, one = (pixels(tmp_path / f"{name}.png")[..., 0] for name in ("white", "one"))
    rows, columns = np.nonzero(white - one > 100)
    height, width = white.shape
    assert rows.min() > height / 2 and columns.min() > width / 2 and len(rows) > 300
    with pytest.raises(ValueError, match="layers, heads"):
        visualize.plot_model_view(view[0], tmp_path / "no.png")
