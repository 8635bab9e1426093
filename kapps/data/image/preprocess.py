"""Images as a model's input: the preprocessing of the evaluation pipeline."""

import os
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from kapps import cards
from kapps._checked import checked
from kapps._local_paths import local_path
from kapps.cards import Card
from kapps.data.image import decode_image
from kapps.data.image.pipeline import normalise
from kapps.data.image.undecodable import why_undecodable
from kapps.model_preprocessing import find_preprocessing
from kapps.preprocessing import NAMES, Preprocessing

Images = np.ndarray | str | os.PathLike | Sequence[str | os.PathLike] | Sequence[np.ndarray]


@checked
def preprocess(
    images: Images,
    model: keras.Model | Card | Preprocessing | str,
    *,
    weights: str | os.PathLike | None = None,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> np.ndarray:
    """Returns images as a model's input, computed as `kapps.data.eval_dataset` computes it.

    The shorter side is resized, antialiased, the centre is cropped, and the pixels are normalised, as the model's
    card says.

        batch = kapps.preprocess(["cat.jpg", "dog.jpg"], "resnet50", weights="imagenet")

    Args:
        images: pixels in [0, 255], (height, width, channels) or (batch, height, width, channels), uint8 or floats; or
            a path or a list of paths of JPEG, PNG, GIF, BMP or WebP files; or a list of arrays of different sizes.
            Arrays of one channel are repeated for a model of three.
        model: a model that records its preprocessing, as those of kapps do, or whose own first layers normalise pixels;
            a card; a preprocessing or its name; or a builder's name. A model's input shape sets the size and the
            channels.
        weights: the builder's `weights`. With "imagenet" the preprocessing is that of the pretrained weights.
        size: (height, width) of the result, if it differs from the card's.
        channels: channels of the result. By default those of the model's input, and 3 for a card or a name.

    Returns:
        float32 (batch, height, width, channels).

    Raises:
        ValueError: for a file that cannot be read, an array of another shape, a model that is not on images, and a
            model whose preprocessing is not known.
    """
    if isinstance(model, keras.Model):
        shape = model.input_shape
        size, channels = size or shape[1:3], channels or shape[-1]
    channels = channels or 3
    preprocessing = _preprocessing_of(model, weights)
    if size is not None and None not in size and tuple(size) != preprocessing.size:
        preprocessing = preprocessing.at(tuple(size))
    batch = tf.stack(
        [
            decode_image.resize_and_crop(pixels(image, channels), preprocessing)
            for image in as_list(images)
        ]
    )
    return normalise(batch, preprocessing, channels).numpy()


def _preprocessing_of(model, weights) -> Preprocessing:
    """Returns the preprocessing that the argument `model` of `preprocess` stands for."""
    if isinstance(model, keras.Model):
        if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4:
            raise ValueError(f"{model.name} is not a network on images")
        return find_preprocessing(model)[0]
    if isinstance(model, str) and model in NAMES and model not in cards.list_models():
        return NAMES[model]
    if isinstance(model, Preprocessing):
        return model
    card = model if isinstance(model, Card) else cards.image_card(model, weights)
    if card.preprocessing is None:
        raise ValueError(f"{card.name} is a network on {card.kind}, not on images")
    return card.preprocessing


def as_list(images: Images) -> list:
    """Returns one path or array for each image."""
    if isinstance(images, (str, os.PathLike)):
        return [images]
    if not hasattr(images, "ndim"):
        images = list(images)
    elif images.ndim not in (3, 4):
        raise ValueError(
            f"images have the shape {tuple(images.shape)}, not (height, width, channels) or "
            "(batch, height, width, channels)"
        )
    elif images.ndim == 3:
        return [images]
    if len(images) == 0:
        raise ValueError("there are no images")
    return list(images)


def pixels(image, channels: int) -> tf.Tensor:
    """Returns the pixels of one file or array, (height, width, channels)."""
    if isinstance(image, (str, os.PathLike)):
        return read(image, channels)
    image = tf.convert_to_tensor(np.asarray(image))
    if image.shape.rank != 3 or image.shape[-1] not in (1, 3, channels) or 0 in image.shape:
        raise ValueError(
            f"an image has the shape {tuple(image.shape)}, not (height, width, {channels})"
        )
    if image.dtype != tf.uint8:
        image = tf.cast(image, tf.float32)
    if image.shape[-1] == channels:
        return image
    return tf.repeat(image, 3, -1) if channels == 3 else tf.image.rgb_to_grayscale(image)


def read(path: str | os.PathLike, channels: int) -> tf.Tensor:
    """Returns the pixels of an image file, uint8 (height, width, channels)."""
    if channels not in (1, 3):
        raise ValueError(f"{path}: image files have 1 or 3 channels, and the model {channels}")
    path = local_path(path)
    try:
        with open(path, "rb") as file:
            encoded = file.read()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return decode_image.decode(tf.constant(encoded), channels)
    except (tf.errors.OpError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be decoded ({why_undecodable(encoded)}): pass a"
            f" {decode_image.DESCRIPTION} image"
        ) from error
