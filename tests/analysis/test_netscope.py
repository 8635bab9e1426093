"""Every cell of the AlexNet/CaffeNet table that Netscope made, by its own rules of counting.

They differ from ours: a bias counts once an output element, in the operations and in the parameters alike; a pooling
F^2 an output, an LRN 2F - 1, an activation one. Its P is the padding of both sides together, and its convolutions
have no groups.
"""

import csv
import math
import pathlib

import keras
import pytest
from keras import layers, ops

import kapps

TABLE = pathlib.Path(__file__).parents[1] / "reference" / "alexnet_netscope.csv"
KINDS = {"Conv": "Conv2D", "Nonl": "Activation", "Norm": "Norm", "Pool": "MaxPooling2D", "Full": "Dense"}  # fmt: skip


class Norm(layers.Layer):
    """Local response normalisation over 5 channels, with Netscope's count of it."""

    def call(self, x):
        squares = ops.pad(ops.square(x), ((0, 0), (0, 0), (0, 0), (2, 2)))
        total = sum(squares[..., i : i + x.shape[-1]] for i in range(5))
        return x / (1 + 2e-5 * total) ** 0.75

    def profile_cost(self, input_shapes, output_shapes):
        return {"elementwise": (2 * 5 - 1) * math.prod(output_shapes[0])}


def alexnet():
    """The network of the table, its paddings as the table has them: 3 and 4 in all, then 2."""
    x = image = keras.Input((224, 224, 3))
    for filters, kernel, strides, pads, norm, pool in (
        (96, 11, 4, (1, 2), True, True),
        (256, 5, 1, (2, 2), True, True),
        (384, 3, 1, (1, 1), False, False),
        (384, 3, 1, (1, 1), False, False),
        (256, 3, 1, (1, 1), False, True),
    ):
        x = layers.ZeroPadding2D((pads, pads))(x)
        x = layers.Conv2D(filters, kernel, strides=strides)(x)
        x = layers.Activation("relu")(x)
        x = Norm()(x) if norm else x
        x = layers.MaxPooling2D(3, strides=2)(x) if pool else x
    x = layers.Flatten()(x)
    for units in (4096, 4096, 1000):
        x = layers.Activation("relu")(layers.Dense(units)(x))
    return keras.Model(image, x)


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
        "F": row.window.kernel[0] if row.window else {"Dense": 1, "Norm": 5}.get(row.kind, 0),
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


def test_every_cell(rows):
    every = kapps.profile(alexnet()).rows
    counted = [
        pair for pair in zip(every[1:], every, strict=False) if pair[0].kind in KINDS.values()
    ]
    first, *printed = rows
    picture = {"B": 1, "Ni": 3, "M": 224, "in_map": 0, "out_map": 224 * 224 * 3, "macs": 0}
    assert {key: int(first[key]) for key in picture} == picture
    assert len(printed) == len(counted) == 21
    for (row, before), expected in zip(counted, printed, strict=True):
        found = netscope(row, before)
        assert KINDS[expected["type"]] == row.kind
        assert found == {key: int(expected[key]) for key in found}, row.name


def test_every_padding(rows):
    """P: in the zero padding before each convolution."""
    pads = [row.window.padding for row in kapps.profile(alexnet()).rows if row.kind == "ZeroPadding2D"]  # fmt: skip
    printed = [int(row["P"]) for row in rows if row["type"] == "Conv"]
    assert [sum(pad[0]) for pad in pads] == [sum(pad[1]) for pad in pads] == printed


def test_a_network_of_our_own_takes_the_place_of_this_one():
    assert not set(kapps.list_models()) & {"alexnet", "caffenet"}, (
        "profile kapps's own in this table"
    )
