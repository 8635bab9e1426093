"""Multiply-accumulates and parameters of whole networks, compared with a second implementation.

By default some networks are tested, with `--all` all of them.
"""

import csv
import json
import pathlib

import keras
import pytest

import kapps
from kapps import cards

REFERENCE = pathlib.Path(__file__).parents[1] / "reference"
QUICK = {
    "EfficientNetB0", "MobileNet", "MobileNetV2", "MobileNetV3Small", "ResNet50V2", "VGG16",
}  # fmt: skip


def keras_applications():
    """Returns the numbers of keras.applications, counted from the products of each convolution and dense layer."""
    with open(REFERENCE / "keras_applications.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pytest_generate_tests(metafunc):
    all_networks = metafunc.config.getoption("--all")
    if "row" in metafunc.fixturenames:
        rows, names = [], set()
        for row in keras_applications():
            if all_networks or (row["name"] in QUICK and row["name"] not in names):
                rows.append(row)
                names.add(row["name"])
        ids = [row["name"] + row["options"].strip("{}") for row in rows]
        metafunc.parametrize("row", rows, ids=ids)


@pytest.mark.long
def test_keras_applications(row, unweighted):
    sides = tuple(map(int, row["input_size"].split("x")))
    options = json.loads(row["options"])
    builder = getattr(keras.applications, row["name"])
    profile = kapps.profile(builder(weights=None, input_shape=(*sides, 3), **options))
    assert profile.macs == int(row["macs"])
    assert profile.parameters == int(row["params_total"])
    assert profile.trainable == int(row["params_trainable"])


def test_cards_have_the_multiply_accumulates_of_the_reference(reference):
    for name in cards.list_models(kind="image"):
        assert cards.card(name).macs in (None, reference[name]["macs"]), name
    assert cards.card("resnet50").macs == 4_089_184_256
