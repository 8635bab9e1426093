"""DeepLabV3: atrous spatial pyramid pooling over any body.

[1] Chen 2017, arXiv:1706.05587, and torchvision's `deeplabv3_resnet50` and `deeplabv3_resnet101`

The rates 12, 24 and 36 are those of [1] for an output stride of 8; for 16 they are 6, 12 and 18. After the pyramid
torchvision has a 3x3 convolution, which [1] has not.
"""

import keras
from keras import layers

from kapps._checked import checked
from kapps.layers import conv_bn, resize_like
from kapps.segmentation.dilation import dilate
from kapps.segmentation.fcn import with_auxiliary
from kapps.segmentation.pixel_classifier import feature_map, predict_pixels


def atrous_pyramid(x, filters, rates, *, dropout=0.5, name="head_aspp"):
    """Returns a 1x1, 3x3 of each rate and the mean of the map, concatenated and projected by a 1x1.

    Args:
        x: feature map.
        filters: channels of each branch, and of the result.
        rates: dilations of the 3x3 convolutions.
        dropout: fraction of the result that training drops.
        name: first part of the layers' names.
    """
    branches = [conv_bn(x, filters, 1, activation="relu", name=f"{name}_conv0")]
    for i, rate in enumerate(rates, start=1):
        branches.append(
            conv_bn(x, filters, 3, dilation=rate, activation="relu", name=f"{name}_conv{i}")
        )
    mean = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    mean = conv_bn(mean, filters, 1, activation="relu", name=f"{name}_pooled")
    branches.append(resize_like(mean, x, name=f"{name}_resize"))
    x = layers.Concatenate(name=f"{name}_concat")(branches)
    x = conv_bn(x, filters, 1, activation="relu", name=f"{name}_project")
    return layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x


@checked
def deeplab_v3(
    body: keras.Model,
    classes: int = 21,
    *,
    output_stride: int | None = None,
    rates: tuple[int, ...] = (12, 24, 36),
    filters: int = 256,
    auxiliary: str | None = None,
    dropout: float = 0.5,
    classifier_activation="softmax",
    name: str | None = None,
) -> keras.Model:
    """Returns DeepLabV3 over a body, whose weights are kept.

    In training the batch norm after the mean of the map needs batches of two images or more.

    Args:
        body, classes, output_stride, auxiliary, classifier_activation, name: as for `kapps.segmentation.fcn`.
        rates: dilations of the pyramid's 3x3 convolutions.
        filters: channels of each branch of the pyramid.
        dropout: fraction of the pyramid's features that training drops.

    Returns:
        A model from the body's images to float32 (batch, height, width, classes).

    Raises:
        ValueError: as for `kapps.segmentation.fcn`, and if a rate is not positive.
    """
    feature_map("deeplab_v3", body)
    if min(rates, default=1) < 1:
        raise ValueError(
            f"deeplab_v3: rates={tuple(rates)} are not positive integers, such as (12, 24, 36)"
        )
    body = body if output_stride is None else dilate(body, output_stride)
    x = atrous_pyramid(body.output, filters, rates, dropout=dropout)
    x = conv_bn(x, filters, 3, activation="relu", name="head_conv")
    predictions = predict_pixels(x, body.input, classes, classifier_activation)
    return with_auxiliary(
        "deeplab_v3", body, predictions, auxiliary, classes, classifier_activation, name
    )  # fmt: skip
