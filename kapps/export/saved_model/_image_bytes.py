"""Encoded images in a graph: decoded, resized and cropped as the evaluation pipeline does."""

import functools
from collections.abc import Callable

import tensorflow as tf

from kapps.data.image import decode_image
from kapps.export._inputs import ModelInput
from kapps.preprocessing import Preprocessing

BYTES = "image_bytes"
"""The name of encoded images in a signature."""


def image_reader(preprocessing: Preprocessing, inputs: ModelInput) -> Callable:
    """Returns a function from image files, string [batch], to pixels in [0, 255] at the size of a model's input.

    Args:
        preprocessing: of the images.
        inputs: of the model, an image with 1 or 3 channels.
    """
    height, width, channels = inputs.shape
    size = (height or preprocessing.size[0], width or preprocessing.size[1])
    if size != preprocessing.size:
        preprocessing = preprocessing.at(size)
    return functools.partial(_read_images, preprocessing, channels)


def _read_images(preprocessing, channels, image_bytes):
    """Returns encoded images as pixels, float32 [batch, height, width, channels] in [0, 255]."""

    def read(image):
        decoded = decode_image.decode_graph(channels)(image)
        return decode_image.resize_and_crop(decoded, preprocessing)

    spec = tf.TensorSpec([*preprocessing.size, channels], tf.float32)
    return tf.map_fn(read, image_bytes, fn_output_signature=spec)
