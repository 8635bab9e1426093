"""Outputs of FCN, SegNet and the feature pyramid with the weights of `fingerprints.py`: those of other programs."""

import fingerprints
import keras
import numpy as np
import pytest

from kapps.segmentation import fcn8s, segnet
from kapps.segmentation.fcn_vgg import sum_of_class_maps
from kapps.segmentation.fpn import neck
from kapps.weights import from_torch, to_torch
from kapps.weights.names.segmentation import alexgkendall, pytorch_fcn, torchvision_fpn

LOGITS = {
    # tensors, first four values, last value, norm of all; of 64x96 pixels and 3 classes before the softmax
    3: (39, (-0.300151051, -1.35059068, -0.216304929, 0.358011221), -1.34907986, 196.401609),
    4: (36, (0.365053932, -0.00309900345, 0.61880219, 0.328539927), 0.30654911, 83.1392668),
    5: (33, (0.0103814058, 0.0140548543, 0.0096656697, 0.0073536465), 0.0253224223, 8.09897161),
}
"""Of pytorch-fcn's FCN8s, FCN16s and FCN32s, by the level of their finest class map."""
SEGNET = (-0.609010551, -0.54494239, -0.621304602, -0.50180086), 0.174885071, 96.7603338
"""Of SegNet with 11 classes."""


def with_sampled_tensors(model, names, classes):
    """Gives a model the sampled tensors of its names; returns their number."""
    shapes = {key: array.shape for key, array in to_torch(model, names).items()}
    from_torch(model, fingerprints.sampled_tensors(shapes), names, classes)
    return len(shapes)


def values(y):
    """Returns a map or maps in PyTorch's order of axes."""
    return keras.ops.convert_to_numpy(y).astype("float64").transpose(0, 3, 1, 2)


@pytest.mark.long
def test_logits_of_fcn_equal_those_of_pytorch_fcn():
    """The features of FCN-8s are those of the other two, so that VGG-16 runs once. It has 134M weights: float32."""
    model = fcn8s((64, 96, 3), 3, classifier_activation=None)
    tensors = {3: with_sampled_tensors(model, pytorch_fcn, 3)}
    features = {level: model.get_layer(f"level{level}_pool").output for level in (3, 4)}
    features[5] = model.get_layer("level5_fc7_dropout").output
    network = keras.Model(model.input, [model.output, *features.values()])
    image = fingerprints.images(1, 64, 96).astype("float32")
    output, *maps = network(image, training=False)
    outputs, maps = {3: output}, dict(zip(features, maps, strict=True))
    for finest in (4, 5):
        levels = range(finest, 6)
        inputs = {level: keras.Input(maps[level].shape[1:]) for level in levels}
        scores = sum_of_class_maps(inputs, keras.Input((64, 96, 3)), 3)
        head = keras.Model(list(inputs.values()), scores)
        tensors[finest] = with_sampled_tensors(head, pytorch_fcn, 3) + 30
        outputs[finest] = head([maps[level] for level in levels])
    for finest, (count, *fingerprint) in LOGITS.items():
        assert tensors[finest] == count
        fingerprints.assert_fingerprint(values(outputs[finest]), *fingerprint, within=1e-5)


@pytest.mark.long
def test_logits_of_segnet_equal_those_of_another_program():
    with fingerprints.float64():
        model = segnet((64, 96, 3), 11, classifier_activation=None)
        assert with_sampled_tensors(model, alexgkendall, 11) == 152
        output = model(fingerprints.images(1, 64, 96), training=False)
    # The predictions are float32 under any policy.
    fingerprints.assert_fingerprint(values(output), *SEGNET, within=1e-5)


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
        assert with_sampled_tensors(model, neck_names, 0) == 16
        x = [
            np.random.default_rng(100 + i).standard_normal((1, side, side, channels))
            for i, (side, channels) in enumerate(sizes)
        ]
        maps = [values(y) for y in model(x)]
    for y, fingerprint in zip(maps, NECK, strict=True):
        fingerprints.assert_fingerprint(y, *fingerprint)
