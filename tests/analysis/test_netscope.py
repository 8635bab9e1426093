"""Every cell of the AlexNet/CaffeNet table that Netscope made, by its own rules of counting.

They differ from ours: a bias counts once an output element, in the operations and in the parameters alike; a pooling
F^2 an output, an LRN 2F - 1, an activation one. Its P is the padding of both sides together, and its convolutions
have no groups.
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
    """The profile of the table's network, ours in one tower. A ReLU at its end: the table counts a softmax as one."""
    return kapps.profile(kapps.alexnet_ungrouped(classifier_activation="relu")).rows


def netscope(row, before):
    """Returns a row's figures by Netscope's rules; what a convolution is given lies before its padding."""
    given = (before if before.kind == "ZeroPadding2D" else row).inputs[0]
    made = math.prod(row.outputs[0])
    biases = made if row.kind in ("Conv2D", "Dense") else 0
    weights = row.parameters - row.outputs[0][-1] * bool(biases)
    counted = row.macs + biases if row.macs else row.elementwise
    if row.kind == "MaxPooling2D":
        counted = made * math.prod(row.window.kernel)
    return {
        "macs": counted,
        "in_map": math.prod(given),
        "parameter": weights + biases,
        "out_map": made,
        "all_mem": math.prod(given) + weights + biases + made,
        "F": row.window.kernel[0] if row.window else {"Dense": 1, NORM: 5}.get(row.kind, 0),
        "S": row.window.strides[0] if row.window else int(row.kind == "Dense"),
        "No": row.outputs[0][-1] if row.kind in ("Conv2D", "Dense") else 0,
        "Ni": given[-1],
        "M": given[1] if len(given) > 2 else 1,
        "B": given[0],
    }


@pytest.fixture(scope="module")
def rows():
    with open(TABLE, newline="") as file:
        return list(csv.DictReader(file))


def apart(row, before):
    """Yields a layer's figures, and those of the ReLU that is part of it, which the table has as a row of its own."""
    found = netscope(row, before)
    yield row.kind, found
    if row.kind in ("Conv2D", "Dense") and row.name != "head_logits":
        shape = {key: found[key] for key in ("M", "B")} | {"Ni": found["No"]}
        if row.kind == "Conv2D":
            shape["M"] = row.outputs[0][1]
        made = found["out_map"]
        assert row.elementwise == made  # one operation an output
        nothing = dict.fromkeys(("parameter", "F", "S", "No"), 0)
        yield (
            "Activation",
            {
                "macs": made,
                "in_map": made,
                "out_map": made,
                "all_mem": 2 * made,
                **nothing,
                **shape,
            },
        )


def test_every_cell(rows, network):
    counted = [
        cells
        for row, before in zip(network[1:], network, strict=False)
        if row.kind in KINDS.values()
        for cells in apart(row, before)
    ]
    first, *printed = rows
    image = {"B": 1, "Ni": 3, "M": 224, "in_map": 0, "out_map": 224 * 224 * 3, "macs": 0}
    assert {key: int(first[key]) for key in image} == image
    assert len(printed) == len(counted) == 21
    for (kind, found), expected in zip(counted, printed, strict=True):
        assert KINDS[expected["type"]] == kind
        assert found == {key: int(expected[key]) for key in found}, expected["n"]


def test_every_padding(rows, network):
    """P, of both sides: in a convolution, or in the zero padding before it."""
    found = []
    for row, before in zip(network[1:], network, strict=False):
        if row.kind == "Conv2D":
            padded = [row, before] if before.kind == "ZeroPadding2D" else [row]
            pads = [each.window.padding for each in padded]
            found.append([sum(sum(pad[axis]) for pad in pads) for axis in (0, 1)])
    assert found == [[int(row["P"])] * 2 for row in rows if row["type"] == "Conv"]
