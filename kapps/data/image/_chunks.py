"""Decodes a few images at a time, so that an image that cannot be decoded does not stop the run."""

from collections.abc import Callable

import tensorflow as tf

from kapps.data.errors import DataError, SkippedImages
from kapps.data.image.source import Source

CHUNK = 8
"""Number of images that are decoded in one step."""


def decode_chunks(
    chunks: tf.data.Dataset,
    decode: Callable,
    finish: Callable,
    source: Source,
    skipped: SkippedImages,
    strict: bool,
) -> tf.data.Dataset:
    """Decodes chunks of images. Images that cannot be decoded are left out and recorded.

    `ignore_errors` of a dataset is TensorFlow's only way to catch an error, so each chunk is decoded by a small dataset
    of its own. The images that it lacks are the ones that cannot be decoded. Errors of reading files still stop the
    run. Such a dataset takes 0.3 ms, which is why several images share one. Chunks are decoded in parallel.

    Args:
        chunks: batches of up to `CHUNK` (names, encoded images, labels, seeds).
        decode: function of (encoded image, seed) that returns an image.
        finish: function of (images, labels, seeds) that returns the elements of the result.
        source: the dataset that is read, for messages.
        skipped: records the images that cannot be decoded.
        strict: whether such an image raises an error instead.
    """
    skipped.add_source(source.name, source.split, source.examples)

    def record(names):
        """Returns b"" or an error message. An exception raised here would print a traceback for each thread."""
        names = [name.decode() for name in names]
        if strict:
            message = (
                f"{names[0]} of {source.name} cannot be decoded:"
                " repair or delete it, or run without strict to skip it"
            )
            return f"DataError: {message}".encode()
        try:
            skipped.record(names)
        except DataError as error:
            return f"DataError: {error}".encode()
        return b""

    def record_in_graph(names):
        message = tf.numpy_function(record, [names], tf.string)
        tf.debugging.Assert(message == b"", [message])
        return True

    def decode_chunk(names, encoded, labels, seeds):
        positions = tf.range(tf.size(names))
        images = tf.data.Dataset.from_tensor_slices((positions, encoded, seeds))
        images = images.map(lambda position, encoded, seed: (position, decode(encoded, seed)))
        # A blank image follows and is cut off below: `get_single_element` fails if there is no image.
        blank = tuple(tf.zeros([1, *spec.shape], spec.dtype) for spec in images.element_spec)
        images = images.ignore_errors(log_warning=False)
        images = images.concatenate(tf.data.Dataset.from_tensor_slices(blank))
        decoded, images = images.batch(CHUNK + 1).get_single_element()
        decoded, images = decoded[:-1], images[:-1]
        failed = tf.sets.difference([positions], [decoded]).values
        tf.cond(
            tf.size(failed) > 0,
            lambda: record_in_graph(tf.gather(names, failed)),
            lambda: True,
        )
        return finish(images, tf.gather(labels, decoded), tf.gather(seeds, decoded))

    return chunks.map(decode_chunk, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
