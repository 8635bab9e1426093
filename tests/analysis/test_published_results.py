"""Tables of published results: published numbers are as printed, and costs are added from profiles."""

import csv
import io
import pathlib

import keras
import pytest

import kapps
from kapps import cli
from kapps.analysis import published_results

PUBLISHED = pathlib.Path(__file__).parents[1] / "reference" / "published.csv"


@pytest.fixture(scope="module")
def profile():
    return kapps.profile(kapps.resnet20_cifar())


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = cli.main(list(arguments))
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def two_networks(monkeypatch):
    """Reduces both tables to two networks; only the first has a builder."""
    read_table = published_results.read_table

    def read_two_rows(name):
        first, second = read_table(name)[:2]
        return [first | {"builder": "resnet20_cifar"}, second | {"builder": "none_yet"}]

    monkeypatch.setattr(published_results, "read_table", read_two_rows)


def test_accuracy_is_as_printed_in_the_notes():
    rows = published_results.read_table("accuracy")
    assert len(rows) == 14
    assert rows[4] == {"network": "ResNet 50", "builder": "resnet50", "top1": 76.15, "top5": 92.86}
    assert [row["network"] for row in rows][-2:] == ["MobileNet V1", "MobileNet V2"]


def test_regnet_has_the_numbers_of_the_reference():
    """Both were copied from the same table by hand."""
    units = {"macs": "flops", "params": "params", "activations": "acts"}
    systems = {"efficientnet": "EfficientNet", "regnety": "RegNetY"}
    printed = {row["network"]: row for row in published_results.read_table("regnet")}
    with open(PUBLISHED, newline="", encoding="utf-8") as file:
        references = [row for row in csv.DictReader(file) if row["system"] in systems]
    for reference in references:
        row = printed[f"{systems[reference['system']]} {reference['variant'].upper()}"]
        assert row[units[reference["metric"]]] == float(reference["value"]), reference
    assert len(references) == 3 * len(printed) == 36
    for efficientnet, regnet in published_results.regnet_pairs():
        assert efficientnet.startswith("efficientnet_b") and regnet.startswith("regnety_")


def test_builders_have_the_names_of_the_reference_tests():
    from test_published_costs import BUILDERS

    accuracy = set(published_results.table_builders("accuracy"))
    assert set(published_results.table_builders("regnet")) <= set(BUILDERS.values())
    assert {"resnet50", "resnext101", "densenet121", "mobilenet_v2"} <= accuracy


def test_costs_come_from_the_profile(profile):
    table = published_results.accuracy_table({"resnet50": profile})
    record = table.records[4]
    assert record["weight_bytes"] == 4 * profile.parameters and record["macs"] == profile.macs
    assert record["output_bytes"] == profile.output_bytes
    assert record["inference_bytes"] == profile.inference_bytes
    assert (record["input"], record["state"], record["top1"]) == ("32x32x3", "", 76.15)
    assert table.cells()[4][-3:] == [f"{profile.macs / 1e9:.3f}", "32x32x3", ""]


def test_a_network_without_a_builder_keeps_its_row(profile):
    table = published_results.accuracy_table({"resnet50": profile})
    assert {record["state"] for record in table.records} == {"", published_results.NOT_BUILT}
    row = ["AlexNet", "56.90", "80.10", *"-----", published_results.NOT_BUILT]
    assert table.cells()[0] == row
    cells = published_results.accuracy_table({}).cells()[4]
    assert cells[3:] == [*"-----", published_results.NOT_BUILT]


def test_regnet_table_has_ratios_of_times(profile):
    times = {"efficientnet_b0": (0.3, 0.9), "regnety_004": (0.1, 0.2)}
    table = published_results.regnet_table(dict.fromkeys(times, profile), times)
    efficientnet, regnet, _, missing = table.records[:4]
    assert regnet["acts"] == 3.9e6
    assert regnet["convolution_outputs"] == profile.convolution_outputs
    assert regnet["inference_ratio"] == pytest.approx(3)
    assert regnet["training_ratio"] == pytest.approx(4.5)
    assert regnet["infer_ratio"] == pytest.approx(34 / 19) and efficientnet["infer_ratio"] is None
    assert missing["inference_ratio"] is None and missing["state"] == published_results.NOT_BUILT


def test_times_are_measured():
    image = keras.Input((8, 8, 3))
    scores = keras.layers.Dense(4, activation="softmax")(keras.layers.Flatten()(image))
    models = {"dense": keras.Model(image, scores)}
    times = published_results.measure_seconds(models, batch=2, rounds=1)
    assert list(times) == ["dense"] and len(times["dense"]) == 2 and min(times["dense"]) > 0
    for options in ({"batch": 0}, {"rounds": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            published_results.measure_seconds({}, **options)


def test_command(run, two_networks, profile, tmp_path):
    code, out, error = run("table")
    assert (code, error) == (0, "") and out.count(published_results.NOT_BUILT) == 2
    assert "RegNetY" in out and f"{profile.macs / 1e9:.3f}" in out
    code, out, _ = run("table", "accuracy", "--csv")
    first, second = csv.DictReader(io.StringIO(out))
    assert int(first["macs"]) == profile.macs and second["macs"] == ""
    assert run("table", "--markdown", str(tmp_path / "t.md"))[:2] == (0, "")
    assert (tmp_path / "t.md").read_text(encoding="utf-8").count("\n|:--") == 2
    assert run("table", "regnet", "--html", str(tmp_path / "t.html"))[0] == 0
    assert (tmp_path / "t.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.long
def test_command_measures(run, two_networks):
    code, out, _ = run("table", "regnet", "--csv", "--measure", "1")
    first, second = csv.DictReader(io.StringIO(out))
    assert code == 0 and float(first["inference_time"]) > 0 and float(first["training_time"]) > 0
    assert second["training_time"] == "" and second["training_ratio"] == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none"], ["none", "accuracy", "regnet"]),
        (["--csv"], ["table"]),
        (["--measure", "0"], ["--measure", "0"]),
    ],
)
def test_wrong_arguments_are_errors_of_one_line(run, arguments, words):
    code, _, error = run("table", *arguments)
    assert code in (1, 2) and all(word in error for word in words)
    assert len(error.splitlines()) == 1
