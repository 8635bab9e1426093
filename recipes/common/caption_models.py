"""The networks of captions.py: show, attend and tell over a body with a feature map."""

import dataclasses

import keras

import kapps
from common import segmentation_models
from kapps import families, training
from kapps.preprocessing import INCEPTION

SMALL = segmentation_models.SMALL
_BLOCKS = (0, 0, 0, 1)
"""Number of residual blocks of each level of the small body, from 0."""


def body_preprocessing(body, weights, size):
    """Returns the preprocessing of the images: that of the body's card, or of the small body, without a crop.

    Args:
        body, weights: the recipe's flags.
        size: (height, width) of the images.
    """
    preprocessing = INCEPTION
    if body != SMALL:
        preprocessing = kapps.cards.image_card(body, weights).preprocessing
    return dataclasses.replace(preprocessing, size=size, crop=1.0)


def build_body(body, weights, input_shape, preprocessing, width):
    """Returns a network with feature maps.

    Args:
        body: name of a builder of images, or "small".
        weights: of the body: None, "imagenet" or a file.
        input_shape: (height, width, channels).
        preprocessing: of the images, for the record of the small body.
        width: channels of level 0 of the small body; None for 8.
    """
    if body == SMALL:
        width = width or segmentation_models.SMALL_WIDTH
        return segmentation_models.small_body(input_shape, preprocessing, width, _BLOCKS)
    return getattr(kapps, body)(input_shape=input_shape, include_top=False, weights=weights)


def feature_map(body, level):
    """Returns the features of a level of a body, (batch, height, width, channels).

    Raises:
        ValueError: if the body has no such level.
    """
    levels = kapps.pyramid_outputs(body)
    if level not in levels:
        raise ValueError(
            f"--level={level}: {body.name} has the levels {', '.join(map(str, levels))}"
        )
    return levels[level]


def build_model(body, level, words, **options):
    """Returns a network from (images, target) to logits, and the height and width of the feature map.

    Args:
        body: a network of `build_body`.
        level: level of the feature map whose places the decoder attends to.
        words: the `kapps.data.captions.CaptionWords`.
        **options: of `kapps.families.show_attend_tell`.
    """
    features = feature_map(body, level)
    annotations = keras.layers.Reshape((-1, features.shape[-1]), name="annotations")(features)
    target = keras.Input((None,), dtype="int32", name="target")
    model = families.show_attend_tell(
        input_tensor=[annotations, target], vocabulary=words.size, classifier_activation=None, **options
    )  # fmt: skip
    return model, tuple(features.shape[1:3])


def compile_model(model, optimizer):
    """Returns the model to train: it reports what the attention adds to the loss in a column of its own."""
    trained = training.separate_added_losses(model)
    loss = training.SmoothedSparseCrossentropy(0.0)
    trained.compile(optimizer, loss, weighted_metrics=[training.Perplexity()], jit_compile=False)
    return trained
