"""The plot of a profile, and what all plots share: formats, errors, files."""

import builtins
import pathlib

import keras
import pytest
from keras import layers
from PIL import Image

import kapps
from kapps import visualize
from kapps.visualize import profile_plot


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_suffix_gives_the_format(profile, tmp_path, suffix):
    path = tmp_path / f"net.{suffix}"
    visualize.plot_profile(profile, path)
    beginnings = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert path.read_bytes().startswith(beginnings[suffix])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_bars_are_the_profile_s_values(profile, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(profile_plot, "save_figure", lambda figure, path: figures.append(figure))
    visualize.plot_profile(profile, tmp_path / "net.png")
    maps, weights, macs, receptive_fields = figures[0].axes
    for axis, name, unit in (
        (maps, "output_bytes", 1e6),
        (weights, "weight_bytes", 1e6),
        (macs, "macs", 1e6),
    ):
        heights = [bar.get_height() for bar in axis.containers[0]]
        assert heights == [getattr(row, name) / unit for row in profile.rows]
    sizes = receptive_fields.lines[0].get_ydata()
    assert max(sizes) == max(
        row.receptive_field[0].size for row in profile.rows if row.receptive_field
    )
    assert receptive_fields.lines[1].get_ydata()[0] == 32
    assert {text.get_text() for text in maps.texts} >= {"level 0", "level 1", "level 2"}


def test_models_of_one_layer_or_without_feature_maps_are_plotted(tmp_path):
    dense = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    visualize.plot_profile(kapps.profile(dense), tmp_path / "dense.png")
    lstm = keras.Sequential(
        [keras.Input((12,), dtype="int32"), layers.Embedding(9, 4), layers.LSTM(5)]
    )
    visualize.plot_profile(kapps.profile(lstm), str(tmp_path / "lstm.png"))
    for name in ("dense", "lstm"):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert min(image.size) > 500


def test_an_unknown_suffix_or_directory_leaves_no_file(profile, tmp_path):
    with pytest.raises(ValueError, match=r"net\.jpeg2.*\.png"):
        visualize.plot_profile(profile, tmp_path / "net.jpeg2")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OSError):
        visualize.plot_profile(profile, tmp_path / "file" / "net.png")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_missing_matplotlib_is_an_error_with_the_command_to_install_it(profile, monkeypatch):
    original = builtins.__import__

    def import_without_matplotlib(name, *args, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return original(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", import_without_matplotlib)
    with pytest.raises(ValueError, match="pip install matplotlib"):
        visualize.plot_profile(profile, pathlib.Path("net.png"))
