"""Every cell of Netscope's table of AlexNet (CaffeNet), by Netscope's rules.

Netscope counts a bias once for each output element, both in the operations and in the parameters; for each output, a
pooling has F^2 operations, an LRN 2F - 1 and an activation one. P is the padding of both sides together. The
convolutions have no groups.
"""

import csv
import math
import pathlib

import pytest

import kapps

TABLE = pathlib.Path(__file__).parents[1] / "reference" / "alexnet_netscope.csv"
NORM = "LocalResponseNormalization"
KINDS = {"Conv": "Conv2D", "Nonl": "Activation", "Norm": NORM, "Pool": "MaxPooling2D", "Full": "Dense"}  # fmt: skip


@pytest.fixture(scope="module")
def network():
    """Rows of AlexNet in one tower. It ends in a ReLU, since the table counts one operation for each softmax output."""
    return kapps.profile(kapps.alexnet_ungrouped(classifier_activation="relu")).rows


def netscope_values(row, before):
    """Returns a row's values by Netscope's rules; the input of a convolution is the map before zero padding."""
    input_shape = (before if before.kind == "ZeroPadding2D" else row).inputs[0]
    elements = math.prod(row.outputs[0])
    biases = elements if row.kind in ("Conv2D", "Dense") else 0
    weights = row.parameters - row.outputs[0][-1] * bool(biases)
    operations = row.macs + biases if row.macs else row.elementwise
    if row.kind == "MaxPooling2D":
        operations = elements * math.prod(row.window.kernel)
    return {
        "macs": operations,
        "in_map": math.prod(input_shape),
        "parameter": weights + biases,
        "out_map": elements,
        "all_mem": math.prod(input_shape) + weights + biases + elements,
        "F": row.window.kernel[0] if row.window else {"Dense": 1, NORM: 5}.get(row.kind, 0),
        "S": row.window.strides[0] if row.window else int(row.kind == "Dense"),
        "No": row.outputs[0][-1] if row.kind in ("Conv2D", "Dense") else 0,
        "Ni": input_shape[-1],
        "M": input_shape[1] if len(input_shape) > 2 else 1,
        "B": input_shape[0],
    }


@pytest.fixture(scope="module")
def rows():
    with open(TABLE, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def split_activation(row, before):
    """Yields the values of a layer and those of its ReLU, which is a row of its own in the table."""
    values = netscope_values(row, before)
    yield row.kind, values
    if row.kind in ("Conv2D", "Dense") and row.name != "head_logits":
        shape = {key: values[key] for key in ("M", "B")} | {"Ni": values["No"]}
        if row.kind == "Conv2D":
            shape["M"] = row.outputs[0][1]
        elements = values["out_map"]
        assert row.elementwise == elements  # one operation for each output
        zeros = dict.fromkeys(("parameter", "F", "S", "No"), 0)
        yield (
            "Activation",
            {
                "macs": elements,
                "in_map": elements,
                "out_map": elements,
                "all_mem": 2 * elements,
                **zeros,
                **shape,
            },
        )


def test_every_cell(rows, network):
    computed = [
        cells
        for row, before in zip(network[1:], network, strict=False)
        if row.kind in KINDS.values()
        for cells in split_activation(row, before)
    ]
    first, *printed = rows
    image = {"B": 1, "Ni": 3, "M": 224, "in_map": 0, "out_map": 224 * 224 * 3, "macs": 0}
    assert {key: int(first[key]) for key in image} == image
    assert len(printed) == len(computed) == 21
    for (kind, values), expected in zip(computed, printed, strict=True):
        assert KINDS[expected["type"]] == kind
        assert values == {key: int(expected[key]) for key in values}, expected["n"]


def test_every_padding(rows, network):
    """The padding of a convolution and of a zero padding layer before it."""
    totals = []
    for row, before in zip(network[1:], network, strict=False):
        if row.kind == "Conv2D":
            padding_rows = [row, before] if before.kind == "ZeroPadding2D" else [row]
            pads = [padding_row.window.padding for padding_row in padding_rows]
            totals.append([sum(sum(pad[axis]) for pad in pads) for axis in (0, 1)])
    assert totals == [[int(row["P"])] * 2 for row in rows if row["type"] == "Conv"]
