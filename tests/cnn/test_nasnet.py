"""NASNet, PNASNet and AmoebaNet: widths, the inputs of cells, drop path, auxiliary classifiers, padding of pooling."""

import graphs
import keras
import numpy as np
import pytest

import kapps
from kapps.layers import DropPath
from kapps.weights import from_keras, from_torch, keras_applications, to_keras, to_torch
from kapps.weights.names import nasnet, pnasnet

AUXILIARY = [
    ("nasnet", {"filters": 44}, 2_411_240),
    (
        "nasnet",
        {"filters": 32, "cifar": True, "input_shape": (32, 32, 3), "classes": 10},
        1_631_498,
    ),
    ("pnasnet", {"filters": 54}, 2_412_776),
    ("amoebanet", {"filters": 190, "input_shape": (331, 331, 3)}, 4_504_296),
]
"""Families, the options of their networks, and the parameters of the auxiliary classifiers by the authors' code."""


@pytest.fixture(scope="module")
def model():
    """The graph of a small NASNet for ImageNet, whose cells after a reduction cell skip its input."""
    return graphs.build(
        kapps.families.nasnet,
        n=2,
        filters=8,
        stem=16,
        skip=True,
        drop_rate=0.5,
        input_shape=(64, 64, 3),
    )


def producers(model, name):
    """Returns the names of the layers whose outputs a layer reads."""
    inputs = model.get_layer(name).input
    inputs = inputs if isinstance(inputs, list) else [inputs]
    return [graphs.layer_of(x).name for x in inputs]


def test_widths_of_the_cells(model):
    """Two reduction cells with a quarter and a half of the filters, then twice as many at each level."""
    widths = {}
    for layer in model.layers:
        if layer.name.endswith("_h0"):
            widths.setdefault(layer.name.partition("_")[0], []).append(layer.filters)
    assert widths == {"level2": [2], "level3": [4, 8, 8], "level4": [16] * 3, "level5": [32] * 3}
    sides = {level: x.shape[1:] for level, x in kapps.pyramid_outputs(model).items() if level > 1}
    assert sides == {2: (16, 16, 8), 3: (8, 8, 48), 4: (4, 4, 96), 5: (2, 2, 192)}


def test_inputs_of_the_cells(model):
    """h1 of the cell after a reduction cell is the reduction's input, or with `skip` the output before that one."""
    relus = {
        "level3_block1": "stem_conv_bn",
        "level3_block2": "level2_block1_out",
        "level3_block3": "level3_block1_out",
        "level4_block1": "level3_block2_out",
        "level4_block2": "level3_block2_out",
        "level4_block3": "level4_block1_out",
    }
    for cell, producer in relus.items():
        assert producers(model, f"{cell}_h1_relu") == [producer]
    other = graphs.build(kapps.families.nasnet, n=1, filters=8, input_shape=(64, 64, 3))
    assert producers(other, "level4_block2_h1_relu") == ["level3_block2_out"]


def test_drop_path_by_depth(model):
    """The rate rises over the cells in NASNet and is the same in all cells of AmoebaNet; none is left at inference."""
    rates = {x.name.rpartition("_c")[0]: x.rate for x in model.layers if isinstance(x, DropPath)}
    assert list(rates.values()) == pytest.approx([0.05 * i for i in range(1, 11)])
    assert sum(isinstance(x, DropPath) for x in model.layers) == 4 * 9 + 6 * 8
    amoebanet = graphs.build(kapps.families.amoebanet, n=1, filters=8, drop_steps=100)
    layers = [x for x in amoebanet.layers if isinstance(x, DropPath)]
    assert {(x.rate, x.steps) for x in layers} == {(0.3, 100)}


@pytest.mark.long
def test_auxiliary_classifiers():
    for family, options, parameters in AUXILIARY:
        model = graphs.build(getattr(kapps.families, family), n=1, **options, auxiliary=True)
        added = [x for x in model.layers if x.name.startswith("auxiliary1")]
        variables = [x for layer in added for x in layer.trainable_variables]
        assert sum(np.prod(x.shape) for x in variables) == parameters, (family, options)
    assert producers(model, "auxiliary1_relu") == ["level4_block2_out"]
    with pytest.raises(ValueError, match="at least 5x5"):
        kapps.families.nasnet(n=1, filters=4, auxiliary=True, input_shape=(64, 64, 3))


def test_padding_of_pooling_that_is_not_allowed():
    with pytest.raises(ValueError, match="pool_padding='zero'"):
        kapps.families.nasnet(n=1, filters=4, pool_padding="zero")


