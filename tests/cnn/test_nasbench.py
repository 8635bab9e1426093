"""The networks of NAS-Bench-201 and NAS-Bench-Macro: cells as functions, and parameters of the benchmarks."""

import csv

import graphs
import keras
import numpy as np
import pytest

import kapps
from kapps._cell_strings import EDGES, cell_genotype
from kapps.cnn import nasbench201
from kapps.layers import cells


def pool(x):
    """3x3 average of the pixels of the map within each window, for maps (height, width, channels)."""
    result = np.zeros_like(x)
    for i, j in np.ndindex(x.shape[:2]):
        window = x[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
        result[i, j] = window.mean(axis=(0, 1))
    return result


def convolve(x, kernel):
    """ReLU and a convolution of a map (height, width, channels), padded by zeros."""
    margin = kernel.shape[0] // 2
    padded = np.pad(np.maximum(x, 0), ((margin, margin), (margin, margin), (0, 0)))
    result = np.zeros(x.shape)
    for i, j in np.ndindex(x.shape[:2]):
        window = padded[i : i + kernel.shape[0], j : j + kernel.shape[1]]
        result[i, j] = np.einsum("hwc,hwcf->f", window, kernel)
    return result


@pytest.mark.parametrize("digits", ["303101", "423410", "240013", "034204"])
def test_a_cell_computes_the_sum_of_its_edges(digits):
    image = keras.Input((5, 5, 3))
    output = cells.cell(
        {"0": image}, cell_genotype(digits), 3, operations=nasbench201.OPERATIONS, edges=None, name="cell"
    )  # fmt: skip
    model, random = keras.Model(image, output), np.random.default_rng(0)
    x = random.normal(size=(5, 5, 3)).astype("float32")
    maps, kernels = [x, *np.zeros((3, *x.shape))], {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([random.normal(size=layer.kernel.shape)])
            kernels[layer.name] = layer.get_weights()[0]
    scale = 1 / np.sqrt(1 + 1e-5)  # of a batch norm that has not been trained
    for (source, node), digit in zip(EDGES, digits, strict=True):
        kernel = kernels.get(f"cell_{node}_from{source}")
        if digit == "1":
            maps[node] = maps[node] + maps[source]
        elif digit == "4":
            maps[node] = maps[node] + pool(maps[source])
        elif kernel is not None:  # an operation that is not read is not built
            maps[node] = maps[node] + scale * convolve(maps[source], kernel)
    result = keras.ops.convert_to_numpy(model(x[None]))[0]
    np.testing.assert_allclose(result, maps[3], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "digits, parameters, macs",
    [("111111", 73_306, 7_783_040), ("333333", 1_531_546, 220_119_680)],
)
def test_least_and_most_of_the_benchmark(digits, parameters, macs):
    """The benchmark's range is 7.78305 M to 220.11969 M; it also counts the 10 biases of the classifier."""
    model = graphs.build(kapps.families.nasbench201, cell=digits)
    profile = kapps.profile(model)
    assert (profile.trainable, profile.macs) == (parameters, macs)


def test_a_cell_that_does_not_connect_input_and_output_is_a_constant():
    model = kapps.families.nasbench201(cell="000000", filters=2, depth=1, input_shape=(8, 8, 3))
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    predictions = keras.ops.convert_to_numpy(model(images))
    np.testing.assert_array_equal(predictions[0], predictions[1])


def test_benchmark_strings_and_digits_build_the_same_network():
    text = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"
    options = dict(filters=2, depth=1, input_shape=(8, 8, 3))
    models = [
        graphs.build(kapps.families.nasbench201, cell=cell, **options) for cell in (text, "303101")
    ]
    assert [x.name for x in models[0].layers] == [x.name for x in models[1].layers]


def test_networks_of_the_macro_table(shared_data):
    path = shared_data("nasbench", "nasbench_macro.csv")
    with open(path, newline="", encoding="utf-8") as file:
        rows = {row["blocks"]: row for row in csv.DictReader(file)}
    for blocks in ("00000000", "12012012"):
        profile = kapps.profile(graphs.build(kapps.families.nasbench_macro, blocks=blocks))
        row = rows[blocks]
        assert (profile.trainable, profile.macs) == (int(row["params"]), int(row["flops"]))


@pytest.mark.parametrize(
    "family, options, words",
    [
        ("nasbench201", {"cell": "30310"}, "six digits"),
        ("nasbench201", {"cell": "|nor_conv_3x4~0|"}, "nor_conv_3x3"),
        ("nasbench201", {"cell": "|none~1|+|none~0|none~1|+|none~0|none~1|none~2|"}, "six digits"),
        ("nasbench_macro", {"blocks": "2222222"}, "8 digits"),
    ],
)
def test_wrong_cells_raise_in_one_line(family, options, words):
    with pytest.raises(ValueError, match=words) as raised:
        getattr(kapps.families, family)(**options)
    assert "\n" not in str(raised.value)
