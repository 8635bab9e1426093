"""Images of a profile and of the zoo: written whole, refused in one line, with what they should show in them."""

import builtins
import pathlib

import keras
import pytest
from keras import layers
from PIL import Image

import kapps
from kapps.analysis import plotting, zoo


@pytest.fixture(scope="module")
def profile():
    return kapps.profile(kapps.resnet20_cifar())


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_image_is_written(profile, tmp_path, suffix):
    path = tmp_path / f"net.{suffix}"
    profile.plot(path)
    beginnings = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert path.read_bytes().startswith(beginnings[suffix])
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_bars_have_the_profile_s_figures(profile, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(plotting, "save", lambda figure, path: figures.append(figure))
    profile.plot(tmp_path / "net.png")
    maps, weights, macs, fields = figures[0].axes
    for axis, name, unit in (
        (maps, "output_bytes", 1e6),
        (weights, "weight_bytes", 1e6),
        (macs, "macs", 1e6),
    ):
        heights = [bar.get_height() for bar in axis.containers[0]]
        assert heights == [getattr(row, name) / unit for row in profile.rows]
    seen = fields.lines[0].get_ydata()
    assert max(seen) == max(row.fields[0].size for row in profile.rows if row.fields)
    assert fields.lines[1].get_ydata()[0] == 32
    assert {text.get_text() for text in maps.texts} >= {"level 0", "level 1", "level 2"}


def test_one_layer_and_no_map_are_drawn_too(tmp_path):
    one = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    kapps.profile(one).plot(tmp_path / "one.png")
    words = keras.Sequential(
        [keras.Input((12,), dtype="int32"), layers.Embedding(9, 4), layers.LSTM(5)]
    )
    kapps.profile(words).plot(str(tmp_path / "words.png"))
    for name in ("one", "words"):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert min(image.size) > 500


def test_the_zoo_has_a_point_for_each_network_that_is_here(profile, tmp_path, monkeypatch):
    points = zoo.points({"resnet50": profile, "regnety_004": profile, "none": profile})
    assert [(point["network"], point["top1"]) for point in points] == [
        ("ResNet 50", 76.15),
        ("RegNetY 400MF", pytest.approx(74.1)),
    ]
    assert points[0]["macs"] == profile.macs and points[0]["parameters"] == profile.trainable
    plotting.zoo(points, tmp_path / "zoo.png")
    assert (tmp_path / "zoo.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="no network"):
        plotting.zoo([], tmp_path / "zoo.png")


def test_a_wrong_suffix_and_a_wrong_place_leave_nothing(profile, tmp_path):
    with pytest.raises(ValueError, match=r"net\.jpeg2: an image ends in \.png"):
        profile.plot(tmp_path / "net.jpeg2")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        profile.plot(tmp_path / "file" / "net.png")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_without_matplotlib_it_is_one_line(profile, monkeypatch):
    whole = builtins.__import__

    def without(name, *rest, **more):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return whole(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match="pip install matplotlib"):
        profile.plot(pathlib.Path("net.png"))


def test_links_say_who_reads_whom(profile):
    names = [row.name for row in profile.rows]
    made = {(names[i] if i >= 0 else i, names[k]) for i, k in profile.links}
    assert (-1, names[0]) in made and all(i < k for i, k in profile.links)
    adds = [k for k, row in enumerate(profile.rows) if row.kind == "Add"]
    assert adds and all(sum(k == each for _, k in profile.links) == 2 for each in adds)
    read = {i for i, _ in profile.links}
    assert read == {*range(-1, len(names) - 1)}  # all but the last is read by somebody


def test_every_curve_has_its_panel_and_stands_behind_the_others(tmp_path, monkeypatch):
    lines = {name: [(0, 10.0), (5, 20.0 + i)] for i, name in enumerate("abcdef")}
    figures, save = [], plotting.save
    monkeypatch.setattr(plotting, "save", lambda *given: figures.append(given[0]) or save(*given))
    plotting.curves(lines, tmp_path / "curves.png", "seconds", "top 1 (%)")
    panels = figures[0].axes
    assert [panel.get_title() for panel in panels[:6]] == [
        f"{n}  {20 + i}" for i, n in enumerate(lines)
    ]
    for panel, points in zip(panels, lines.values(), strict=False):
        assert [tuple(point) for point in panel.lines[-1].get_xydata()] == points
        assert len(panel.lines) == 7
    assert [panel.axison for panel in panels[6:]] == [False] * 4
    with Image.open(tmp_path / "curves.png") as image:
        assert min(image.size) > 300
    with pytest.raises(ValueError, match="no curve"):
        plotting.curves({}, tmp_path / "none.png", "", "")
