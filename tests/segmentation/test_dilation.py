"""`dilate`: finer maps with the same weights, of several families."""

import keras
import numpy as np
import pytest

import kapps
from kapps.cnn.resnet import basic_block
from kapps.segmentation import dilate


def features(model, x):
    return keras.ops.convert_to_numpy(model(x))


BODIES = {
    "resnet": {"depths": (1, 1, 2, 2), "block": basic_block},
}


@pytest.mark.long
@pytest.mark.parametrize("size", [64, 97])
def test_every_second_pixel_is_that_of_the_body(size, randomise):
    body = kapps.families.resnet(
        include_top=False, input_shape=(size, size, 3), **BODIES["resnet"]
    )  # fmt: skip
    randomise(body)
    weights = body.get_weights()
    x = np.random.default_rng(0).normal(size=(1, size, size, 3)).astype("float32")
    expected = features(body, x)
    for stride in (8, 16, 32):
        dilated = dilate(body, stride)
        step = 32 // stride
        y = features(dilated, x)
        assert y.shape[1] == -(-size // stride)
        np.testing.assert_allclose(
            y[:, ::step, ::step], expected, atol=1e-4 * np.abs(expected).max()
        )
        assert [layer.name for layer in dilated.layers] == [layer.name for layer in body.layers]
    for before, after in zip(weights, body.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.long
def test_depthwise_convolutions_dilate(randomise):
    body = randomise(kapps.mobilenet_v2(include_top=False, input_shape=(97, 97, 3)))
    x = np.random.default_rng(0).normal(size=(1, 97, 97, 3)).astype("float32")
    expected, y = features(body, x), features(dilate(body, 8), x)
    assert y.shape[1:3] == (13, 13)
    np.testing.assert_allclose(y[:, ::4, ::4], expected, atol=1e-4 * np.abs(expected).max())


def test_a_classifier_keeps_its_head():
    model = kapps.families.resnet(classes=5, input_shape=(64, 64, 3), **BODIES["resnet"])
    assert dilate(model).output_shape == (None, 5)


def test_what_cannot_be_dilated_raises():
    vgg = kapps.families.vgg(depths=(1, 1, 1, 1, 1), include_top=False, input_shape=(32, 32, 3))
    for arguments, match in (((vgg, 8), "level4_pool"), ((vgg, 12), "output_stride=12")):
        with pytest.raises(ValueError, match=match) as caught:
            dilate(*arguments)
        assert "\n" not in str(caught.value)
