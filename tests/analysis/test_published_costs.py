"""Published parameters and multiply-accumulates (tests/reference/published.csv) of every network with a builder.

The column `builder` has the builder of each network; the networks in `PIECES` have none. A builder that does not
exist yet is in `PENDING`, and must be removed from it when it exists. `--all` tests the large
networks too.
"""

import csv
import pathlib

import graphs
import keras
import pytest
from keras import layers

import kapps

PUBLISHED = pathlib.Path(__file__).parents[1] / "reference" / "published.csv"

PENDING = set()
"""Builders of published.csv that do not exist yet."""


def inception_3a():
    """GoogLeNet's first Inception block: 64; 96 and 128; 16 and 32; pooling and 32."""
    x = keras.Input((28, 28, 192))
    branches = [(64, 1, x)]
    branches += [(n, k, layers.Conv2D(m, 1)(x)) for m, n, k in ((96, 128, 3), (16, 32, 5))]
    branches += [(32, 1, layers.MaxPooling2D(3, strides=1, padding="same")(x))]
    outputs = [layers.Conv2D(n, k, padding="same")(y) for n, k, y in branches]
    return keras.Model(x, layers.Concatenate()(outputs))


def single_layer_model(layer, shape):
    return keras.Sequential([keras.Input(shape), layer])


# Models that are not builders of kapps.
PIECES = {
    ("inception_block", "3a"): inception_3a,
    ("conv3x3", "192to256"): lambda: single_layer_model(
        layers.Conv2D(256, 3, padding="same"), (28, 28, 192)
    ),
    ("conv5x5", "192to256"): lambda: single_layer_model(
        layers.Conv2D(256, 5, padding="same"), (28, 28, 192)
    ),
    ("separable_conv", "3x3 on 3 channels to 10"): lambda: single_layer_model(
        layers.SeparableConv2D(10, 3, use_bias=False), (8, 8, 3)
    ),
}

# The value of a metric in a profile.
METRICS = {
    "params": lambda profile: profile.trainable,
    "macs": lambda profile: profile.macs,
    "activations": lambda profile: profile.convolution_outputs,
    "weight_memory_saving": lambda profile: 4 * profile.binary_weights / profile.packed_bytes,
}

MODULES = {3: "ab", 4: "abcde", 5: "ab"}
BRANCHES = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")
# The layers of each part of a network that has published numbers.
PARTS = {
    "googlenet": {
        "conv2": ["stem_conv2", "stem_conv3"],
        "linear": ["head_logits"],
        **{
            f"{level}{letter}": [f"level{level}_block{i}_{branch}" for branch in BRANCHES]
            for level, letters in MODULES.items()
            for i, letter in enumerate(letters, start=1)
        },
    },
    "lenet5": {"conv1": ["stem_conv"], "conv2": ["level1_conv"], "dense1": ["head_dense1"]},
    "alexnet_single": {
        "conv1": ["stem_conv"],
        "conv2": ["level3_conv1"],
        "conv3to5": ["level4_conv1", "level4_conv2", "level4_conv3"],
        "dense1": ["head_dense1"],
        "dense2": ["head_dense2"],
    },
    "squeezenet": {
        "conv1": ["stem_conv"],
        "conv10": ["head_logits"],
        **{
            f"fire{n}": [f"{block}_{part}" for part in ("squeeze", "expand1x1", "expand3x3")]
            for n, block in enumerate(
                [f"level2_block{i}" for i in (1, 2, 3)]
                + [f"level3_block{i}" for i in (1, 2, 3, 4)]
                + ["level4_block1"],
                start=2,
            )
        },
    },
    "vgg16": {"dense_first": ["head_dense1"]},
}
WEIGHTS = {"lenet5", "alexnet_single", "vgg16"}
"""Networks whose parts' parameters are published without biases."""
HEADLESS = {"alexnet_single": "params"}
"""Networks and the metric that is published without the prediction layer."""
TENFOLD = {"lenet5": "macs"}
"""The slide has ten times LeNet's products: 28 * 28 * 150 is 0.12M, not 1.2M, and 10 * 10 * 2400 is 0.24M, not 2.4M."""
OPTIONS = {"inception_v3": {"auxiliary": True}}
"""Arguments of the builder whose numbers are published, if not the defaults."""


