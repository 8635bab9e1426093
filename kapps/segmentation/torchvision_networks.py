"""torchvision's segmentation networks by their names: FCN and DeepLabV3 on ResNets with an output stride of 8."""

import os

import keras

from kapps._checked import checked
from kapps.cnn.resnet import resnet50, resnet101
from kapps.segmentation.deeplab import deeplab_v3
from kapps.segmentation.fcn import fcn
from kapps.weights import loading

CLASSES = 21
"""Classes of torchvision's weights: those of Pascal VOC and the background."""
LAST_OF_LEVEL4 = {"resnet50": "level4_block6_out", "resnet101": "level4_block23_out"}
"""The map that the auxiliary head reads."""


def _network(
    name, segment, build_body, weights, body_weights, input_shape, classes, auxiliary, activation
):  # fmt: skip
    """Returns one of the networks; arguments as for `fcn_resnet50`."""
    path = None if weights is None else loading.find_weights(weights, name, name)
    body = build_body(include_top=False, weights=body_weights, input_shape=input_shape)
    model = segment(
        body,
        classes,
        output_stride=8,
        auxiliary=LAST_OF_LEVEL4[body.name] if auxiliary else None,
        classifier_activation=activation,
        name=name,
    )
    if path is not None:
        loading.load(model, path, name, "segmentation", CLASSES, options={})
    return model


@checked
def fcn_resnet50(
    weights: str | os.PathLike | None = None,
    input_shape: tuple[int | None, ...] = (520, 520, 3),
    classes: int = CLASSES,
    *,
    body_weights: str | os.PathLike | None = None,
    auxiliary: bool = False,
    classifier_activation="softmax",
) -> keras.Model:
    """Returns torchvision's `fcn_resnet50`.

    Args:
        weights: path of a file of this network's weights, torchvision's or kapps's; None for random weights.
        input_shape: (height, width, channels); height and width may be None.
        classes: number of classes. With other classes than the weights' 21 the classifiers stay random.
        body_weights: as `weights` of `kapps.resnet50`, such as "imagenet".
        auxiliary: whether the model has torchvision's auxiliary classifier. The outputs are then a list of two.
        classifier_activation: activation after the logits; None for logits.

    Returns:
        A model from images (batch, height, width, channels) to float32 (batch, height, width, classes).

    Raises:
        ValueError: if the weights do not fit.
    """
    return _network(
        "fcn_resnet50", fcn, resnet50, weights, body_weights, input_shape, classes, auxiliary,
        classifier_activation,
    )  # fmt: skip


@checked
def fcn_resnet101(
    weights: str | os.PathLike | None = None,
    input_shape: tuple[int | None, ...] = (520, 520, 3),
    classes: int = CLASSES,
    *,
    body_weights: str | os.PathLike | None = None,
    auxiliary: bool = False,
    classifier_activation="softmax",
) -> keras.Model:
    """Returns torchvision's `fcn_resnet101`. Arguments as for `fcn_resnet50`."""
    return _network(
        "fcn_resnet101", fcn, resnet101, weights, body_weights, input_shape, classes, auxiliary,
        classifier_activation,
    )  # fmt: skip


@checked
def deeplab_v3_resnet50(
    weights: str | os.PathLike | None = None,
    input_shape: tuple[int | None, ...] = (520, 520, 3),
    classes: int = CLASSES,
    *,
    body_weights: str | os.PathLike | None = None,
    auxiliary: bool = False,
    classifier_activation="softmax",
) -> keras.Model:
    """Returns torchvision's `deeplabv3_resnet50`. Arguments as for `fcn_resnet50`."""
    return _network(
        "deeplab_v3_resnet50", deeplab_v3, resnet50, weights, body_weights, input_shape, classes,
        auxiliary, classifier_activation,
    )  # fmt: skip


@checked
def deeplab_v3_resnet101(
    weights: str | os.PathLike | None = None,
    input_shape: tuple[int | None, ...] = (520, 520, 3),
    classes: int = CLASSES,
    *,
    body_weights: str | os.PathLike | None = None,
    auxiliary: bool = False,
    classifier_activation="softmax",
) -> keras.Model:
    """Returns torchvision's `deeplabv3_resnet101`. Arguments as for `fcn_resnet50`."""
    return _network(
        "deeplab_v3_resnet101", deeplab_v3, resnet101, weights, body_weights, input_shape, classes,
        auxiliary, classifier_activation,
    )  # fmt: skip
