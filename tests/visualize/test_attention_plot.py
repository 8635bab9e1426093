"""The plot of attention weights."""

import numpy as np
import pytest

from kapps import visualize

SOURCE, TARGET = ["a", "dog", "runs", "."], ["ein", "Hund", "läuft"]


def test_layers_and_the_mean_of_heads_are_plotted(tmp_path):
    from matplotlib import image

    heads = np.zeros((2, 3, 4), "float32")
    heads[0, :, 0] = heads[1, :, 0] = 1
    one_head_zero = heads.copy()
    one_head_zero[1] = 0
    brightness = {}
    for name, weights in (("heads", heads), ("half", one_head_zero), ("single", heads[0])):
        visualize.plot_attention({"decoder1": weights}, SOURCE, TARGET, tmp_path / f"{name}.png")
        brightness[name] = image.imread(tmp_path / f"{name}.png")[..., 0].mean()
    assert brightness["heads"] == brightness["single"] < brightness["half"]
    layers = {f"decoder{i}": heads for i in range(3)}
    visualize.plot_attention(layers, SOURCE, TARGET, tmp_path / "layers.svg")
    svg = (tmp_path / "layers.svg").read_text(encoding="utf-8")
    assert all(f"decoder{i}" in svg for i in range(3)) and svg.count("läuft") == 3


def test_wrong_arguments_are_errors(tmp_path):
    weights = {"decoder1": np.zeros((3, 4))}
    with pytest.raises(ValueError, match=r"decoder1.*3 target.*4 source.*3 and 3"):
        visualize.plot_attention(weights, TARGET, TARGET, tmp_path / "a.png")
    with pytest.raises(ValueError, match="weights"):
        visualize.plot_attention({}, SOURCE, TARGET, tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.doc.*\.png"):
        visualize.plot_attention(weights, SOURCE, TARGET, tmp_path / "a.doc")
