"""Segmentation models over small bodies: sizes, names, weights, losses, files and errors."""

import functools

import graphs
import keras
import numpy as np
import pytest

import kapps
from kapps.cnn.resnet import basic_block
from kapps.model_record import find_record
from kapps.segmentation import (
    deeplab_v3,
    dilate,
    fcn,
    fcn8s,
    fcn16s,
    fcn32s,
    fpn,
    fpn_decoder,
    is_segmentation,
    segnet,
    segnet_basic,
    unet,
)
from kapps.segmentation.fcn_vgg import copy_vgg
from kapps.segmentation.pixel_classifier import copy_layers
from kapps.weights import from_torch, to_torch
from kapps.weights.names.segmentation import torchvision

SMALL = {"depths": (1, 1, 1, 1), "block": basic_block, "include_top": False}
OVER_BODIES = {
    "fcn": fcn,
    "fcn_os8": functools.partial(fcn, output_stride=8, auxiliary="level4_block1_out"),
    "deeplab_v3": functools.partial(deeplab_v3, filters=8, rates=(1, 2), output_stride=16),
    "unet": functools.partial(unet, filters=2, convolutions=1),
    "fpn_decoder": functools.partial(fpn_decoder, filters=8),
}


def body_of(size, **options):
    return kapps.families.resnet(input_shape=(*size, 3), **SMALL, **options)


@pytest.mark.long
@pytest.mark.parametrize("name", OVER_BODIES)
def test_predictions_have_the_images_size_and_sum_to_1(name):
    body = body_of((None, None))
    model = OVER_BODIES[name](body, 4)
    assert is_segmentation(model) and not is_segmentation(body)
    assert find_record(model).builder == "resnet"
    for size in ((64, 96), (71, 45)):
        x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
        outputs = model(x, training=False)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        fixed = OVER_BODIES[name](body_of(size), 4)
        copy_layers(model, fixed)
        again = fixed(x, training=False)
        again = again if isinstance(again, (list, tuple)) else [again]
        for y, other in zip(outputs, again, strict=True):
            y, other = map(keras.ops.convert_to_numpy, (y, other))
            assert y.shape == (2, *size, 4) and y.dtype == np.float32
            np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(y, other, rtol=1e-5, atol=1e-5)


@pytest.mark.long
def test_weights_of_the_body_are_kept():
    body = body_of((64, 64))
    for build in OVER_BODIES.values():
        model = build(body, 4)
        for layer in body.layers:
            for before, after in zip(
                layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True
            ):
                np.testing.assert_array_equal(before, after)


def test_outputs_of_a_model_with_an_auxiliary_classifier_are_named():
    model = OVER_BODIES["fcn_os8"](body_of((64, 64)), 4)
    assert model.output_names == ["predictions", "auxiliary1_predictions"]
    assert model.get_layer("auxiliary1_conv").input.shape == (None, 8, 8, 256)


@pytest.mark.long
def test_weights_of_other_classes_leave_the_classifiers_random():
    body = body_of((64, 64))
    for build, norm in (("fcn_os8", "classifier.1"), ("deeplab_v3", "classifier.2")):
        state = to_torch(OVER_BODIES[build](body, 21), torchvision)
        state[f"{norm}.weight"] += 1
        model = OVER_BODIES[build](body, 4)
        classifier = model.get_layer("head_logits").get_weights()[0]
        from_torch(model, state, torchvision, 21)
        np.testing.assert_array_equal(model.get_layer("head_logits").get_weights()[0], classifier)
        gamma = model.get_layer("head_conv_bn").get_weights()[0]
        np.testing.assert_array_equal(gamma, state[f"{norm}.weight"])


@pytest.mark.long
def test_one_step_lowers_the_loss_and_a_file_keeps_the_model(tmp_path):
    model = segnet((32, 33, 3), 3, depths=(1, 1), filters=4)
    x = np.random.default_rng(0).normal(size=(2, 32, 33, 3)).astype("float32")
    labels = (x[..., 0] > 0).astype("int32")
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy())
    losses = [float(model.train_on_batch(x, labels)) for _ in range(8)]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    y, again = (keras.ops.convert_to_numpy(m(x, training=False)) for m in (model, loaded))
    np.testing.assert_allclose(again, y, atol=1e-6)


def test_segnet_passes_positions_of_odd_maps():
    model = graphs.build(segnet, input_shape=(360, 480, 3))
    sides = [model.get_layer(f"level{n}_pool").output[0].shape[1:3] for n in range(1, 6)]
    assert sides == [(180, 240), (90, 120), (45, 60), (23, 30), (12, 15)]
    for level in range(1, 5):
        before = model.get_layer(f"level{level}_conv1").output.shape[1:3]
        after = model.get_layer(f"head_level{level}_conv1").output.shape[1:3]
        assert before == after == sides[level - 1]
    names = [layer.name for layer in graphs.build(segnet_basic).layers]
    assert "level0_conv_bn_relu" in names and "head_level0_conv_bn_relu" not in names


