"""Fully convolutional networks over any body, with torchvision's head.

[1] Long 2014, arXiv:1411.4038, and torchvision's `fcn_resnet50` and `fcn_resnet101`

The head is a 3x3 convolution to a quarter of the channels, and a 1x1 to the classes, whose map is enlarged by
bilinear interpolation. `kapps.segmentation.fcn8s` is the network of [1].
"""

import keras
from keras import layers

from kapps._checked import checked
from kapps.layers import conv_bn
from kapps.segmentation.dilation import dilate
from kapps.segmentation.pixel_classifier import body_map, feature_map, predict_pixels


def fcn_head(x, image, classes, activation, *, dropout=0.1, prefix="head", predictions="predictions"):  # fmt: skip
    """Returns torchvision's FCNHead of a map, at the image's size.

    Args:
        x: feature map.
        image, classes, activation, prefix, predictions: as for `predict_pixels`.
        dropout: fraction of the features that training drops.
    """
    x = conv_bn(x, x.shape[-1] // 4, 3, activation="relu", name=f"{prefix}_conv")
    if dropout:
        x = layers.Dropout(dropout, name=f"{prefix}_dropout")(x)
    return predict_pixels(x, image, classes, activation, prefix=prefix, predictions=predictions)


def with_auxiliary(function, body, predictions, auxiliary, classes, activation, name):
    """Returns the model of a body and its predictions, with a second FCN head if `auxiliary` is not None."""
    outputs = predictions
    if auxiliary is not None:
        x = body_map(function, body, auxiliary)
        second = fcn_head(
            x, body.input, classes, activation, prefix="auxiliary1", predictions="auxiliary1_predictions"
        )  # fmt: skip
        outputs = [predictions, second]
    return keras.Model(body.input, outputs, name=name or f"{function}_{body.name}")


@checked
def fcn(
    body: keras.Model,
    classes: int = 21,
    *,
    output_stride: int | None = None,
    auxiliary: str | None = None,
    dropout: float = 0.1,
    classifier_activation="softmax",
    name: str | None = None,
) -> keras.Model:
    """Returns a fully convolutional network over a body, whose weights are kept.

        body = kapps.resnet50(weights="imagenet", include_top=False, input_shape=(None, None, 3))
        model = kapps.segmentation.fcn(body, classes=21, output_stride=8)

    Args:
        body: a model from an image to one feature map: of a builder with include_top=False.
        classes: number of classes.
        output_stride: 8 or 16 for dilations in place of the body's last strides, as `dilate` makes them; None for the
            body as it is. With 8 and a ResNet the network is torchvision's.
        auxiliary: name of a layer of the body that a second head reads, for training. The outputs are the predictions
            and "auxiliary1_predictions". In torchvision it is the last of level 4, "level4_block6_out" of resnet50.
        dropout: fraction of the head's features that training drops.
        classifier_activation: activation after the logits; None for logits.
        name: of the model, by default "fcn_" and the body's name.

    Returns:
        A model from the body's images to float32 (batch, height, width, classes).

    Raises:
        ValueError: if the body is not such a model or has no layer `auxiliary`.
    """
    feature_map("fcn", body)
    body = body if output_stride is None else dilate(body, output_stride)
    predictions = fcn_head(
        body.output, body.input, classes, classifier_activation, dropout=dropout
    )  # fmt: skip
    return with_auxiliary(
        "fcn", body, predictions, auxiliary, classes, classifier_activation, name
    )  # fmt: skip
