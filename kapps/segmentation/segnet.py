"""SegNet: an encoder whose poolings pass the positions of their maxima to the decoder.

[1] Badrinarayanan 2015, arXiv:1511.00561, and the authors' networks for Caffe (github.com/alexgkendall/SegNet-Tutorial)

The encoder of SegNet has the 13 convolutions of VGG-16. The decoder writes each value to the place of the maximum and
has the same convolutions in reverse order, the last of them for the classes. SegNet-Basic has four 7x7 convolutions in
each half, and no ReLU in the decoder. Convolutions have biases and a batch norm, as in the authors' networks.

Departure from the authors' networks: an unpooled map is cut to the size of the map that was pooled, for images of any
size. Theirs state the sizes for images of 360x480 pixels.
"""

import keras

from kapps._checked import checked
from kapps.layers import (
    LocalResponseNormalization,
    MaxPoolWithIndices,
    MaxUnpool,
    conv_bn,
    crop_like,
)
from kapps.model_record import find_record
from kapps.preprocessing import Preprocessing
from kapps.segmentation.pixel_classifier import copy_layers, new_image, predict_pixels

BLUE_FIRST_PIXELS = Preprocessing(
    size=(360, 480), crop=1.0, scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3, blue_first=True
)
"""Preprocessing of the authors' networks: pixels from 0 to 255, blue first."""
OPTIONS = {"use_bias": True, "initializer": "he_normal"}


def pool(x, level):
    """Returns the pooled map at a level, and (the positions of its maxima, the map before)."""
    pooled, indices = MaxPoolWithIndices(name=f"level{level}_pool")(x)
    return pooled, (indices, x)


def unpool(x, indices, before, name):
    """Returns a map of the size of `before` with the values of x at the positions `indices`."""
    x = MaxUnpool(name=f"{name}_unpool")([x, indices])
    return crop_like(x, before, name=f"{name}_crop")


@checked
def segnet(
    input_shape: tuple[int | None, ...] = (360, 480, 3),
    classes: int = 11,
    *,
    depths: tuple[int, ...] = (2, 2, 3, 3, 3),
    filters: int = 64,
    classifier_activation="softmax",
    vgg: keras.Model | None = None,
    name: str = "segnet",
) -> keras.Model:
    """Returns SegNet.

    Args:
        input_shape: (height, width, channels); height and width are at least 32, or None for any size.
        classes: number of classes.
        depths: number of convolutions at each level of the encoder, from level 0.
        filters: channels at level 0. Each next level has twice as many, up to eight times as many.
        classifier_activation: activation after the logits; None for logits.
        vgg: a `kapps.vgg16` or `kapps.vgg16_bn`, whose weights the encoder begins with. The model then has its
            preprocessing. None for random weights.
        name: of the model.

    Returns:
        A model from images (batch, height, width, channels) to float32 (batch, height, width, classes).
    """
    record = None if vgg is None else find_record(vgg)
    preprocessing = BLUE_FIRST_PIXELS if record is None else record.preprocessing
    image, x = new_image("segnet", input_shape, preprocessing)
    widths = [filters * min(2**level, 8) for level in range(len(depths))]
    pooled = []
    for level, depth in enumerate(depths):
        for i in range(1, depth + 1):
            x = conv_bn(
                x, widths[level], 3, activation="relu", **OPTIONS, name=f"level{level}_conv{i}"
            )
        x, positions = pool(x, level + 1)
        pooled.append(positions)
    for level in reversed(range(len(depths))):
        x = unpool(x, *pooled[level], name=f"head_level{level}")
        for i in range(depths[level], 0, -1):
            if (level, i) == (0, 1):
                continue  # the classifier
            width = widths[level - 1 if i == 1 else level]
            x = conv_bn(
                x, width, 3, activation="relu", **OPTIONS, name=f"head_level{level}_conv{i}"
            )
    x = predict_pixels(x, image, classes, classifier_activation, kernel_size=3)
    model = keras.Model(image, x, name=name)
    if vgg is not None:
        copy_layers(vgg, model)
    return model


@checked
def segnet_basic(
    input_shape: tuple[int | None, ...] = (360, 480, 3),
    classes: int = 11,
    *,
    levels: int = 4,
    filters: int = 64,
    classifier_activation="softmax",
    name: str = "segnet_basic",
) -> keras.Model:
    """Returns SegNet-Basic: one 7x7 convolution at each level.

    Args:
        levels: number of poolings.
        filters: channels of every convolution.
        input_shape, classes, classifier_activation, name: as for `segnet`.

    Returns:
        A model as `segnet` does.
    """
    image, x = new_image("segnet_basic", input_shape, BLUE_FIRST_PIXELS)
    # Caffe's alpha, 1e-4, is for the mean of the squares, and its k is 1.
    x = LocalResponseNormalization(k=1.0, size=5, alpha=1e-4 / 5, name="stem_norm")(x)
    pooled = []
    for level in range(levels):
        x = conv_bn(x, filters, 7, activation="relu", **OPTIONS, name=f"level{level}_conv")
        x, positions = pool(x, level + 1)
        pooled.append(positions)
    for level in reversed(range(levels)):
        x = unpool(x, *pooled[level], name=f"head_level{level}")
        x = conv_bn(x, filters, 7, **OPTIONS, name=f"head_level{level}_conv")
    x = predict_pixels(x, image, classes, classifier_activation)
    return keras.Model(image, x, name=name)
