"""Outputs of FCN, SegNet and the feature pyramid with the weights of `fingerprints.py`: those of other programs."""

import fingerprints
import keras
import numpy as np
import pytest

import kapps
from kapps.segmentation.fpn import neck
from kapps.weights import from_torch, to_torch
from kapps.weights.names.segmentation import alexgkendall, pytorch_fcn, torchvision_fpn

LOGITS = {
    # names, classes, tensors, first four values, last value, norm of all; of 64x96 pixels before the softmax
    "fcn8s": (pytorch_fcn, 3, 39, (-0.300151051, -1.35059068, -0.216304929, 0.358011221), -1.34907986, 196.401609),
    "fcn16s": (pytorch_fcn, 3, 36, (0.365053932, -0.00309900345, 0.61880219, 0.328539927), 0.30654911, 83.1392668),
    "fcn32s": (pytorch_fcn, 3, 33, (0.0103814058, 0.0140548543, 0.0096656697, 0.0073536465), 0.0253224223, 8.09897161),
    "segnet": (alexgkendall, 11, 152, (-0.609010551, -0.54494239, -0.621304602, -0.50180086), 0.174885071, 96.7603338),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", LOGITS)
def test_logits_equal_those_of_other_programs(name):
    names, classes, tensors, *fingerprint = LOGITS[name]
    with fingerprints.float64():
        model = getattr(kapps.segmentation, name)(
            input_shape=(64, 96, 3), classes=classes, classifier_activation=None
        )
        shapes = {key: array.shape for key, array in to_torch(model, names).items()}
        assert len(shapes) == tensors
        from_torch(model, fingerprints.sampled_tensors(shapes), names, classes)
        x = fingerprints.images(1, 64, 96)
        output = keras.ops.convert_to_numpy(model(x, training=False)).astype("float64")
    # The predictions are float32 under any policy.
    fingerprints.assert_fingerprint(output.transpose(0, 3, 1, 2), *fingerprint, within=1e-5)


NECK = [
    ((-0.972958376, 2.50369039, 2.61171421, 3.5464128), -1.47135232, 491.790707),
    ((-2.06370877, -1.13927868, 1.8521944, -1.62673102), 0.759315147, 204.786079),
    ((1.48149499, 1.89117209, -1.11827261, -2.15168567), -1.12975456, 75.9364443),
    ((-0.422492141, 0.122287992, 0.665567901, 0.119693059), -0.343940414, 22.6941557),
]
"""Of torchvision's FeaturePyramidNetwork([8, 16, 32, 64], 16), the finest map first."""


def neck_names(layer, layers):
    return torchvision_fpn(layer, layers).removeprefix("fpn.")


def test_maps_of_the_neck_equal_torchvisions():
    with fingerprints.float64():
        sizes = [(32, 8), (16, 16), (8, 32), (4, 64)]
        inputs = [keras.Input((side, side, channels)) for side, channels in sizes]
        outputs = neck(dict(enumerate(inputs, start=2)), filters=16)
        model = keras.Model(inputs, list(outputs.values()))
        shapes = {key: array.shape for key, array in to_torch(model, neck_names).items()}
        assert len(shapes) == 16
        from_torch(model, fingerprints.sampled_tensors(shapes), neck_names)
        x = [
            np.random.default_rng(100 + i).standard_normal((1, side, side, channels))
            for i, (side, channels) in enumerate(sizes)
        ]
        maps = [keras.ops.convert_to_numpy(y).transpose(0, 3, 1, 2) for y in model(x)]
    for y, fingerprint in zip(maps, NECK, strict=True):
        fingerprints.assert_fingerprint(y, *fingerprint)
