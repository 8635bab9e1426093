"""The HTML page of a profile: its content, that it loads no other file, and its behaviour in a browser."""

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
from kapps import cli
from kapps.analysis import page

DRIVER = pathlib.Path(__file__).with_name("page.mjs")


@pytest.fixture(scope="module")
def profile():
    return kapps.profile(kapps.resnet20_cifar())


@pytest.fixture(scope="module")
def branched():
    """Two inputs, two branches, a layer called twice, and names with HTML."""
    image, words = keras.Input((8, 8, 3)), keras.Input((4,))
    conv = layers.Conv2D(3, 3, padding="same", name="a <b>&amp;")
    x = layers.Add()([conv(conv(image)), layers.Dense(3)(image)])
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.Dense(2)(words)])
    return kapps.profile(keras.Model([image, words], layers.Dense(2)(x), name="<i>two"))


def embedded_data(html):
    """Returns the JSON data in a page."""
    return json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1])


def test_the_page_has_the_profile_s_values(profile):
    data = embedded_data(page.html_page(profile))
    assert data["name"] == profile.name and data["inputs"] == ["1x32x32x3"]
    for name, value in data["totals"].items():
        assert value == getattr(profile, name)
    for row, record in zip(profile.rows, data["rows"], strict=True):
        values = (record["name"], record["macs"], record["output_bytes"])
        assert values == (row.name, row.macs, row.output_bytes)
    assert data["links"] == [list(pair) for pair in profile.links]
    for kind in ("blocks", "levels"):
        indices = sorted(i for group in data[kind] for i in group["rows"])
        assert indices == list(range(len(profile.rows)))
    assert [group["times"] for group in data["blocks"]] == [x.times for x in profile.blocks()]


def test_the_page_loads_no_other_file(profile, branched):
    for html in (page.html_page(profile), page.html_page(branched)):
        assert "default-src 'none'" in html and not re.search("@(title|style|data|script)@", html)
        urls = re.findall(r"""(?:src|href)\s*=\s*["']?[^"'>\s]*|url\([^)]*\)|@import.*""", html)
        assert [url for url in urls if not re.search(r"data:,|url\(#arrow\)", url)] == []
        assert "sourceMappingURL" not in html and len(html) < 400_000


def test_names_are_escaped(branched):
    html = page.html_page(branched)
    assert "<title>&lt;i&gt;two</title>" in html and "<i>two" not in html and "<b>&amp;" not in html
    rows = [row for row in embedded_data(html)["rows"] if row["name"] == "a <b>&amp;"]
    assert len(rows) == 2 and rows[1]["parameters"] == 0
    assert {-1, -2} <= {pair[0] for pair in embedded_data(html)["links"]}


def test_dagre_is_the_published_file():
    """@dagrejs/dagre 3.1.3, dist/dagre.min.js."""
    folder = resources.files("kapps.analysis").joinpath("web")
    library = folder.joinpath("dagre.min.js").read_bytes()
    digest = hashlib.sha256(library).hexdigest()
    assert digest == "54a503e346f93ca0bb10abe7999587e037262935687aca45eb4e4b0f64bbb578"
    assert b"3.1.3" in library and "3.1.3" in page.__doc__
    licence = folder.joinpath("dagre.LICENSE").read_text(encoding="utf-8")
    assert licence.strip() in page.html_page(kapps.profile(layers.ReLU(), (2,)))


def test_command(tmp_path, capsys):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3), layers.ReLU()], name="m")
    model.save(tmp_path / "m.keras")
    html, plot = str(tmp_path / "m.html"), str(tmp_path / "m.svg")
    arguments = ["profile", str(tmp_path / "m.keras")]
    assert cli.main([*arguments, "--html", html, "--plot", plot]) == 0
    assert capsys.readouterr() == ("", "")
    assert embedded_data(pathlib.Path(html).read_text(encoding="utf-8"))["name"] == "m"
    assert pathlib.Path(plot).stat().st_size > 1000
    for path, reason in (
        (tmp_path / "m.txt", ".png"),
        (tmp_path / "m.html/x.png", "cannot write"),
    ):
        assert cli.main([*arguments, "--plot", str(path)]) == 2
        out, error = capsys.readouterr()
        assert out == "" and str(path) in error and reason in error
        assert len(error.splitlines()) == 1


def visit(profile, modules, tmp_path):
    """Returns the content of the page while page.mjs sorts, filters, opens blocks and narrows the window."""
    (tmp_path / "page.html").write_text(page.html_page(profile), encoding="utf-8")
    arguments = ["node", DRIVER, modules, tmp_path / "page.html", tmp_path]
    process = subprocess.run(
        list(map(str, arguments)), capture_output=True, text=True, timeout=300, encoding="utf-8"
    )
    assert process.returncode == 0, process.stderr
    content = json.loads(process.stdout)
    assert (content["requests"], content["messages"]) == ([], [])
    assert (content["sideways"], content["overlaps"]) == (0, 0)
    return content


@pytest.mark.browser
def test_the_page_works_in_a_browser(profile, modules, tmp_path):
    content = visit(profile, modules, tmp_path)
    blocks = profile.blocks()
    names = [block.name for block in blocks]
    assert content["name"] == content["title"] == "resnet20_cifar"
    assert f"{profile.macs:,}" in content["totals"][0]
    assert [name for _, name in content["nodes"]] == ["input", *names]
    assert content["edges"] == len(names)  # a chain
    assert content["charts"] == [
        "feature maps",
        "weights",
        "multiply-accumulates",
        "receptive field",
    ]
    assert content["bars"] == content["layers"] == len(profile.rows)
    # The table sorts: a number in descending order first, then ascending; text in ascending order.
    macs = sorted((f"{block.macs:,}" for block in blocks), key=lambda x: -int(x.replace(",", "")))
    assert content["blocks"] == names and content["sorted"] == "MACs"
    assert content["descending"] == macs and content["ascending"] == macs[::-1]
    assert content["byName"] == sorted(names)
    assert content["filtered"] == [row.name for row in profile.rows if "_conv1" in row.name]
    # A click opens a block with a graph and a table of its layers.
    assert content["hidden"] and content["opened"] == names[1] and content["closed"]
    assert content["inside"] == [row.name for row in blocks[1].rows]
    assert len(content["inner"]) == len(blocks[1].rows) // blocks[1].times + 1
    assert f"{blocks[1].macs:,} multiply-accumulates" in content["about"]
    assert content["selected"] == ["block1"] and content["byKey"] == names[0]
    assert content["byLine"] == content["byBar"] == names[-1]
    assert content["fits"] and content["broad"] > 2
    assert content["larger"] == pytest.approx(1.25, abs=0.01)


@pytest.mark.browser
def test_branches_and_inputs_in_a_browser(branched, modules, tmp_path):
    content = visit(branched, modules, tmp_path)
    names = [name for _, name in content["nodes"]]
    assert names[:3] == ["input 1", "input 2", "a <b>&amp;"] and content["title"] == "<i>two"
    assert content["edges"] > len(names) - 2
