"""RegNet: the stages of the quantised linear function, groups and SE blocks."""

import csv
import pathlib

import pytest

import kapps
from kapps.cnn.regnet import quantised_stages

REFERENCE = pathlib.Path(__file__).parents[1] / "reference"
SMALL = {"w_0": 24, "w_a": 36.44, "w_m": 2.49, "d": 8, "group_width": 8}

with open(REFERENCE / "regnet_stages.csv", newline="", encoding="utf-8") as file:
    STAGES = {row["name"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def model():
    return kapps.families.regnet(**SMALL, se_ratio=0.25, input_shape=(32, 32, 3), classes=10)


def test_all_sizes_of_the_paper():
    """The paper has twelve sizes of RegNetX and twelve of RegNetY."""
    sizes = ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320")
    listed = kapps.list_models("regnet*")
    assert listed == [f"regnet{kind}_{size}" for kind in "xy" for size in sizes]
    assert set(listed) == set(STAGES)


@pytest.mark.parametrize("name", STAGES)
def test_stages_equal_timm(name):
    row = {**getattr(kapps, name).builder.row}
    assert row.pop("se_ratio", 0) == (0.25 if name.startswith("regnety") else 0)
    columns = ("widths", "depths", "group_widths")
    expected = [tuple(map(int, STAGES[name][column].split("-"))) for column in columns]
    stages = [stage[:3] for stage in quantised_stages(**row)]
    assert stages == list(zip(*expected, strict=True))


def test_blocks_of_the_stages(model):
    widths = [
        model.get_layer(f"level{level}_block{i + 1}_out").output.shape[1:]
        for level, (_, blocks, *_) in enumerate(quantised_stages(**SMALL), start=2)
        for i in range(blocks)
    ]
    assert widths == [(8, 8, 24), (4, 4, 56), *4 * [(2, 2, 152)], *2 * [(1, 1, 368)]]


def test_group_width(model):
    kernels = [x.kernel.shape for x in model.layers if x.name.endswith("_conv2")]
    assert {shape[2] for shape in kernels} == {8} and len(kernels) == 8


def test_se_blocks_of_regnety(model):
    squeezed = {x.name: x.filters for x in model.layers if x.name.endswith("_se_reduce")}
    first = ["level2_block1", "level3_block1", "level4_block1", "level4_block2"]
    assert [squeezed[f"{name}_se_reduce"] for name in first] == [8, 6, 14, 38]
    for name in first:
        last = model.get_layer(f"{name}_conv3").input._keras_history.operation
        assert last.name == f"{name}_se_scale"


def test_regnetx_has_no_se_blocks():
    model = kapps.families.regnet(**SMALL, input_shape=(32, 32, 3), classes=10)
    assert not any("_se_" in layer.name for layer in model.layers)
