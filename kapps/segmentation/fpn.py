"""Feature pyramid network: a neck that gives every level of a body the same channels, and a decoder over it.

[1] Lin 2016, arXiv:1612.03144, and torchvision's `FeaturePyramidNetwork`

A 1x1 convolution of each level is added to the next coarser map, whose pixels are repeated twice; a 3x3 of each
sum is an output. There are no activations and no norms. P6 is every second pixel of P5. RetinaNet's P6 and P7
(Lin 2017, arXiv:1708.02002) are 3x3 convolutions with strides: P6 of P5, as in torchvision's newer form, not of C5.
"""

import keras
from keras import layers

from kapps._checked import checked
from kapps._values import short
from kapps.builders import pyramid_outputs
from kapps.layers import conv, conv_bn, double_like, max_pool, resize_like
from kapps.segmentation.pixel_classifier import feature_map, predict_pixels

LEVELS = (2, 3, 4, 5)


def neck(maps, filters=256, extra=None):
    """Returns {level: output} of the neck.

    Args:
        maps: {level: Keras tensor (batch, height, width, channels)} of consecutive levels.
        filters, extra: as for `fpn`.
    """
    options = {"use_bias": True, "initializer": "lecun_uniform"}
    levels = sorted(maps)
    merged, x = {}, None
    for level in reversed(levels):
        lateral = conv(maps[level], filters, 1, **options, name=f"level{level}_fpn_lateral")
        if x is not None:
            x = double_like(x, lateral, name=f"level{level}_fpn_up")
            lateral = layers.Add(name=f"level{level}_fpn_sum")([lateral, x])
        x = merged[level] = lateral
    outputs = {
        level: conv(merged[level], filters, 3, **options, name=f"level{level}_fpn_conv")
        for level in levels
    }
    first, second = levels[-1] + 1, levels[-1] + 2
    x = outputs[levels[-1]]
    if extra == "pool":
        outputs[first] = max_pool(x, 1, name=f"level{first}_fpn_pool")
    elif extra == "p6p7":
        x = conv(x, filters, 3, strides=2, **options, name=f"level{first}_fpn_conv")
        outputs[first] = x
        x = layers.Activation("relu", name=f"level{second}_fpn_relu")(x)
        outputs[second] = conv(
            x, filters, 3, strides=2, **options, name=f"level{second}_fpn_conv"
        )  # fmt: skip
    return outputs


def body_levels(function, body, levels):
    """Returns {level: map} of a body for the neck; arguments as for `fpn`.

    Raises:
        ValueError: if the body lacks a level, or the levels are not consecutive.
    """
    maps = pyramid_outputs(body)
    levels = [n for n in LEVELS if n in maps] if levels is None else sorted(levels)
    is_range = bool(levels) and levels == list(range(levels[0], levels[0] + len(levels)))
    if not is_range or not set(levels) <= set(maps):
        raise ValueError(
            f"{function}: levels={short(tuple(levels))} are not consecutive levels of {body.name}, which has "
            f"{', '.join(map(str, maps))}"
        )
    return {level: maps[level] for level in levels}


@checked
def fpn(
    body: keras.Model,
    *,
    filters: int = 256,
    levels: tuple[int, ...] | None = None,
    extra: str | None = "pool",
    name: str | None = None,
) -> keras.Model:
    """Returns a feature pyramid network over a body, whose weights are kept.

        body = kapps.resnet50(weights="imagenet", include_top=False, input_shape=(None, None, 3))
        model = kapps.segmentation.fpn(body)
        maps = kapps.pyramid_outputs(model)  # {2: P2, ..., 6: P6}

    Args:
        body: a model from an image to one feature map: of a builder with include_top=False, whose levels halve the
            resolution.
        filters: channels of every output.
        levels: consecutive levels of the body to use, by default those from 2 to 5.
        extra: "pool" for one coarser level, which has every second pixel of the last one; "p6p7" for two by 3x3
            convolutions; None for none.
        name: of the model, by default "fpn_" and the body's name.

    Returns:
        A model from the body's images to the list of maps (batch, height, width, filters), the finest first.

    Raises:
        ValueError: if the body is not such a model, lacks a level, or has levels that do not halve the resolution.
    """
    feature_map("fpn", body)
    if extra not in ("pool", "p6p7", None):
        raise ValueError(f'fpn: extra={short(extra)} is not "pool", "p6p7" or None')
    outputs = neck(body_levels("fpn", body, levels), filters, extra)
    return keras.Model(body.input, list(outputs.values()), name=name or f"fpn_{body.name}")


@checked
def fpn_decoder(
    body: keras.Model,
    classes: int = 21,
    *,
    filters: int = 128,
    levels: tuple[int, ...] | None = None,
    classifier_activation="softmax",
    name: str | None = None,
) -> keras.Model:
    """Returns a network that classifies pixels by the sum of the neck's maps, enlarged to the finest of them.

    After the sum it has a 3x3 convolution with batch norm, a 1x1 for the classes, and bilinear interpolation to the
    image's size.

    Args:
        body, levels: as for `fpn`.
        classes: number of classes.
        filters: channels of the neck and of the 3x3 convolution.
        classifier_activation: activation after the logits; None for logits.
        name: of the model, by default "fpn_decoder_" and the body's name.

    Returns:
        A model from the body's images to float32 (batch, height, width, classes).

    Raises:
        ValueError: as for `fpn`.
    """
    feature_map("fpn_decoder", body)
    finest, *others = neck(body_levels("fpn_decoder", body, levels), filters).items()
    maps = [finest[1]] + [
        resize_like(x, finest[1], name=f"head_level{level}_resize") for level, x in others
    ]
    x = layers.Add(name="head_sum")(maps) if others else finest[1]
    x = conv_bn(x, filters, 3, activation="relu", name="head_conv")
    predictions = predict_pixels(x, body.input, classes, classifier_activation)
    return keras.Model(body.input, predictions, name=name or f"fpn_decoder_{body.name}")
