"""What a family's file is written with: its body becomes a builder, and so does each row of its table.

A family file decorates its body, a function from an image to a feature map, with `image_family`, and lists its
variants below it, one line each, with `variant`:

    @image_family(minimum=32)
    def resnet(x, *, depths, block=bottleneck): ...

    resnet50 = variant(resnet, "resnet50", depths=(3, 4, 6, 3), paper="arXiv:1512.03385", params=25_557_032)

Both are functions that return a `keras.Model`: `resnet50()` builds the row, `resnet(depths=(2, 2, 2, 2))` any
other member of the family. A network on sequences is decorated with `sequence_family`.
"""

import math
import re

import keras

from kapps import heads
from kapps.builders._builder import unknown_options
from kapps.builders.image import Images
from kapps.builders.sequence import Sequences
from kapps.cards import IMAGENET, Card


def image_family(
    *, minimum, input_shape=(224, 224, 3), classes=1000, preprocessing=IMAGENET, any_size=True,
    head=heads.global_average_pooling, auxiliary=None,
):  # fmt: skip
    """Makes a body, a function `body(x, *, options) -> x`, a builder that takes the body's options too.

    Args:
        minimum: smallest height and width that the family builds, in pixels.
        input_shape: (height, width, channels) where a caller names none.
        classes: width of the prediction layer where a caller names none.
        preprocessing: what the family's images go through.
        any_size: whether height and width may stay open with the head too; not where it reads a flattened map.
        head: `head(x, classes, activation) -> predictions`, from the body's feature map.
        auxiliary: `auxiliary(x, classes, activation, name) -> predictions` named `name`, where the body returns
            (x, [feature maps inside it]): the heads that the builder's auxiliary=True adds. The body itself
            knows of no option.
    """

    def decorate(body):
        defaults = dict(
            minimum=minimum, input_shape=input_shape, classes=classes, preprocessing=preprocessing, any_size=any_size
        )  # fmt: skip
        ends = {"head": head, "auxiliary": auxiliary}
        return Images(body, None, {}, None, defaults, ends).function()

    return decorate


def sequence_family(*, shape, vocabulary=None, classes=None, head=heads.classifier, inputs=None):
    """Makes a body of a network on sequences a builder that takes the body's options too, as `image_family` for images.

    Args:
        shape: of the input without the batch, where a caller names none: (steps,) of tokens, (steps, features) of
            vectors, (steps, height, width, channels) of frames; the number of steps may be None.
        vocabulary: how many tokens there are where a caller says nothing; the body takes it by that name. None for
            vectors and frames.
        classes: width of the prediction layer where a caller names none; None for as many as tokens.
        head: `head(x, classes, activation) -> predictions`, of every step where the body returns steps; None where
            the body's output is the prediction. A body that returns (x, embedding) ends in
            `kapps.heads.tied_classifier`.
        inputs: names of the inputs, where they are more than "tokens", "sequence" or "frames"; the body gets a tuple.
    """

    def decorate(body):
        kind = KINDS["vocabulary" if vocabulary else len(shape)]
        defaults = dict(
            minimum=1, input_shape=shape, classes=classes, vocabulary=vocabulary, inputs=inputs or (kind,),
            kind=kind, preprocessing=None, any_size=shape[0] is None,
        )  # fmt: skip
        return Sequences(body, None, {}, None, defaults, {"head": head}).function()

    return decorate


KINDS = {"vocabulary": "tokens", 2: "sequence", 4: "frames"}
"""What a network on sequences takes, by the length of its input's shape."""


def variant(
    body, name, *, paper, params, macs=None, preprocessing=None, head=None, shape=None, vocabulary=None,
    classes=None, **row,
):  # fmt: skip
    """Returns the builder of one row of a family's table.

    Args:
        body: the decorated body.
        name: the builder's public name.
        paper: arXiv number or citation.
        params: trainable parameters at the family's default classes, from the paper or a second
            implementation; the conformance suite holds the builder to it.
        macs: multiply-accumulates of convolutions and dense layers on one image of the row's input shape, from
            the paper or a second implementation; None where nobody gives them.
        preprocessing: what the row's images go through where it is not the family's; the row's input has its size.
        head: the row's where it is not the family's.
        shape: as head; of a network on sequences.
        vocabulary: as shape.
        classes: as shape.
        **row: the body's options.
    """
    builder = body.builder
    unknown_options(f"{name}'s row", row, builder.options())
    defaults, ends = builder.defaults, builder.ends
    if preprocessing:
        shape = (*preprocessing.size, defaults["input_shape"][-1])
        defaults = {**defaults, "preprocessing": preprocessing, "input_shape": shape}
    if head:
        ends = {**ends, "head": head}
    own = {"input_shape": shape, "vocabulary": vocabulary, "classes": classes}
    defaults = {**defaults, **{key: value for key, value in own.items() if value is not None}}
    if shape is not None and "inputs" in defaults:
        defaults = {**defaults, "any_size": shape[0] is None}
    module = builder.body.__module__
    known = {key: value for key, value in defaults.items() if key != "inputs"}
    about = Card(name, builder.name, module, paper, params, macs=macs, **known)
    return type(builder)(builder.body, name, row, about, defaults, ends).function()


def pyramid_outputs(model):
    """Returns the features at each level: {level: Keras tensor}, 1 / 2**level of the input's resolution.

    A level's features are the output of the last layer that stands in it. The levels are read off the layer
    names (`level3_block2_add`) and, for the stem, off its strides, so a loaded model has them too.

    Args:
        model: a `keras.Model` that a kapps builder made, with or without its head.

    Raises:
        ValueError: if no layer's name says its level.
    """
    found, stride = {}, 1
    for layer in model.layers:
        match = re.match(r"(stem|level(\d+))_", layer.name)
        if match is None or isinstance(layer, keras.layers.ZeroPadding2D):
            continue  # padding belongs to the layer after it
        if match[1] == "stem":
            stride *= max(getattr(layer, "strides", (1,)))
        found[math.frexp(stride)[1] - 1 if match[2] is None else int(match[2])] = layer.output
    if not found:
        raise ValueError(f"{model.name} has no layers named by level, so it is no kapps model")
    return dict(sorted(found.items()))
