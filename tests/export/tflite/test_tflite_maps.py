"""TFLite files of networks that return maps: unpooling, resizing and transposed convolutions, in float32 and int8."""

import keras
import numpy as np
import pytest

import kapps
from kapps.cnn.resnet import basic_block
from kapps.export import runtime
from kapps.layers import bilinear_upsample, double_like, resize_like
from kapps.segmentation import deeplab_v3, segnet

pytestmark = pytest.mark.long


def small_segnet():
    """Maps of 34x35 and 17x18 pixels have windows at their border that are cut off."""
    return segnet((34, 35, 3), 3, depths=(1, 1), filters=8)


def resized():
    """Every way to enlarge a map, from 9x8 to 33x32 and 36x32 pixels."""
    image = keras.Input((33, 32, 3))
    x = keras.layers.Conv2D(4, 3, strides=4, padding="same", activation="relu")(image)
    maps = [
        resize_like(x, image, name="bilinear"),
        resize_like(x, image, interpolation="nearest", name="nearest"),
        double_like(double_like(x, keras.Input((17, 16, 1)), name="half"), image, name="whole"),
        keras.layers.Cropping2D(((2, 1), (0, 0)))(
            bilinear_upsample(x, 4, padding="same", name="transposed")
        ),
    ]
    x = keras.layers.Concatenate()(maps)
    return keras.Model(image, keras.layers.Conv2D(3, 1, activation="softmax")(x))


def over_body(function, **options):
    body = kapps.families.resnet(
        depths=(1, 1, 1, 1), block=basic_block, include_top=False, input_shape=(64, 72, 3)
    )
    return function(body, 3, **options)


MODELS = {
    "segnet": small_segnet,
    "resized": resized,
    "deeplab_v3": lambda: over_body(deeplab_v3, filters=8, rates=(1, 2), output_stride=16),
}


@pytest.mark.parametrize("name", MODELS)
def test_files_have_builtin_operations_and_agree(name, randomise, tmp_path):
    """An export raises if an operation is not builtin."""
    keras.utils.set_random_seed(0)
    model = randomise(MODELS[name]())
    shape = model.input_shape[1:]
    images = np.random.default_rng(0).normal(size=(24, *shape)).astype("float32")
    expected = model.predict(images, verbose=0)
    for precision in ("float32", "int8"):
        calibration = images[:20] if precision == "int8" else None
        options = {"preprocessing": False, "precision": precision, "calibration": calibration}
        file = kapps.export.tflite(model, tmp_path / f"{precision}.tflite", verbose=0, **options)
        (outputs,) = runtime.run(file, images[:4]).values()
        assert outputs.shape == expected[:4].shape
        if precision == "float32":
            np.testing.assert_allclose(outputs, expected[:4], rtol=1e-5, atol=1e-5)
        assert np.mean(outputs.argmax(axis=-1) == expected[:4].argmax(axis=-1)) > 0.9
