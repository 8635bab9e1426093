"""Rows, levels, blocks, records and the table of a profile."""

import csv
import dataclasses
import io
import json

import keras
import pytest
from keras import layers

import kapps
from kapps.cnn import resnet


@pytest.fixture(scope="module")
def profile():
    return kapps.profile(resnet.body(depths=(2, 3), input_shape=(64, 64, 3), classes=10))


def test_rows_have_the_window_of_a_convolution():
    members = [
        keras.Input((9, 8, 4)),
        layers.Conv2D(6, (3, 2), strides=2, padding="same", name="same"),
        layers.Conv2D(6, 3, dilation_rate=(1, 2), padding="same", groups=2, name="dilated"),
        layers.Conv2DTranspose(5, 3, strides=2, name="upsampling"),
    ]
    rows = kapps.profile(keras.Sequential(members))
    same, dilated, upsampling = (rows.row(name) for name in ("same", "dilated", "upsampling"))
    assert same.inputs == ((1, 9, 8, 4),) and same.outputs == ((1, 5, 4, 6),)
    assert (same.window.kernel, same.window.strides) == ((3, 2), (2, 2))
    # length 9, kernel 3, stride 2: (5 - 1) 2 + 3 - 9 = 2 padded units; length 8, kernel 2: none
    assert same.window.padding == ((1, 1), (0, 0)) and same.window.groups == 1
    assert dilated.window.dilation == (1, 2) and dilated.window.groups == 2
    assert dilated.window.padding == ((1, 1), (2, 2))
    assert upsampling.window.transposed and upsampling.outputs == ((1, 11, 9, 5),)
    with pytest.raises(KeyError, match="nothing"):
        rows.row("nothing")
    name = rows.rows[0].name
    with pytest.raises(KeyError, match=f"Did you mean {name}"):
        rows.row(name + "x")


def test_totals_are_sums_over_rows(profile):
    for name in ("macs", "additions", "elementwise", "parameters", "activations", "output_bytes"):
        expected = sum(getattr(row, name) for row in profile.rows)
        assert getattr(profile, name) == expected
        for groups in (
            profile.levels(),
            profile.blocks(),
            profile.blocks(fold=False),
            profile.layers(),
        ):
            assert sum(getattr(group, name) for group in groups) == expected
    with pytest.raises(dataclasses.FrozenInstanceError):
        profile.rows[0].macs = 1


def test_levels_come_from_the_builder_s_names(profile):
    names = [group.name for group in profile.levels()]
    assert names == ["level 0", "level 1", "level 2", "level 3", "head"]
    for group in profile.levels()[1:-1]:
        levels = {row.name.partition("_")[0] for row in group.rows}
        assert levels <= {"stem", group.name.replace(" ", "")}


def test_levels_of_other_models_come_from_the_sizes_of_maps():
    members = [keras.Input((299, 299, 3))]
    members += [layers.Conv2D(4, 3, strides=2, name=f"conv{i}") for i in range(3)]
    members += [layers.GlobalAveragePooling2D(), layers.Dense(3)]
    profile = kapps.profile(keras.Sequential(members))
    assert [row.level for row in profile.rows] == [1, 2, 3, None, None]


def test_equal_blocks_are_folded(profile):
    names = [(group.name, group.times) for group in profile.blocks()]
    assert names == [
        ("stem", 1),
        ("level2_block1", 1),
        ("level2_block2", 1),
        ("level3_block1", 1),
        ("level3_block2 ... level3_block3", 2),
        ("head", 1),
        ("predictions", 1),
    ]
    folded, first, last = profile.blocks()[4], *profile.blocks(fold=False)[4:6]
    assert folded.macs == 2 * first.macs == 2 * last.macs and folded.rows == first.rows + last.rows


def test_equal_parallel_layers_are_not_folded():
    image = keras.Input((8, 8, 3))
    branches = [layers.Conv2D(4, 3, name=name)(image) for name in ("left", "right")]
    x = layers.Add(name="sum")(branches)
    for name in ("first", "second"):
        x = layers.ReLU(name=name)(x)
    names = [group.name for group in kapps.profile(keras.Model(image, x)).blocks()]
    assert names == ["left", "right", "sum", "first ... second"]


def test_blocks_of_keras_applications_are_found_by_name():
    model = keras.applications.MobileNetV2(weights=None, input_shape=(64, 64, 3), alpha=0.35)
    blocks = {group.name for group in kapps.profile(model).blocks(fold=False)}
    assert {f"block_{i}" for i in range(1, 17)} <= blocks


@pytest.mark.parametrize("by", ["layer", "block", "level"])
def test_records_are_plain_and_complete(profile, by):
    records = profile.records(by)
    assert len(records) == len(profile.groups(by))
    assert json.loads(json.dumps(records)) == records
    assert sum(record["macs"] for record in records) == profile.macs
    assert len({tuple(record) for record in records}) == 1  # all have the same keys
    if by == "layer":
        (conv,) = [record for record in records if record["name"] == "level3_block1_conv2"]
        assert conv["kernel"] == [3, 3] and conv["strides"] == [2, 2] and conv["groups"] == 1
        assert conv["outputs"] == [[1, 8, 8, 128]] and conv["receptive_field_stride"] == [8, 8]


@pytest.mark.parametrize(
    "by, heading", [("layer", "kernel"), ("block", "times"), ("level", "layers")]
)
def test_tables_are_aligned(profile, by, heading):
    title, headings, *lines, parameters, memory = profile.table(by).split("\n")
    assert title == f"{profile.name}, input 1x64x64x3"
    assert headings.split()[0] == by and heading in headings
    assert len(lines) == len(profile.groups(by)) + 1 and lines[-1].startswith("total")
    assert len({len(line) for line in (headings, *lines)}) == 1
    assert f"{profile.macs:,}" in lines[-1]
    assert f"{profile.trainable:,} trainable" in parameters and "MB" in memory


def test_an_unknown_grouping_is_an_error(profile):
    with pytest.raises(ValueError, match="'level', 'block', 'layer'"):
        profile.table("stage")
    assert str(profile) == profile.table("level")


def test_records_can_be_written_as_csv(profile):
    file = io.StringIO()
    records = profile.records("block")
    writer = csv.DictWriter(file, records[0])
    writer.writeheader()
    writer.writerows(records)
    read = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert [int(row["macs"]) for row in read] == [record["macs"] for record in records]


def test_links_are_the_edges_of_the_graph():
    profile = kapps.profile(kapps.resnet20_cifar())
    names = [row.name for row in profile.rows]
    links = {(names[i] if i >= 0 else i, names[k]) for i, k in profile.links}
    assert (-1, names[0]) in links and all(i < k for i, k in profile.links)
    adds = [k for k, row in enumerate(profile.rows) if row.kind == "Add"]
    assert adds and all(sum(k == add for _, k in profile.links) == 2 for add in adds)
    sources = {i for i, _ in profile.links}
    assert sources == {*range(-1, len(names) - 1)}  # every row but the last is read