def test_fcn_on_vgg_crops_as_the_authors_networks():
    for build, stride in ((fcn32s, 32), (fcn16s, 16), (fcn8s, 8)):
        model = graphs.build(build, input_shape=(500, 375, 3))
        kernel = model.get_layer("head_up").kernel
        assert kernel.shape == (2 * stride, 2 * stride, 21, 21) and not kernel.trainable
        assert model.output_shape == (None, 500, 375, 21)
        same = graphs.build(build, input_shape=(70, 65, 3), padding="same")
        assert same.output_shape == (None, 70, 65, 21)
        learned = graphs.build(build, input_shape=(70, 65, 3), learn_upsampling=True)
        assert learned.get_layer("head_up").kernel.trainable


def test_a_decoder_that_ends_at_half_the_resolution_resizes_its_scores():
    whole, half = (
        unet(body_of((64, 64)), classes=3, filters=2, last_level=level) for level in (0, 1)
    )
    assert half.output_shape == whole.output_shape == (None, 64, 64, 3)
    assert half.get_layer("head_logits").output.shape[1:] == (32, 32, 3)
    names = [layer.name for layer in half.layers if layer.name.startswith("head_level")]
    assert names == [
        layer.name for layer in whole.layers
        if layer.name.startswith("head_level") and not layer.name.startswith("head_level0")
    ]  # fmt: skip


def test_receptive_fields_are_the_published_ones():
    """Of Table 1 of FCN's paper; with the border the first unit lies 100 pixels further up. Dilation changes none."""
    profile = kapps.profile(graphs.build(fcn32s, input_shape=(500, 500, 3)))
    fields = profile.row("level5_fc7").receptive_field
    assert [(field.size, field.stride) for field in fields] == [(404, 32)] * 2
    body = graphs.graph("resnet50", include_top=False).model
    for stride in (8, 16):
        fields = kapps.profile(graphs.build(dilate, model=body, output_stride=stride)).rows[-1]
        assert [(x.size, x.stride) for x in fields.receptive_field] == [(427, stride)] * 2


def test_dense_layers_of_vgg_become_convolutions_of_the_same_values():
    """On an image of VGG's size without the border, fc6 reads the whole map at one position."""
    image = keras.Input((7, 7, 2))
    x = features = keras.layers.Conv2D(2, 3, padding="same", name="level4_conv3")(image)
    for name in ("head_dense1", "head_dense2"):
        x = keras.layers.Flatten()(x)
        x = keras.layers.Dense(4, name=name)(x)
    vgg, x = (
        keras.Model(image, x),
        keras.layers.Conv2D(2, 3, padding="same", name="level4_conv3")(image),
    )
    x = keras.layers.Conv2D(4, 7, name="level5_fc6")(x)
    model = keras.Model(image, keras.layers.Conv2D(4, 1, name="level5_fc7")(x))
    copy_vgg(vgg, model)
    x = np.random.default_rng(0).normal(size=(2, 7, 7, 2)).astype("float32")
    y, expected = (keras.ops.convert_to_numpy(network(x)) for network in (model, vgg))
    np.testing.assert_allclose(y.reshape(2, 4), expected, rtol=1e-4, atol=1e-5)
    copy_vgg(keras.Model(image, features), model)  # a VGG without its classifier
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(x)), y)


@pytest.mark.long
def test_errors_are_one_line():
    body, top = body_of((64, 64)), kapps.families.resnet(**{**SMALL, "include_top": True})
    cases = [
        (fcn, (top,), {}, "include_top=False"),
        (fcn, (body,), {"auxiliary": "level9_out"}, "auxiliary='level9_out'"),
        (fcn, (body,), {"classes": 0}, "classes=0"),
        (deeplab_v3, (body,), {"rates": (0,)}, "rates="),
        (unet, (dilate(body),), {}, "is not half as large"),
        (unet, (body,), {"last_level": 5}, "last_level=5"),
        (unet, (body,), {"last_level": -1}, "last_level=-1"),
        (fpn, (body,), {"levels": (2, 4)}, "levels=(2, 4)"),
        (fpn, (body,), {"levels": (5, 6)}, "levels=(5, 6)"),
        (fpn, (body,), {"extra": "p8"}, "extra='p8'"),
        (fcn8s, ((16, 16, 3),), {}, "at least 32"),
        (fcn8s, ((64, 64, 3),), {"padding": 3}, "padding=3"),
        (segnet, ((64, 64, 3),), {"vgg": body, "filters": 4}, "has no layer with the name"),
        (kapps.segmentation.fcn_resnet50, ("missing.pth",), {}, "missing.pth"),
    ]
    for function, arguments, options, words in cases:
        with pytest.raises(ValueError) as caught:
            function(*arguments, **options)
        assert words in str(caught.value) and "\n" not in str(caught.value), (function, options)


@pytest.mark.long
def test_decoders_take_the_bodies_of_all_kinds_of_families():
    names = ["vgg11", "densenet121", "mobilenet_v2", "regnetx_002", "efficientnet_b0", "convnext_tiny"]  # fmt: skip
    for name in names:
        body = graphs.graph(name, include_top=False, input_shape=(96, 64, 3)).model
        for build in (fcn, deeplab_v3, unet, fpn_decoder):
            with keras.StatelessScope(initialize_variables=False):
                model = build(body, 5)
            assert model.output_shape == (None, 96, 64, 5), (name, build)
            for layer in body.layers:
                assert model.get_layer(layer.name) is layer
        assert list(kapps.pyramid_outputs(fpn_of(body))) == [*kapps.pyramid_outputs(body), 6]


def fpn_of(body):
    with keras.StatelessScope(initialize_variables=False):
        return fpn(body)
