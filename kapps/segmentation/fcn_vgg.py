"""FCN-32s, FCN-16s and FCN-8s on VGG-16, the networks of the paper.

[1] Long 2014, arXiv:1411.4038, and the authors' networks for Caffe (github.com/shelhamer/fcn.berkeleyvision.org)

The dense layers of VGG-16 are convolutions, fc6 and fc7. Each class map is enlarged by transposed convolutions that
interpolate, is added to the class map of a finer level (of none, one or two), and is cut to the size of the image.
As in the authors' networks, the first convolution is padded by 100 pixels on every side, so that all images have a
map, and the crops are theirs. The transposed kernels stay bilinear in training; [1, section 4.3] says that those of
the skip connections are learned, which the authors' networks do not do.

`padding="same"` is a form without the 100 pixels: every layer keeps its map's size. With the same weights it computes
other values near the border.
"""

import keras
from keras import layers

from kapps._checked import checked
from kapps.layers import bilinear_upsample, conv_relu, crop_like, max_pool
from kapps.model_record import find_record
from kapps.preprocessing import CAFFE
from kapps.segmentation.pixel_classifier import copy_layers, new_image

DEPTHS = (2, 2, 3, 3, 3)
"""Convolutions at the levels 0 to 4 of VGG-16."""
BORDER = 100
OFFSETS = {4: 5, 3: 9}
"""Pixels that are cut off above and on the left of the class map of a level."""
LAST_OFFSETS = {5: 19, 4: 27, 3: 31}
"""Pixels that are cut off the enlarged map, by the finest level that it is made of."""
AT_ONCE = {4: 1e-2, 3: 1e-4}
"""Factors of a level's features in the network that is trained at once."""


def vgg16_maps(x, padding):
    """Returns {level: map} of VGG-16: the poolings at the levels 1 to 4, and fc7 at level 5."""
    maps = {}
    for level, depth in enumerate(DEPTHS):
        for i in range(1, depth + 1):
            border = padding if (level, i, padding) == (0, 1, BORDER) else None
            x = conv_relu(
                x, min(64 * 2**level, 512), 3, padding=border, name=f"level{level}_conv{i}"
            )
        x = max_pool(x, 2, padding="same", name=f"level{level + 1}_pool")
        maps[level + 1] = x
    for name, kernel_size in (("fc6", 7), ("fc7", 1)):
        fc_padding = "valid" if padding == BORDER else None
        x = conv_relu(x, 4096, kernel_size, padding=fc_padding, name=f"level5_{name}")
        x = layers.Dropout(0.5, name=f"level5_{name}_dropout")(x)
    maps[5] = x
    return maps


def class_map(x, classes, name):
    """A 1x1 convolution without an activation, which begins with zeros."""
    return layers.Conv2D(classes, 1, kernel_initializer="zeros", name=name)(x)


def sum_of_class_maps(maps, image, classes, *, padding=BORDER, at_once=False, trainable=False):
    """Returns the sum of the class maps of some levels, enlarged to the image's size.

    Args:
        maps: {level: feature map} of level 5 and of those from 4 down to the finest that is used.
        image: Keras tensor of the image's size.
        classes: number of classes.
        padding, at_once: as for `fcn8s`.
        trainable: whether training changes the transposed kernels.
    """
    valid, finest = padding == BORDER, min(maps)
    options = {"padding": "valid" if valid else "same", "trainable": trainable}
    x = class_map(maps[5], classes, "head_score5")
    for level in range(4, finest - 1, -1):
        x = bilinear_upsample(x, 2, **options, name=f"head_up{level}")
        y = maps[level]
        if at_once:
            y = layers.Rescaling(AT_ONCE[level], name=f"head_scale{level}")(y)
        y = class_map(y, classes, f"head_score{level}")
        if valid:
            y = crop_like(y, x, offset=OFFSETS[level], name=f"head_crop{level}")
        else:
            x = crop_like(x, y, name=f"head_crop{level}")
        x = layers.Add(name=f"head_sum{level}")([x, y])
    x = bilinear_upsample(x, 2**finest, **options, name="head_up")
    return crop_like(x, image, offset=LAST_OFFSETS[finest] if valid else 0, name="head_crop")


