"""Feature pyramid network: a neck that gives every level of a body the same channels, and a decoder over it.

[1] Lin 2016, arXiv:1612.03144, and torchvision's `FeaturePyramidNetwork`

A 1x1 convolution of each level is added to the next coarser map, whose pixels are repeated twice; a 3x3 convolution of each
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


def neck(function, body, filters, levels, extra):
    """Returns {level: map} of the neck; arguments as for `fpn`."""
    maps = pyramid_outputs(body)
    levels = [n for n in LEVELS if n in maps] if levels is None else sorted(levels)
    missing = [n for n in levels if n not in maps]
    if missing or not levels or levels != list(range(levels[0], levels[0] + len(levels))):
        raise ValueError(
            f"{function}: levels={short(tuple(levels))} are not consecutive levels of {body.name}, which has "
            f"{', '.join(map(str, maps))}"
        )
    options = {"use_bias": True, "initializer": "he_uniform"}
    merged, x = {}, None
    for level in reversed(levels):
        lateral = conv(maps[level], filters, 1, **options, name=f"level{level}_fpn_lateral")
        if x is None:
            x = lateral
        else:
            x = double_like(x, lateral, name=f"level{level}_fpn_up")
            x = layers.Add(name=f"level{level}_fpn_sum")([lateral, x])
        merged[level] = x
    outputs = {
        level: conv(merged[level], filters, 3, **options, name=f"level{level}_fpn_conv")
        for level in levels
    }
    last, x = levels[-1], outputs[levels[-1]]
    if extra == "pool":
        outputs[last + 1] = max_pool(x, 1, name=f"level{last + 1}_fpn_pool")
    elif extra == "p6p7":
        for level in (last + 1, last + 2):
            x = conv(x, filters, 3, strides=2, **options, name=f"level{level}_fpn_conv")
            outputs[level] = x
            x = layers.Activation("relu", name=f"level{level + 1}_fpn_relu")(x) if level == last + 1 else x  # fmt: skip
    return outputs


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
    outputs = neck("fpn", body, filters, levels, extra)
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
    finest, *others = neck("fpn_decoder", body, filters, levels, None).items()
    maps = [finest[1]] + [
        resize_like(x, finest[1], name=f"head_level{level}_resize") for level, x in others
    ]
    x = layers.Add(name="head_sum")(maps) if others else finest[1]
    x = conv_bn(x, filters, 3, activation="relu", name="head_conv")
    predictions = predict_pixels(x, body.input, classes, classifier_activation)
    return keras.Model(body.input, predictions, name=name or f"fpn_decoder_{body.name}")
