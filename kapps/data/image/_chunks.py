"""Decodes a few images at a time, so that an image that cannot be decoded does not stop the run."""

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from kapps.data.errors import DataError, SkippedImages
from kapps.data.image import decode_image
from kapps.data.image.source import Source
from kapps.data.image.undecodable import why_undecodable

CHUNK = 8
"""Number of images that are decoded in one step."""


def _why_undecodable_image(encoded, label):  # noqa: ARG001  # of a class, which is always valid here
    return why_undecodable(encoded)


def decode_chunks(
    images: tf.data.Dataset,
    decode: Callable,
    image_spec: tf.TensorSpec,
    finish: Callable,
    source: Source,
    skipped: SkippedImages,
    strict: bool,
    *,
    channels: int | None = None,
    explain: Callable = _why_undecodable_image,
) -> tf.data.Dataset:
    """Decodes images in chunks. Images that cannot be decoded are left out and recorded.

    `ignore_errors` of a dataset is TensorFlow's only way to catch an error, so the images of a chunk are decoded by a
    small dataset of their own, one for each format. The images that it lacks cannot be decoded. Errors
    of reading files still stop the run. Such a dataset takes 0.3 ms and more with a larger graph, which is why several
    images share one, and why each format has one. Chunks are decoded in parallel.

    Args:
        images: dataset of (name, encoded image, label, seed). A label is the number of a class, or an encoded label
            map.
        decode: function of (format, encoded image, orientation, seed, label) that returns an image.
        image_spec: shape and type of these images.
        finish: function of (images, labels, seeds) that returns the elements of the result, of up to `CHUNK` images.
        source: the dataset that is read, for messages.
        skipped: records the images that cannot be decoded.
        strict: whether such an image raises an error instead.
        channels: of the encoded images, if `decode` returns images with more.
        explain: function of (encoded image, label) that returns why an image cannot be decoded. If it raises
            DataError, the run stops with the name of the image and the error.
    """

    def record(names, encoded, labels):
        """Returns b"" or an error message. An exception raised here would print a traceback for each thread."""
        reasons = {}
        for name, content, label in zip(names, encoded, labels, strict=True):
            name = name.decode(errors="backslashreplace")
            try:
                reasons[name] = explain(content, label)
            except DataError as error:
                return f"DataError: {name} of {source.name}: {error}".encode()
        if strict:
            name, reason = next(iter(reasons.items()))
            message = (
                f"{name} of {source.name} cannot be decoded ({reason}):"
                " repair or delete it, or run without strict to skip it"
            )
            return f"DataError: {message}".encode()
        try:
            skipped.record(source.split, reasons)
        except DataError as error:
            return f"DataError: {error}".encode()
        return b""

    def record_in_graph(names, encoded, labels):
        message = tf.numpy_function(record, [names, encoded, labels], tf.string)
        tf.debugging.Assert(message == b"", [message])
        return True

    def decode_chunk(names, encoded, labels, seeds):
        positions = tf.range(tf.size(names, tf.int64))
        prepared, formats, orientations = decode_image.prepare_images(
            encoded, channels or image_spec.shape[-1]
        )
        decoded, images = decode_by_format(
            decode,
            decode_image.PREPARED,
            image_spec,
            formats,
            prepared,
            orientations,
            seeds,
            labels,
        )
        failed = tf.sets.difference([positions], [decoded]).values
        tf.cond(
            tf.size(failed) > 0,
            lambda: record_in_graph(*(tf.gather(x, failed) for x in (names, encoded, labels))),
            lambda: True,
        )
        return finish(images, tf.gather(labels, decoded), tf.gather(seeds, decoded))

    return images.batch(CHUNK).map(
        decode_chunk, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def decode_by_format(
    decode: Callable, formats: Sequence[str], image_spec: tf.TensorSpec, numbers: tf.Tensor, *inputs
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes the images of a chunk that can be decoded, each format by a graph of its own.

    Args:
        decode: function of (format, *inputs of an image) that returns an image.
        formats: names of the formats.
        image_spec: shape and type of an image.
        numbers: number of each image's format in `formats`, int32 [n]; others are not decoded.
        *inputs: of n images.

    Returns:
        The positions in the chunk of the decoded images in their order, int64 [k], and these images.
    """
    count = tf.size(numbers, tf.int64)

    def no_images(number):
        """Returns positions and blank images."""
        blank = tf.zeros([number, *image_spec.shape], image_spec.dtype)
        return tf.zeros([number], tf.int64), blank

    def decode_format(name, positions, *images):
        """Returns the positions of the images that can be decoded, and these images."""
        dataset = tf.data.Dataset.from_tensor_slices((positions, *images))
        dataset = dataset.map(lambda position, *image: (position, decode(name, *image)))
        # A blank image follows and is cut off below: `get_single_element` fails if there is no image.
        dataset = dataset.ignore_errors(log_warning=False)
        dataset = dataset.concatenate(tf.data.Dataset.from_tensor_slices(no_images(1)))
        decoded, pixels = dataset.batch(count + 1).get_single_element()
        return decoded[:-1], pixels[:-1]

    parts = []
    for number, name in enumerate(formats):
        positions = tf.where(numbers == number)[:, 0]
        call = functools.partial(
            decode_format, name, positions, *(tf.gather(x, positions) for x in inputs)
        )
        parts.append(tf.cond(tf.size(positions) > 0, call, lambda: no_images(0)))
    decoded, images = (tf.concat(tensors, 0) for tensors in zip(*parts, strict=True))
    order = tf.argsort(decoded)
    in_order = tf.reduce_all(order == tf.range(tf.size(order)))
    return tf.cond(
        in_order,
        lambda: (decoded, images),
        lambda: (tf.gather(decoded, order), tf.gather(images, order)),
    )