@pytest.mark.parametrize(
    "size, skip", [(49, False), pytest.param(64, True, marks=pytest.mark.long)]
)
@pytest.mark.long
def test_logits_equal_keras_applications(size, skip, randomise):
    """With the zeros of its pooling; the weights convert in both directions."""
    from keras.src.applications.nasnet import NASNet

    shape, options = (size, size, 3), {"classes": 10, "classifier_activation": None}
    theirs = NASNet(
        shape, penultimate_filters=96, num_blocks=1, stem_block_filters=8, skip_reduction=skip, weights=None,
        **options,
    )  # fmt: skip
    ours = kapps.families.nasnet(
        n=1, filters=4, stem=8, skip=skip, pool_padding="zeros", input_shape=shape, **options
    )
    state = keras_applications.named_arrays(randomise(theirs))
    from_keras(ours, state, nasnet.keras)
    images = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    near(ours, keras.ops.convert_to_numpy(theirs(images, training=False)), images)
    for layer, arrays in to_keras(ours, nasnet.keras, state).items():
        for array, expected in zip(arrays, state[layer], strict=True):
            np.testing.assert_array_equal(array, expected)


def near(model, expected, images):
    """Asserts that a model has the expected outputs, which depend on the image."""
    output = keras.ops.convert_to_numpy(model(images, training=False))
    largest = np.abs(expected).max()
    assert np.abs(expected[0] - expected[1]).max() > 0.01 * largest
    assert np.abs(output - expected).max() < 1e-4 * largest


def small_timm(family):
    """Returns timm's network with fewer channels, and ours of the same size."""
    from torch import nn

    if family == "nasnet":
        from timm.models.nasnet import NASNetALarge

        model = NASNetALarge(num_features=24 * 8, stem_size=16, num_classes=10, pad_type="same")
        return model, {"n": 6, "filters": 8, "stem": 16, "skip": True, "pool_padding": "averaged"}
    from timm.models.pnasnet import Cell, CellStem0, PNASNet5Large

    class Small(PNASNet5Large):
        def __init__(self):
            super().__init__(num_classes=10, pad_type="same")
            self.conv_0.conv = nn.Conv2d(3, 8, 3, stride=2, bias=False)
            self.conv_0.bn = nn.BatchNorm2d(8, eps=0.001)
            self.cell_stem_0 = CellStem0(8, 2, 8, 2, "same")
            before, last = 8, 10
            cells = {"cell_stem_1": 4} | {f"cell_{i}": 8 * 2 ** (i // 4) for i in range(12)}
            for name, filters in cells.items():
                cell = getattr(self, name)
                strided, halved = (
                    cell.comb_iter_4_right is not None,
                    cell.match_prev_layer_dimensions,
                )
                setattr(self, name, Cell(before, filters, last, filters, "same", strided, halved))
                before, last = last, 5 * filters
            self.last_linear = nn.Linear(last, 10)

    return Small(), {"n": 4, "filters": 8, "stem": 8}


def pytorchcv_mobile():
    """Returns pytorchcv's NASNet mobile with global pooling, for images of any size, and ours.

    Averages of both count the padding, since Keras's do not ignore it correctly on PyTorch.
    """
    from pytorchcv.model_provider import get_model
    from torch import nn

    model = get_model("nasnet_4a1056", num_classes=10)
    model.features.final_pool = nn.AdaptiveAvgPool2d(1)
    for module in model.modules():
        if isinstance(module, nn.AvgPool2d) and module.stride == 2:
            module.count_include_pad = True
    return model, {"n": 4, "filters": 44, "pool_padding": "averaged"}


@pytest.mark.peers
@pytest.mark.parametrize(
    "family, library, sizes",
    [
        ("nasnet", "timm", (64, 97)),
        ("pnasnet", "timm", (64, 97)),
        ("nasnet", "pytorchcv", (128, 224)),  # its padding is SAME's where maps have these sides
    ],
)
def test_logits_equal_pytorch(family, library, sizes, operations):
    """With averages over zeros, which are timm's."""
    import torch
    from test_peers import adapt_norms

    torch.manual_seed(0)
    model, options = small_timm(family) if library == "timm" else pytorchcv_mobile()
    model = adapt_norms(model, sizes[-1])
    names = getattr({"nasnet": nasnet, "pnasnet": pnasnet}[family], library)
    state = {key: tensor.numpy() for key, tensor in model.state_dict().items()}
    for size in sizes:
        ours = getattr(kapps.families, family)(
            **options, input_shape=(size, size, 3), classes=10, classifier_activation=None
        )
        from_torch(ours, state, names)
        images = np.random.default_rng(size).normal(size=(2, size, size, 3)).astype("float32")
        with torch.no_grad():
            expected = model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
        near(ours, expected, images)
    for key, array in to_torch(ours, names).items():
        np.testing.assert_array_equal(array.reshape(state[key].shape), state[key])
