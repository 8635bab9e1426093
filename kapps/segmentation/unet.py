"""U-shaped decoder over any body: resize, concatenate with the body's map of that size, convolve.

[1] Ronneberger 2015, arXiv:1505.04597, as segmentation_models has it: each step repeats the pixels twice and has two
3x3 convolutions with batch norm. Resizing and convolving leaves no checkerboard, which a transposed convolution
leaves unless the length of its kernel is a multiple of its strides (Odena 2016, distill.pub).

[1] enlarges by transposed convolutions, has convolutions without padding, and crops the maps of the contracting path.
"""

import keras
from keras import layers

from kapps._checked import checked
from kapps.builders import pyramid_outputs
from kapps.layers import conv_bn, double_like
from kapps.segmentation.pixel_classifier import feature_map, predict_pixels


@checked
def unet(
    body: keras.Model,
    classes: int = 21,
    *,
    filters: int = 16,
    convolutions: int = 2,
    last_level: int = 0,
    classifier_activation="softmax",
    name: str | None = None,
) -> keras.Model:
    """Returns a U-shaped network over a body, whose weights are kept.

        body = kapps.resnet34(weights="imagenet", include_top=False, input_shape=(224, 224, 3))
        model = kapps.segmentation.unet(body, classes=21)

    Args:
        body: a model from an image to one feature map: of a builder with include_top=False. Its levels are those of
            `kapps.pyramid_outputs`; a level that it lacks is enlarged without a concatenation.
        classes: number of classes.
        filters: channels of the decoder at the image's resolution. Each next level has twice as many.
        convolutions: number of 3x3 convolutions at each level.
        last_level: level that the decoder ends at. Its scores, at 1/2^last_level of the resolution of the body, are
            resized to the image by bilinear interpolation.
        classifier_activation: activation after the logits; None for logits.
        name: of the model, by default "unet_" and the body's name.

    Returns:
        A model from the body's images to float32 (batch, height, width, classes).

    Raises:
        ValueError: if the body is not such a model, if its levels do not halve the resolution, and if it has no
            levels above last_level.
    """
    x, image = feature_map("unet", body), body.input
    maps = pyramid_outputs(body)
    if not 0 <= last_level < max(maps):
        raise ValueError(
            f"unet: last_level={last_level} is not from 0 to {max(maps) - 1}: {body.name} has levels up to {max(maps)}"
        )
    for level in reversed(range(last_level, max(maps))):
        skip, stage = maps.get(level), f"head_level{level}"
        other = image if level == 0 else skip
        if other is None:  # the stem has more than two strides
            x = layers.UpSampling2D(2, name=f"{stage}_up")(x)
        else:
            x = double_like(x, other, name=f"{stage}_up")
        if skip is not None:
            x = layers.Concatenate(name=f"{stage}_concat")([x, skip])
        for i in range(1, convolutions + 1):
            x = conv_bn(x, filters * 2**level, 3, activation="relu", name=f"{stage}_conv{i}")
    x = predict_pixels(x, image, classes, classifier_activation, kernel_size=3)
    return keras.Model(image, x, name=name or f"unet_{body.name}")