def _network(
    name, finest, input_shape, classes, activation, vgg, padding, at_once, learn_upsampling
):  # fmt: skip
    """Returns the network whose finest class map has the level `finest`: 5, 4 or 3."""
    default = f"fcn{2**finest}s"
    if padding not in (BORDER, "same"):
        raise ValueError(f'{default}: padding={padding!r} is not {BORDER} or "same"')
    record = None if vgg is None else find_record(vgg)
    image, x = new_image(default, input_shape, CAFFE if record is None else record.preprocessing)
    maps = {level: y for level, y in vgg16_maps(x, padding).items() if level >= finest}
    x = sum_of_class_maps(
        maps, image, classes, padding=padding, at_once=at_once, trainable=learn_upsampling
    )  # fmt: skip
    x = layers.Activation(activation or "linear", dtype="float32", name="predictions")(x)
    model = keras.Model(image, x, name=name)
    if vgg is not None:
        copy_vgg(vgg, model)
    return model


def copy_vgg(vgg: keras.Model, model: keras.Model) -> None:
    """Copies the convolutions of a VGG-16 and, if it has its classifier, its dense layers, which become fc6 and fc7."""
    copy_layers(vgg, model)
    names = {layer.name for layer in vgg.layers}
    for source, target in (("head_dense1", "level5_fc6"), ("head_dense2", "level5_fc7")):
        if source in names:
            layer = model.get_layer(target)
            kernel, bias = vgg.get_layer(source).get_weights()
            layer.set_weights([kernel.reshape(layer.kernel.shape), bias])


@checked
def fcn32s(
    input_shape: tuple[int | None, ...] = (500, 500, 3),
    classes: int = 21,
    *,
    classifier_activation="softmax",
    vgg: keras.Model | None = None,
    padding: int | str = BORDER,
    learn_upsampling: bool = False,
    name: str = "fcn32s",
) -> keras.Model:
    """Returns FCN-32s: one class map at 1/32 of the resolution, enlarged 32 times.

    Args:
        input_shape: (height, width, channels); height and width are at least 32, or None for any size.
        classes: number of classes.
        classifier_activation: activation after the logits; None for logits.
        vgg: a `kapps.vgg16`, whose weights are copied; with its classifier also those of its dense layers. The model
            then has its preprocessing. None for random weights.
        padding: 100, the pixels on every side of the image, or "same".
        learn_upsampling: whether training changes the transposed kernels.
        name: of the model.

    Returns:
        A model from images (batch, height, width, channels), with the preprocessing of Caffe's networks, to float32
        (batch, height, width, classes).
    """
    return _network(
        name, 5, input_shape, classes, classifier_activation, vgg, padding, False, learn_upsampling
    )  # fmt: skip


@checked
def fcn16s(
    input_shape: tuple[int | None, ...] = (500, 500, 3),
    classes: int = 21,
    *,
    classifier_activation="softmax",
    vgg: keras.Model | None = None,
    padding: int | str = BORDER,
    at_once: bool = False,
    learn_upsampling: bool = False,
    name: str = "fcn16s",
) -> keras.Model:
    """Returns FCN-16s: the class map of FCN-32s is added to that of the fourth pooling. Arguments as for `fcn8s`."""
    return _network(
        name, 4, input_shape, classes, classifier_activation, vgg, padding, at_once, learn_upsampling
    )  # fmt: skip


@checked
def fcn8s(
    input_shape: tuple[int | None, ...] = (500, 500, 3),
    classes: int = 21,
    *,
    classifier_activation="softmax",
    vgg: keras.Model | None = None,
    padding: int | str = BORDER,
    at_once: bool = False,
    learn_upsampling: bool = False,
    name: str = "fcn8s",
) -> keras.Model:
    """Returns FCN-8s: class maps of fc7 and of the fourth and the third pooling.

    Args:
        at_once: whether the poolings are multiplied by 0.01 and 0.0001, as in the authors' network that is trained at
            once and not in stages.
        input_shape, classes, classifier_activation, vgg, padding, learn_upsampling, name: as for `fcn32s`. A model may
            also be passed as `vgg` that has the same layers: FCN-16s begins with the weights of FCN-32s.

    Returns:
        A model as `fcn32s` does.
    """
    return _network(
        name, 3, input_shape, classes, classifier_activation, vgg, padding, at_once, learn_upsampling
    )  # fmt: skip
