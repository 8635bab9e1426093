"""Decoding a few images at a time, so that one which cannot be decoded costs nothing but itself."""

from collections.abc import Callable

import tensorflow as tf

from kapps.data.errors import DataError, SkippedImages
from kapps.data.image.source import Source

CHUNK = 8
"""Images that are decoded as one step."""


def decode_chunks(
    dataset: tf.data.Dataset,
    image: Callable,
    finish: Callable,
    source: Source,
    skipped: SkippedImages,
    strict: bool,
) -> tf.data.Dataset:
    """Decodes chunks of (names, encoded, labels, seeds); bad images drop out, counted and named.

    TensorFlow has no "try" but a data set's `ignore_errors`, so a chunk is decoded by a small data
    set of its own: what it lacks afterwards is known by name, and errors of reading, which are
    another matter, still stop the run. One such data set costs 0.3 ms, hence chunks; they run side
    by side.
    """
    skipped.expect(source.name, source.split, source.examples)

    def note(names):
        names = [name.decode() for name in names]
        try:
            if strict:
                raise DataError(
                    f"{names[0]} of {source.name} cannot be decoded:"
                    " mend or delete it, or run without strict to skip it"
                )
            skipped.record(names)
        except DataError as error:
            return (
                f"DataError: {error}".encode()
            )  # raised here, it would bring a traceback for each thread
        return b""

    def tell(names):
        said = tf.numpy_function(note, [names], tf.string)
        tf.debugging.Assert(said == b"", [said])
        return True

    def chunk(names, encoded, labels, seeds):
        places = tf.range(tf.size(names))

        def one(place, encoded, seed):
            return place, image(encoded, seed)

        tried = tf.data.Dataset.from_tensor_slices((places, encoded, seeds)).map(one)
        # One blank image at the end, cut off below, so that there is something to get where none
        # decodes.
        blank = tuple(tf.zeros([1, *spec.shape], spec.dtype) for spec in tried.element_spec)
        tried = tried.ignore_errors(log_warning=False)
        tried = tried.concatenate(tf.data.Dataset.from_tensor_slices(blank))
        good, images = tried.batch(CHUNK + 1).get_single_element()
        good, images = good[:-1], images[:-1]
        bad = tf.sets.difference([places], [good]).values
        tf.cond(
            tf.size(bad) > 0,
            lambda: tell(tf.gather(names, bad)),
            lambda: True,
        )
        return finish(images, tf.gather(labels, good), tf.gather(seeds, good))

    return dataset.map(chunk, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
