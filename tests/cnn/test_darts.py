"""DARTS and SNAS: logits of the authors' code, auxiliary classifiers, drop path and operations."""

import functools
import math

import fingerprints
import graphs
import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import kapps
from kapps.cnn import darts, darts_cifar, snas
from kapps.layers import DropPath, cells
from kapps.weights import to_torch
from kapps.weights.names.darts import quark0

CELLS = [
    # genotype, tensors, first four logits, last logit, norm of all; C = 8, L = 8
    (darts.FIRST_ORDER, 449, (447.701624, 680.100253, 462.246827, -97.9766685), 583.934969, 3295.72838),
    (darts.SECOND_ORDER, 485, (6154.76639, 1365.34798, 1975.06813, -9013.77862), -4112.18263, 21092.9395),
    (darts_cifar.NASNET, 569, (-1.03923199, 193.676478, -79.9404282, -168.249992), -34.0375154, 765.730036),
    (darts_cifar.AMOEBANET, 485, (891.721814, 474.175395, -211.49907, 106.877545), 152.639299, 2772.96311),
    (snas.MODERATE, 437, (-41.8633605, 39.8653306, 70.5521133, 51.6062093), 17.2236782, 248.432816),
    (snas.MILD, 353, (-194.714055, 356.559691, 378.371201, -1128.49665), -144.799834, 3271.20037),
]  # fmt: skip
"""Logits of github.com/quark0/darts with the tensors of `fingerprints.py`."""
SMALL = {"filters": 4, "depth": 3, "input_shape": (32, 32, 3)}


def trainable(model):
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def assert_logits(build, images, classes, tensors, *fingerprint):
    output, count = fingerprints.logits(build, quark0, images, "classifier", classes)
    assert count == tensors
    fingerprints.assert_fingerprint(output, *fingerprint)


@pytest.mark.long
@pytest.mark.parametrize(
    "number", [1, *(pytest.param(i, marks=pytest.mark.long) for i in (0, 2, 3, 4, 5))]
)
def test_logits_equal_those_of_the_authors_code(number):
    genotype, tensors, *fingerprint = CELLS[number]
    build = functools.partial(kapps.families.darts_cifar, genotype=genotype, filters=8, depth=8)
    assert_logits(build, fingerprints.images(2, 32, 32), 10, tensors, *fingerprint)


@pytest.mark.long
def test_logits_on_imagenet_equal_those_of_the_authors_code():
    first = (-290911.608, -83794.045, 14704.3587, -263760.061)
    images = fingerprints.images(2, 224, 224)
    assert_logits(kapps.darts_v2, images, 1000, 952, first, 156702.615, 9300522.73)


@pytest.mark.long
def test_auxiliary_classifiers_have_the_parameters_of_the_authors_code():
    expected = {"darts_v1_cifar": 3_645_840, "darts_v1": 5_771_208, "darts_v2": 5_979_528}
    for name, parameters in expected.items():
        model = graphs.graph(name, auxiliary=True).model
        assert trainable(model) == parameters
        assert model.output_names == ["predictions", "auxiliary1"]
        reduced = graphs.layer_of(model.get_layer("auxiliary1_relu").input).name
        assert reduced == f"level{2 if name.endswith('cifar') else 5}_block1_out"


def test_small_map_for_the_auxiliary_classifier_raises():
    for family, side in (("darts", 192), ("darts_cifar", 28)):
        options = {**SMALL, "input_shape": (side, side, 3), "auxiliary": True}
        with pytest.raises(ValueError, match="auxiliary1 needs a feature map") as caught:
            graphs.build(getattr(kapps.families, family), **options)
        assert "input_shape" in str(caught.value) and "\n" not in str(caught.value)


def test_drop_path_exempts_identities_and_no_other_operation():
    model = graphs.build(
        kapps.families.darts_cifar, genotype=darts.FIRST_ORDER, drop_rate=0.2, drop_steps=9, **SMALL
    )
    drops = [layer for layer in model.layers if isinstance(layer, DropPath)]
    assert {(layer.rate, layer.steps) for layer in drops} == {(0.2, 9)}
    # The normal cell has three identities, as has each of the two reduction cells.
    assert len(drops) == 3 * (8 - 3)
    assert not [
        layer
        for layer in graphs.build(kapps.families.darts, **SMALL).layers
        if isinstance(layer, DropPath)
    ]


def test_nodes_without_operations_are_zero_and_concatenated():
    model = kapps.families.snas_cifar(genotype=snas.AGGRESSIVE, include_top=False, **SMALL)
    nodes = [model.get_layer(f"level1_block1_{node}").output for node in range(4)]
    values = keras.Model(model.input, nodes)(np.ones((1, 32, 32, 3), "float32"))
    assert [bool(keras.ops.any(value != 0)) for value in values] == [True, True, False, False]
    assert model.get_layer("level1_block1_out").output.shape[-1] == 4 * 8


def test_poolings_of_snas_with_batch_norms():
    """Five poolings in each reduction cell of the mild genotype, of 72 and of 144 channels."""
    options = {"genotype": snas.MILD, "filters": 36, "depth": 20}
    model = graphs.build(kapps.families.snas_cifar, pool_norm=True, **options)
    assert trainable(model) == kapps.card("snas_mild_cifar").params + 2 * 5 * (72 + 144)


def test_strided_operations_read_the_pixels_of_pytorchs_windows():
    """conv_7x1_1x7 and none; the engine's tests have the other operations."""
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 2)).astype("float32")
    image = keras.Input((8, 8, 2))
    model = keras.Model(image, darts.conv_7x1_1x7(image, 2, strides=2, name="op"))
    assert model.output.shape == (None, 4, 4, 2)
    assert model.get_layer("op_conv1").output.shape == (None, 8, 4, 2)
    for name in ("op_conv1", "op_conv2"):  # the middle of the kernel only
        kernel = np.zeros(model.get_layer(name).kernel.shape, "float32")
        kernel[kernel.shape[0] // 2, kernel.shape[1] // 2] = np.eye(2)
        model.get_layer(name).kernel.assign(kernel)
    output = keras.ops.convert_to_numpy(model(x)) * np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(output, np.maximum(x, 0)[:, ::2, ::2], atol=1e-6)
    zero = keras.Model(image, cells.none(image, 2, strides=2, name="zero"))
    assert zero.output.shape == (None, 4, 4, 2) and not keras.ops.any(zero(x) != 0)


def test_genotypes_read_earlier_maps_only():
    genotypes = [row[0] for row in CELLS] + [snas.AGGRESSIVE]
    for rows, concatenated in (cell for genotype in genotypes for cell in genotype):
        maps = {"c_{k-2}", "c_{k-1}"}
        for node, *edges in rows:
            assert set(edges[::2]) <= set(darts.OPERATIONS) and set(edges[1::2]) <= maps
            maps.add(node)
        assert set(concatenated) <= maps


def test_state_dicts_of_the_authors_code_load(tmp_path):
    build = functools.partial(kapps.families.darts_cifar, **SMALL)
    model = build()
    state = {name: np.ascontiguousarray(x) for name, x in to_torch(model, quark0).items()}
    save_file(state, tmp_path / "weights.safetensors")
    loaded = build(weights=tmp_path / "weights.safetensors")
    for value, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_fewer_cells_than_levels_raise():
    for family in ("darts", "darts_cifar", "snas", "snas_cifar"):
        with pytest.raises(ValueError, match="depth=2 is below 3") as caught:
            getattr(kapps.families, family)(depth=2)
        assert "\n" not in str(caught.value)
