"""The networks of segmentation.py: those of `kapps.segmentation` by name, and a small body to train from scratch."""

import dataclasses
import importlib
import inspect

import keras

import kapps
from kapps import layers
from kapps._names import nearest
from kapps.model_record import RANDOM, UNKNOWN, ModelRecord
from kapps.preprocessing import INCEPTION
from kapps.training import load_model

SMALL = "small"
"""The name of the small body."""
SMALL_WIDTH = 8
"""The channels of its level 0, by default."""
_BLOCKS = (0, 1, 1, 2, 2)
"""Number of residual blocks of each of its levels, from 0."""


def small_body(input_shape, preprocessing, width, blocks=_BLOCKS):
    """Returns a residual network for images from 32 pixels: level n has width * 2^n channels, from level 0.

    Level 0 has the resolution of the image, so that a decoder sees thin objects.

    Args:
        input_shape: (height, width, channels).
        preprocessing: that the network records.
        width: channels of level 0.
        blocks: number of residual blocks of each level, from 0.
    """
    image = keras.Input(input_shape, name="image")
    record = ModelRecord(UNKNOWN, RANDOM, preprocessing)
    x = keras.layers.Identity(name=record.layer_name())(image)
    for level, count in enumerate(blocks):
        filters, name = width * 2**level, f"level{level}_block1"
        strides = 1 if level == 0 else 2
        x = layers.conv_bn(x, filters, 3, strides=strides, activation="relu", name=f"{name}_conv")
        for block in range(2, 2 + count):
            name = f"level{level}_block{block}"
            residual = layers.conv_bn(x, filters, 3, activation="relu", name=f"{name}_conv1")
            residual = layers.conv_bn(residual, filters, 3, name=f"{name}_conv2")
            x = keras.layers.Add(name=f"{name}_add")([x, residual])
            x = keras.layers.Activation("relu", name=f"{name}_out")(x)
    return keras.Model(image, x, name=SMALL)


def body_preprocessing(model, body, weights, size):
    """Returns the preprocessing of the images: that of the body's card, or of the network's own, without a crop.

    Args:
        model, body, weights: the recipe's flags.
        size: (height, width) of the images.
    """
    preprocessing = INCEPTION
    if takes_body(model) and body != SMALL:
        preprocessing = kapps.cards.image_card(body, weights).preprocessing
    return dataclasses.replace(preprocessing, size=size, crop=1.0)


def takes_body(model):
    """Returns whether a function of `kapps.segmentation` takes a body.

    Raises:
        ValueError: for the name of another function, or of none.
    """
    functions = importlib.import_module("kapps.segmentation")
    names = [
        name
        for name in functions.__all__
        if "classes" in inspect.signature(getattr(functions, name)).parameters
    ]
    if model not in names:
        raise ValueError(
            f"--model={model} is not a network of kapps.segmentation: choose one of {', '.join(names)}."
            f"{nearest(model, names)}"
        )
    return "body" in inspect.signature(getattr(functions, model)).parameters


def check_network(model, body, weights, width, enlarge):
    """Raises ValueError for flags of the network that would have no effect.

    Args:
        model, body, weights, width, enlarge: the recipe's flags.
    """
    if not takes_body(model):
        passed = {
            "--body": body != SMALL,
            "--weights": weights,
            "--width": width,
            "--enlarge": enlarge > 1,
        }
        unused = [flag for flag, value in passed.items() if value]
        if unused:
            raise ValueError(
                f"--model={model} has a body of its own: leave out {', '.join(unused)}"
            )
    elif body == SMALL and weights is not None:
        raise ValueError(f"--weights={weights} are of a builder: pass its name as --body")
    elif body == SMALL and enlarge > 1:
        raise ValueError(
            f"--enlarge={enlarge} is for the body of a builder; --body=small has the image's resolution: leave it out"
        )
    elif body != SMALL and model != "unet" and width is not None:
        raise ValueError(
            f"--width={width} is that of --body=small and of --model=unet: leave it out"
        )


def build_network(model, body, weights, input_shape, classes, preprocessing, width, enlarge=1):
    """Returns the network of the recipe's flags, with a softmax for each pixel.

    Args:
        model: name of a function of `kapps.segmentation`.
        body: name of a builder of images, or "small".
        weights: of the body: None, "imagenet" or a file.
        input_shape: (height, width, channels).
        classes: number of classes.
        preprocessing: of the images, for the record of the small body.
        width: channels of level 0 of the small body and of the U-shaped decoder; None for 8, and for the decoder's own
            over another body.
        enlarge: the body of a builder sees the image enlarged by 1, 2 or 4, and a U-shaped decoder ends at the image's
            resolution.
    """
    make = getattr(importlib.import_module("kapps.segmentation"), model)
    if not takes_body(model):
        return make(input_shape=input_shape, classes=classes)
    if body == SMALL:
        width = width or SMALL_WIDTH
        network = small_body(input_shape, preprocessing, width)
    else:
        x = keras.Input(input_shape, name="image")
        if enlarge > 1:
            x = keras.layers.UpSampling2D(enlarge, interpolation="bilinear", name="enlarge")(x)
        network = getattr(kapps, body)(input_tensor=x, include_top=False, weights=weights)
    options = {}
    if model == "unet":
        options["last_level"] = enlarge.bit_length() - 1
        if width:
            options["filters"] = width
    return make(network, classes=classes, **options)


def copy_weights(path, model):
    """Copies the weights of an earlier run of the same network into a network.

    Args:
        path: of the run's model.keras.
        model: network of `build_network`.

    Raises:
        ValueError: if the file is not a model, or the weights of the two have different shapes.
    """
    weights = load_model(path).get_weights()
    shapes = [tuple(variable.shape) for variable in model.weights]
    if [array.shape for array in weights] != shapes:
        raise ValueError(
            f"--start={path} is another network than {model.name} of the flags: pass the flags of the earlier run"
        )
    model.set_weights(weights)
