"""The networks side by side: what was published stays as printed, what is blank is filled, what is missing says so."""

import csv
import io
import pathlib

import keras
import pytest

import kapps
from kapps import __main__ as command
from kapps import tables
from kapps.analysis import published_results

PUBLISHED = pathlib.Path(__file__).parents[1] / "reference" / "published.csv"


@pytest.fixture(scope="module")
def profile():
    return kapps.profile(kapps.resnet20_cifar())


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = command.main(list(arguments))
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def few(monkeypatch):
    """Both tables have two networks, the first of which is here."""
    whole = published_results.read_table

    def published(name):
        first, second = whole(name)[:2]
        return [first | {"builder": "resnet20_cifar"}, second | {"builder": "none_yet"}]

    monkeypatch.setattr(published_results, "read_table", published)


def test_accuracy_is_as_the_notes_print_it():
    lines = published_results.read_table("accuracy")
    assert len(lines) == 14
    assert lines[4] == {"network": "ResNet 50", "builder": "resnet50", "top1": 76.15, "top5": 92.86}
    assert [line["network"] for line in lines][-2:] == ["MobileNet V1", "MobileNet V2"]


def test_regnet_has_the_figures_that_other_tests_have():
    """The same table, copied twice by hand."""
    units = {"macs": "flops", "params": "params", "activations": "acts"}
    systems = {"efficientnet": "EfficientNet", "regnety": "RegNetY"}
    ours = {line["network"]: line for line in published_results.read_table("regnet")}
    with open(PUBLISHED, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["system"] in systems]
    for row in rows:
        line = ours[f"{systems[row['system']]} {row['variant'].upper()}"]
        assert line[units[row["metric"]]] == float(row["value"]), row
    assert len(rows) == 3 * len(ours) == 36
    for slow, fast in published_results.regnet_pairs():
        assert slow.startswith("efficientnet_b") and fast.startswith("regnety_")


def test_builders_are_named_as_the_other_tests_name_them():
    from test_published_costs import BUILDERS

    assert set(published_results.table_builders("regnet")) <= set(BUILDERS.values())
    assert {"resnet50", "resnext101", "densenet121", "mobilenet_v2"} <= set(
        published_results.table_builders("accuracy")
    )


def test_blank_columns_are_filled_from_the_profile(profile):
    sheet = published_results.accuracy_table({"resnet50": profile})
    record = sheet.records[4]
    assert record["weight_bytes"] == 4 * profile.parameters and record["macs"] == profile.macs
    assert record["output_bytes"] == profile.output_bytes
    assert record["inference_bytes"] == profile.inference_bytes
    assert (record["input"], record["state"], record["top1"]) == ("32x32x3", "", 76.15)
    assert sheet.cells()[4][-3:] == [f"{profile.macs / 1e9:.3f}", "32x32x3", ""]


def test_what_is_not_built_yet_says_so(profile):
    sheet = published_results.accuracy_table({"resnet50": profile})
    assert {record["state"] for record in sheet.records} == {"", published_results.MISSING}
    assert sheet.cells()[0] == ["AlexNet", "56.90", "80.10", *"-----", "not built yet"]
    assert published_results.accuracy_table({}).cells()[4][3:] == [*"-----", "not built yet"]


def test_regnet_compares_with_what_is_printed(profile):
    times = {"efficientnet_b0": (0.3, 0.9), "regnety_004": (0.1, 0.2)}
    sheet = published_results.regnet_table(dict.fromkeys(times, profile), times)
    slow, fast = sheet.records[:2]
    assert fast["acts"] == 3.9e6 and fast["convolution_outputs"] == profile.convolution_outputs
    assert fast["inference_ratio"] == pytest.approx(3) and fast["training_ratio"] == pytest.approx(
        4.5
    )
    assert fast["infer_ratio"] == pytest.approx(34 / 19) and slow["infer_ratio"] is None
    assert (
        sheet.records[3]["inference_ratio"] is None
        and sheet.records[3]["state"] == published_results.MISSING
    )


def test_times_are_measured():
    image = keras.Input((8, 8, 3))
    ends = keras.layers.Dense(4, activation="softmax")(keras.layers.Flatten()(image))
    found = published_results.measure_seconds({"one": keras.Model(image, ends)}, batch=2, rounds=1)
    assert list(found) == ["one"] and len(found["one"]) == 2 and min(found["one"]) > 0
    for wrong in ({"batch": 0}, {"rounds": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            published_results.measure_seconds({}, **wrong)


def test_a_sheet_is_written_safely():
    columns = (tables.Column("name", "a|b"), tables.Column("n", "<n>", ".1f", 10))
    sheet = tables.Table("T & t", columns, ({"name": "x|<y>", "n": 25}, {"name": "z", "n": None}))
    assert sheet.text() == "T & t\na|b    <n>\nx|<y>  2.5\nz        -"
    assert "| x\\|<y> | 2.5 |" in sheet.markdown() and "| --- | ---: |" in sheet.markdown()
    page = tables.html_page([sheet])
    assert (
        "<title>T &amp; t</title>" in page and "<td>x|&lt;y&gt;</td>" in page and "http" not in page
    )


def test_command(run, few, profile, tmp_path):
    code, out, err = run("table")
    assert (
        (code, err) == (0, "")
        and "RegNetY against" in out
        and out.count(published_results.MISSING) == 2
    )
    assert f"{profile.macs / 1e9:.3f}" in out
    code, out, _ = run("table", "accuracy", "--csv")
    first, second = csv.DictReader(io.StringIO(out))
    assert int(first["macs"]) == profile.macs and second["macs"] == ""
    assert run("table", "--markdown", str(tmp_path / "t.md"))[:2] == (0, "")
    assert (tmp_path / "t.md").read_text().count("\n| --- |") == 2
    assert run("table", "regnet", "--html", str(tmp_path / "t.html"))[0] == 0
    assert (tmp_path / "t.html").read_text().startswith("<!doctype html>")


def test_command_measures(run, few):
    code, out, _ = run("table", "regnet", "--csv", "--measure", "1")
    first, second = csv.DictReader(io.StringIO(out))
    assert code == 0 and float(first["inference_time"]) > 0 and float(first["training_time"]) > 0
    assert second["training_time"] == "" and second["training_ratio"] == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none"], "there is no table 'none': accuracy and regnet"),
        (["--csv"], "holds one table"),
        (["--measure", "0"], "--measure=0"),
    ],
)
def test_a_mistake_is_one_line(run, arguments, words):
    code, _, error = run("table", *arguments)
    assert code == 1 and words in error and len(error.splitlines()) == 1
