"""Parameters and multiply-accumulates of segmentation models: those of other implementations."""

import csv
import math

import graphs
import keras
import models
import pytest

import kapps
from kapps.segmentation import fpn

with open(models.REFERENCE / "segmentation.csv", newline="", encoding="utf-8") as file:
    ROWS = list(csv.DictReader(file))


def parameters(variables):
    return sum(math.prod(variable.shape) for variable in variables)


@pytest.mark.long
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['name']}-{row['height']}")
def test_counts_are_the_references(row):
    function = getattr(kapps.segmentation, row["name"])
    shape = (int(row["height"]), int(row["width"]), 3)
    model = graphs.build(function, input_shape=shape, classes=int(row["classes"]))
    assert parameters(model.trainable_variables) == int(row["params"])
    assert parameters(model.weights) == int(row["total"])
    assert kapps.profile(model).macs == int(row["macs"])
    assert model.output_shape == (None, *shape[:2], int(row["classes"]))
    assert model.output.dtype == "float32" and model.name == row["name"]


NECKS = [
    # body, levels, coarser levels, parameters, multiply-accumulates at 224x224; torchvision's FeaturePyramidNetwork
    ("resnet50", None, "pool", 3_344_384, 2_841_968_640),
    ("resnet18", None, "pool", 2_607_104, 2_552_954_880),
    ("resnet50", (3, 4, 5), "p6p7", 3_868_672, None),
]


@pytest.mark.parametrize("name, levels, extra, params, macs", NECKS)
def test_counts_of_the_neck(name, levels, extra, params, macs):
    body = graphs.graph(name, include_top=False).model
    with keras.StatelessScope(initialize_variables=False):
        model = fpn(body, levels=levels, extra=extra)
    assert parameters(model.weights) - parameters(body.weights) == params
    for variable in model.variables:
        variable._initializer = keras.initializers.Zeros()
    if macs is not None:
        assert kapps.profile(model).macs - kapps.profile(body).macs == macs
    first = 2 if levels is None else levels[0]
    sides = [x.shape[1] for x in model.outputs]
    assert sides == [-(-224 // 2**level) for level in range(first, first + len(sides))]
    outputs = kapps.pyramid_outputs(model)
    for level, x in enumerate(model.outputs, start=first):
        assert outputs[level] is x and x.shape[-1] == 256
