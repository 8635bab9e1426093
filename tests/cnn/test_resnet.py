"""ResNet, ResNeXt, wide ResNet and SE-ResNet: strides, shortcuts, groups, and saved grouped models."""

import keras
import numpy as np
import pytest

import kapps
from kapps.cnn import resnet
from kapps.layers import GroupedConv2D, squeeze_excite

# Floating-point operations of Table 1 of arXiv:1512.03385, whose bottlenecks have the strides in the first 1x1.
PRINTED = {
    "resnet18": 1.8e9,
    "resnet34": 3.6e9,
    "resnet50_v1": 3.8e9,
    "resnet101_v1": 7.6e9,
    "resnet152_v1": 11.3e9,
}
SMALL = {"input_shape": (32, 32, 3), "classes": 10, "classifier_activation": None}

LOAD_WITHOUT_KAPPS = """
import sys
sys.modules["kapps"] = None  # importing it fails, as if it is not installed
import numpy as np, keras
model = keras.saving.load_model("portable.keras", safe_mode=True)
np.save("outputs.npy", keras.ops.convert_to_numpy(model(np.load("images.npy"), training=False)))
"""


@pytest.fixture
def grouped(randomise):
    """A small ResNeXt with SE blocks, up to the logits."""
    return randomise(kapps.families.resnet(depths=(1, 1), groups=32, group_width=4, se=16, **SMALL))


@pytest.mark.parametrize(
    "name", ["resnet50", "resnet50_v1", "resnext50", "wide_resnet50", "se_resnext50"]
)
@pytest.mark.long
def test_parameters_and_multiply_adds_of_each_option(name, figures, reference):
    assert figures(getattr(kapps, name)()) == reference[name]


def test_multiply_adds_of_table_1(reference):
    for name, printed in PRINTED.items():
        assert reference[name]["macs"] == pytest.approx(printed, rel=0.02), name


@pytest.mark.parametrize("name, place", [("resnet50", "conv2"), ("resnet50_v1", "conv1")])
def test_strides_of_the_bottleneck(name, place):
    model = getattr(kapps, name)(include_top=False, input_shape=(32, 32, 3))
    strided = [layer.name for layer in model.layers if getattr(layer, "strides", 1) == (2, 2)]
    expected = [f"level{n}_block1_{part}" for n in (3, 4, 5) for part in (place, "shortcut")]
    assert sorted(strided) == sorted([*expected, "stem_conv", "stem_pool"])


@pytest.mark.parametrize("name, levels", [("resnet18", (3, 4, 5)), ("resnet50", (2, 3, 4, 5))])
def test_shortcut_projects_only_where_the_shape_changes(name, levels):
    model = getattr(kapps, name)(include_top=False, input_shape=(32, 32, 3))
    names = [layer.name for layer in model.layers if layer.name.endswith("_shortcut")]
    assert names == [f"level{level}_block1_shortcut" for level in levels]


def test_last_level_is_the_output():
    model = kapps.resnet18(include_top=False, input_shape=(40, 40, 3))
    levels = kapps.pyramid_outputs(model)
    assert list(levels) == [1, 2, 3, 4, 5] and levels[5] is model.output
    assert [levels[level].shape[-1] for level in levels] == [64, 64, 128, 256, 512]


def test_block_is_initially_the_identity(digits):
    model = kapps.resnet18(include_top=False, input_shape=(32, 32, 1))
    ends = [model.get_layer(f"level2_{name}").output for name in ("block1_out", "block2_out")]
    first, second = keras.Model(model.input, ends)(digits(32, channels=1)[0][:2], training=False)
    first, second = keras.ops.convert_to_numpy(first), keras.ops.convert_to_numpy(second)
    assert first.max() > 0
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("option", [{"groups": 2}, {"group_width": 4}, {"stride_in": "1x1"}])
def test_basic_block_with_groups_raises(option):
    with pytest.raises(ValueError) as caught:
        kapps.families.resnet(depths=(1,), block=resnet.basic_block, **option, **SMALL)
    assert "basic_block" in str(caught.value) and next(iter(option)) in str(caught.value)


def test_squeeze_excite_formula(randomise):
    image = keras.Input((4, 5, 8))
    model = randomise(keras.Model(image, squeeze_excite(image, 4, name="se")))
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 8)).astype("float32")
    w1, b1, w2, b2 = model.get_weights()
    hidden = np.maximum(x.mean(axis=(1, 2)) @ w1[0, 0] + b1, 0)
    scale = 1 / (1 + np.exp(-(hidden @ w2[0, 0] + b2)))
    output = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(output, x * scale[:, None, None], rtol=1e-5, atol=1e-5)


def test_groups_are_grouped_convolutions(grouped):
    kinds = {layer.name: layer for layer in grouped.layers if isinstance(layer, GroupedConv2D)}
    assert list(kinds) == ["level2_block1_conv2", "level3_block1_conv2"]
    assert kinds["level3_block1_conv2"].kernel.shape == (3, 3, 8, 256)


@pytest.mark.long
def test_training_with_groups_lowers_the_loss(digits):
    model = kapps.families.resnet(
        depths=(1,), groups=32, group_width=4, se=16, input_shape=(32, 32, 1), classes=10
    )
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    images, labels = digits(32, channels=1)
    losses = [model.train_on_batch(images[:16], labels[:16]) for _ in range(8)]
    assert np.isfinite(losses).all() and losses[-1] < 0.7 * losses[0]


@pytest.mark.long
def test_portable_resnext50_loads_without_kapps(digits, randomise, tmp_path, fresh):
    portable = randomise(kapps.resnext50(portable=True, **SMALL))
    assert not any(isinstance(layer, GroupedConv2D) for layer in portable.layers)
    ours = kapps.resnext50(**SMALL)
    ours.set_weights(portable.get_weights())
    images = digits(32)[0][:2]
    np.save(tmp_path / "images.npy", images)
    portable.save(tmp_path / "portable.keras")
    fresh(LOAD_WITHOUT_KAPPS)
    expected = keras.ops.convert_to_numpy(ours(images, training=False))
    largest = np.abs(expected).max()
    assert np.abs(np.load(tmp_path / "outputs.npy") - expected).max() < 1e-5 * largest


@pytest.mark.parametrize("modules", ["keras, kapps", "kapps, keras"])
@pytest.mark.long
def test_grouped_model_loads_after_import_kapps(modules, grouped, tmp_path, fresh):
    grouped.save(tmp_path / "grouped.keras")
    load = "keras.saving.load_model('grouped.keras').get_layer('level2_block1_conv2')"
    printed = fresh(f"import {modules}; print(type({load}).__qualname__)")
    assert printed.splitlines()[-1] == "GroupedConv2D"


@pytest.mark.long
@pytest.mark.tensorflow
def test_exported_grouped_model_agrees(grouped, digits, tmp_path):
    from kapps import export

    path = export.tflite(grouped, tmp_path / "grouped.tflite")
    report = export.verify(grouped, path, digits(32)[0][:8])
    assert report.largest_difference < 1e-4 and report.top1_agreement == 1
