"""What the segmentation models have in common: the check of a body, and the classifier of each pixel."""

import keras
from keras import layers

from kapps._checked import checked
from kapps._values import short
from kapps.layers import copy_values, resize_like
from kapps.model_record import RANDOM, ModelRecord, main_output
from kapps.preprocessing import Preprocessing


def feature_map(function: str, body: keras.Model):
    """Returns the feature map of a body.

    Args:
        function: name of the function, for the error.
        body: a model from an image to one map.

    Raises:
        ValueError: for another model.
    """
    outputs = getattr(body, "outputs", None) or []
    inputs = getattr(body, "inputs", None) or []
    if len(inputs) != 1 or len(outputs) != 1 or len(outputs[0].shape) != 4:
        raise ValueError(
            f"{function}: body={short(getattr(body, 'name', body))} is not a model from an image to one feature map; "
            "build it with include_top=False and without pooling"
        )
    return outputs[0]


def body_map(function: str, body: keras.Model, layer: str):
    """Returns the output of a body's layer by its name.

    Raises:
        ValueError: if the body has no such layer, or its output is not a map.
    """
    names = [other.name for other in body.layers]
    x = body.get_layer(layer).output if layer in names else None
    if len(getattr(x, "shape", ())) != 4:
        raise ValueError(
            f"{function}: auxiliary={short(layer)} is not the name of a layer of {body.name} whose output is a feature "
            "map; pass one, such as level4_block6_out of resnet50, or None"
        )
    return x


def predict_pixels(
    x, image, classes, activation, *, kernel_size=1, prefix="head", predictions="predictions"
):
    """Returns class scores of each pixel of the image, float32 (batch, height, width, classes).

    As in `kapps.heads`, logits and activation are separate layers in float32. The logits are resized by bilinear
    interpolation.

    Args:
        x: feature map.
        image: Keras tensor of the image's size.
        classes: number of classes.
        activation: activation after the logits; None for logits.
        kernel_size: side of the classifier's kernel.
        prefix: of the layers' names.
        predictions: name of the last layer.
    """
    x = layers.Conv2D(
        classes, kernel_size, padding="same", dtype="float32", name=f"{prefix}_logits"
    )(x)
    x = resize_like(x, image, dtype="float32", name=f"{prefix}_resize")
    return layers.Activation(activation or "linear", dtype="float32", name=predictions)(x)


def new_image(name: str, input_shape, preprocessing: Preprocessing):
    """Returns the Keras tensor of a new input, and that of the layer after it, which records the preprocessing."""
    shape = tuple(input_shape)
    sides = [side for side in shape[:2] if side is not None]
    if len(shape) != 3 or shape[2] is None or min(sides, default=32) < 32:
        raise ValueError(
            f"{name}: input_shape={short(input_shape)} is not (height, width, channels) with sides of at least 32 "
            "pixels or None, such as (224, 224, 3)"
        )
    image = keras.Input(shape, name="image")
    record = ModelRecord(name, RANDOM, preprocessing)
    return image, layers.Identity(name=record.layer_name())(image)


def copy_layers(source: keras.Model, model: keras.Model) -> None:
    """Copies the weights of the layers that two models have under one name and with the same shapes.

    Raises:
        ValueError: if there is no such layer.
    """
    names, copied = {layer.name: layer for layer in source.layers}, 0
    for layer in model.layers:
        other = names.get(layer.name)
        shapes = [tuple(variable.shape) for variable in layer.weights]
        if other is None or not shapes:
            continue
        if shapes == [tuple(variable.shape) for variable in other.weights]:
            copy_values(other, layer)
            copied += 1
    if not copied:
        raise ValueError(
            f"{model.name}: {source.name} has no layer with the name and shapes of one of this model's; pass a "
            "kapps.vgg16 with its default name"
        )


@checked
def is_segmentation(model: keras.Model) -> bool:
    """Returns whether a model classifies each pixel: its predictions are a map.

    Args:
        model: a functional model; of several outputs the one that is called "predictions" counts.
    """
    output = model.outputs[main_output(model.output_names)]
    return len(output.shape) == 4 and model.output_names[0].endswith("predictions")
