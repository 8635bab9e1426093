"""The page of a model: all that it shows is the profile's, it asks for nothing outside, and it works in a browser."""

import hashlib
import json
import pathlib
import re
import subprocess
from importlib import resources

import keras
import pytest
from keras import layers

import kapps
from kapps import __main__ as command
from kapps.analysis import page

DRIVER = pathlib.Path(__file__).with_name("page.mjs")


@pytest.fixture(scope="module")
def profile():
    return kapps.profile(kapps.resnet20_cifar())


@pytest.fixture(scope="module")
def branched():
    """Two inputs, two paths, a layer called twice, a name that is no HTML."""
    image, words = keras.Input((8, 8, 3)), keras.Input((4,))
    conv = layers.Conv2D(3, 3, padding="same", name="a <b>&amp;")
    x = layers.Add()([conv(conv(image)), layers.Dense(3)(image)])
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.Dense(2)(words)])
    return kapps.profile(keras.Model([image, words], layers.Dense(2)(x), name="<i>two"))


def embedded(text):
    """Returns the data that a page holds."""
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_the_page_holds_the_profile(profile):
    found = embedded(page.html_page(profile))
    assert found["name"] == profile.name and found["inputs"] == ["1x32x32x3"]
    for name, value in found["totals"].items():
        assert value == getattr(profile, name)
    for row, shown in zip(profile.rows, found["rows"], strict=True):
        assert (shown["name"], shown["macs"], shown["output_bytes"]) == (
            row.name,
            row.macs,
            row.output_bytes,
        )
    assert found["links"] == [list(pair) for pair in profile.links]
    for kind in ("blocks", "levels"):
        numbers = sorted(n for group in found[kind] for n in group["rows"])
        assert numbers == list(range(len(profile.rows)))
    assert [group["times"] for group in found["blocks"]] == [x.times for x in profile.blocks()]


def test_the_page_asks_for_nothing(profile, branched):
    for text in (page.html_page(profile), page.html_page(branched)):
        assert "default-src 'none'" in text and not re.search("@(title|style|data|script)@", text)
        outside = re.findall(r"""(?:src|href)\s*=\s*["']?[^"'>\s]*|url\([^)]*\)|@import.*""", text)
        assert [x for x in outside if not re.search(r"data:,|url\(#arrow\)", x)] == []
        assert "sourceMappingURL" not in text and len(text) < 400_000


def test_names_are_no_html(branched):
    text = page.html_page(branched)
    assert "<title>&lt;i&gt;two</title>" in text and "<i>two" not in text and "<b>&amp;" not in text
    rows = [row for row in embedded(text)["rows"] if row["name"] == "a <b>&amp;"]
    assert len(rows) == 2 and rows[1]["parameters"] == 0
    assert {-1, -2} <= {pair[0] for pair in embedded(text)["links"]}


def test_the_library_is_the_one_that_npm_has():
    """@dagrejs/dagre 3.1.3, dist/dagre.min.js."""
    folder = resources.files("kapps.analysis").joinpath("web")
    library = folder.joinpath("dagre.min.js").read_bytes()
    assert (
        hashlib.sha256(library).hexdigest()
        == "54a503e346f93ca0bb10abe7999587e037262935687aca45eb4e4b0f64bbb578"
    )
    assert b"3.1.3" in library and "3.1.3" in page.__doc__
    licence = folder.joinpath("dagre.LICENSE").read_text()
    assert licence.strip() in page.html_page(kapps.profile(layers.ReLU(), (2,)))


def test_command(tmp_path, capsys):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3), layers.ReLU()], name="m")
    model.save(tmp_path / "m.keras")
    made = [str(tmp_path / name) for name in ("m.html", "m.svg")]
    given = ["profile", str(tmp_path / "m.keras")]
    assert command.main([*given, "--html", made[0], "--plot", made[1]]) == 0
    assert capsys.readouterr() == ("", "")
    assert embedded(pathlib.Path(made[0]).read_text())["name"] == "m"
    assert pathlib.Path(made[1]).stat().st_size > 1000
    for path, words in (
        (tmp_path / "m.txt", "ends in .png"),
        (tmp_path / "m.html/x.png", "cannot write"),
    ):
        assert command.main([*given, "--plot", str(path)]) == 1
        out, error = capsys.readouterr()
        assert out == "" and words in error and len(error.splitlines()) == 1


def visit(profile, modules, tmp_path):
    """Returns what the page shows to somebody who sorts, filters, opens blocks and makes the window narrow."""
    (tmp_path / "page.html").write_text(page.html_page(profile))
    run = ["node", DRIVER, modules, tmp_path / "page.html", tmp_path]
    done = subprocess.run(list(map(str, run)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["outside"], found["said"], found["sideways"], found["overlaps"]) == ([], [], 0, 0)
    return found


@pytest.mark.browser
def test_the_page_works_in_a_browser(profile, modules, tmp_path):
    found = visit(profile, modules, tmp_path)
    blocks = profile.blocks()
    names = [block.name for block in blocks]
    assert found["name"] == found["title"] == "resnet20_cifar"
    assert f"{profile.macs:,}" in found["totals"][0]
    assert [name for _, name in found["nodes"]] == ["input", *names]
    assert found["edges"] == len(names)  # one after the other
    assert found["charts"] == ["feature maps", "weights", "multiply-accumulates", "receptive field"]
    assert found["bars"] == found["layers"] == len(profile.rows)
    # The table sorts: by a number the largest first, then the other way round, and by name.
    figures = sorted(
        (f"{block.macs:,}" for block in blocks), key=lambda x: -int(x.replace(",", ""))
    )
    assert found["blocks"] == names and found["sorted"] == "MACs"
    assert found["descending"] == figures and found["ascending"] == figures[::-1]
    assert found["named"] == sorted(names)
    assert found["filtered"] == [row.name for row in profile.rows if "_conv1" in row.name]
    # A click opens a block: its own graph, its own table.
    assert found["hidden"] and found["opened"] == names[1] and found["closed"]
    assert found["inside"] == [row.name for row in blocks[1].rows]
    assert len(found["inner"]) == len(blocks[1].rows) // blocks[1].times + 1
    assert f"{blocks[1].macs:,} multiply-accumulates" in found["about"]
    assert found["chosen"] == ["block1"] and found["byKey"] == names[0]
    assert found["byLine"] == found["byBar"] == names[-1]
    assert found["fits"] and found["broad"] > 2
    assert found["larger"] == pytest.approx(1.25, abs=0.01)


@pytest.mark.browser
def test_branches_and_inputs_in_a_browser(branched, modules, tmp_path):
    found = visit(branched, modules, tmp_path)
    shown = [name for _, name in found["nodes"]]
    assert shown[:3] == ["input 1", "input 2", "a <b>&amp;"] and found["title"] == "<i>two"
    assert found["edges"] > len(shown) - 2