def computed_value(model, profile, metric):
    """Returns the value of a metric for a model or for one of its `PARTS`."""
    if metric in METRICS:
        without_logits = HEADLESS.get(model.name) == metric
        logits = profile.row("head_logits").trainable if without_logits else 0
        return METRICS[metric](profile) - logits
    kind, part = metric.split("_", maxsplit=1)
    layers = [model.get_layer(name) for name in PARTS[model.name][part]]
    if kind == "macs":
        return sum(profile.row(layer.name).macs for layer in layers)
    biases = sum(layer.bias.shape[0] for layer in layers) if model.name in WEIGHTS else 0
    return sum(layer.count_params() for layer in layers) - biases


def rows():
    with open(PUBLISHED, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


BUILDERS = {(row["system"], row["variant"]): row["builder"] for row in rows() if row["builder"]}
"""The builder of each network by (system, variant)."""


def tolerance(row):
    """Returns the allowed relative difference; None if the published number is wrong, which the note explains."""
    return float(row["tolerance"].rstrip("%")) / 100 if row["tolerance"] else None


def buildable_rows():
    """Returns the rows whose network can be built."""
    builders = set(kapps.list_models())
    return [
        row
        for row in rows()
        if (row["system"], row["variant"]) in PIECES
        or BUILDERS.get((row["system"], row["variant"])) in builders
    ]


def row_name(row):
    return f"{row['system']} {row['variant']} {row['metric']} {row['value']}"


def rows_by_network():
    """Returns the rows with a builder by network, so that each network is built once."""
    networks = {}
    for row in buildable_rows():
        networks.setdefault((row["system"], row["variant"]), []).append(row)
    return networks


def pytest_generate_tests(metafunc):
    """Large networks take seconds to build and are tested with `--all`."""
    if "network" in metafunc.fixturenames:
        all_networks = metafunc.config.getoption("--all")
        networks = [
            network
            for network in rows_by_network()
            if all_networks or network in PIECES or kapps.card(BUILDERS[network]).params < 30e6
        ]
        params = {
            network: kapps.card(BUILDERS[network]).params
            for network in networks
            if network in BUILDERS
        }
        # The larger networks only repeat layers of the smaller ones.
        marks = {
            network: [pytest.mark.long] for network in networks if params.get(network, 0) > 8e6
        }
        rows = [pytest.param(network, marks=marks.get(network, ())) for network in networks]
        metafunc.parametrize("network", rows, ids=[" ".join(network) for network in networks])


def test_costs_are_as_published(network):
    (shape,) = {row["input"] for row in rows_by_network()[network]}
    if network in PIECES:
        model = PIECES[network]()
    else:
        channels, height, width = map(int, shape.split("x"))
        builder = getattr(kapps, BUILDERS[network])
        options = {"input_shape": (height, width, channels), **OPTIONS.get(builder.__name__, {})}
        model = graphs.build(builder, **options)
    profile = kapps.profile(model)
    for row in rows_by_network()[network]:
        if tolerance(row) is None:
            continue  # the published number is wrong: tested below
        factor = 10 if row["metric"].startswith(TENFOLD.get(model.name, "-")) else 1
        expected = pytest.approx(float(row["value"]), rel=tolerance(row))
        assert factor * computed_value(model, profile, row["metric"]) == expected, row_name(row)


def test_every_row_is_tested_or_pending():
    networks = {(row["system"], row["variant"]) for row in rows()}
    assert networks == set(BUILDERS) | set(PIECES), "a network of published.csv is not in BUILDERS"
    missing = set(BUILDERS.values()) - set(kapps.list_models())
    assert missing == PENDING, "remove networks with a builder from PENDING"
    tested = {row_name(row) for row in buildable_rows()}
    pending = {
        row_name(row) for row in rows() if BUILDERS.get((row["system"], row["variant"])) in PENDING
    }
    assert not tested & pending and len(tested | pending) == len({row_name(row) for row in rows()})


def test_googlenets_first_convolution_has_more_weights_than_its_paper_says():
    """The paper's table has 2.7K weights and 34M products for the 7x7/2 convolution with 64 filters.

    It has 7 * 7 * 3 * 64 = 9408 weights and, at 112 x 112 positions, 118M products. published.csv has the paper's
    numbers without a tolerance.
    """
    profile = kapps.profile(
        single_layer_model(
            layers.Conv2D(64, 7, strides=2, padding="same", use_bias=False), (224, 224, 3)
        )
    )
    assert (profile.macs, profile.parameters) == (112 * 112 * 9408, 9408)
    published = {
        row["metric"]: float(row["value"]) for row in rows() if row["system"] == "googlenet"
    }
    assert profile.parameters > 3 * published["params_conv1"]
    assert profile.macs > 3 * published["macs_conv1"]
