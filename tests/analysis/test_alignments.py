"""The image of an alignment: of these words, and refused where it is of others."""

import numpy as np
import pytest

from kapps.analysis import alignments

SOURCE, TARGET = ["a", "dog", "runs", "."], ["ein", "Hund", "läuft"]


def test_draws_layers_and_the_mean_of_heads(tmp_path):
    from matplotlib import image

    heads = np.zeros((2, 3, 4), "float32")
    heads[0, :, 0] = heads[1, :, 0] = 1
    half = heads.copy()
    half[1] = 0
    dark = []
    for name, weights in (("whole", heads), ("half", half), ("one", heads[0])):
        alignments.draw({"decoder1": weights}, SOURCE, TARGET, tmp_path / f"{name}.png")
        dark.append(image.imread(tmp_path / f"{name}.png")[..., 0].mean())
    assert dark[0] == dark[2] < dark[1], "half as much is drawn lighter"
    layers = {f"decoder{i}": heads for i in range(3)}
    alignments.draw(layers, SOURCE, TARGET, tmp_path / "layers.svg")
    drawn = (tmp_path / "layers.svg").read_text()
    assert all(f"decoder{i}" in drawn for i in range(3)) and drawn.count("läuft") == 3


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="3 x 4 words, and there are 3 and 3"):
        alignments.draw({"decoder1": np.zeros((3, 4))}, TARGET, TARGET, tmp_path / "a.png")
    with pytest.raises(ValueError, match="no weights"):
        alignments.draw({}, SOURCE, TARGET, tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"ends in \.png"):
        alignments.draw({"decoder1": np.zeros((3, 4))}, SOURCE, TARGET, tmp_path / "a.doc")
