"""Images that the workers of tf.data's service decode: every image once, in the order of a program without a service.

The images are numbered in the order of the training, and a chunk is `CHUNK` of them. What a chunk holds depends only on
its number, so that it does not matter which process computes it. The dispatcher of the service gives each number to
one worker (`ShardingPolicy.DYNAMIC`): no chunk is computed twice, and those of a worker that ends are lost (TensorFlow
documents "at most once"). The client puts the chunks into the order of their numbers, drops a repeated one, and
computes a chunk that does not arrive itself: exactly once, and the same batches bit for bit.

The graph of a worker runs in another process, which has no functions of Python.
"""

import functools
import os
import queue
import sys
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from kapps.data.errors import DataError, SkippedImages
from kapps.data.image import _orientation, decode_image
from kapps.data.image._arrivals import Arrivals
from kapps.data.image._chunks import decode_by_format
from kapps.data.image._order import image_seed, shuffle_epoch
from kapps.data.image.record_files import record_places
from kapps.data.image.source import Source
from kapps.data.image.undecodable import why_undecodable
from kapps.data.service import check_dispatcher

CHUNK = 32
"""Number of images that a worker sends at once."""
_BUFFER_BYTES, _MIN_BUFFER, _MAX_BUFFER = 2**28, 8, 64
"""Size of the chunks that wait for an earlier one, and their smallest and largest number."""
_EXIF_NAMES = dict(zip(("JPEG", "PNG", "WebP"), _orientation.NAMES, strict=True))
_LAST = 2**62
"""Number of chunks of an endless dataset."""


class ServiceImages:
    """The decoded images of a training, from the workers of a tf.data service.

    Args:
        source: the images.
        decode, image_spec, finish: as for `kapps.data.image._chunks.decode_chunks`. They contain TensorFlow operations
            only.
        seed, batch_size, first_step, shard, cache_bytes, skipped, strict: as for `kapps.data.train_dataset`.

    Raises:
        DataError: the shards are compressed or not on a local path: their records cannot be read in any order.
    """

    def __init__(
        self,
        source: Source,
        decode: Callable,
        image_spec: tf.TensorSpec,
        finish: Callable,
        *,
        batch_size: int,
        seed: int,
        skipped: SkippedImages,
        strict: bool,
        first_step: int,
        shard: tuple[int, int],
        cache_bytes: int,
    ):
        worker, workers = shard
        if batch_size % workers:
            raise DataError(f"batch_size={batch_size} is not divisible by {workers} workers")
        self.source, self.decode, self.image_spec, self.finish = source, decode, image_spec, finish
        self.seed, self.cache_bytes = seed, cache_bytes
        self.skipped, self.strict = skipped, strict
        self.batch_size, self.worker, self.worker_batch_size = (
            batch_size,
            worker,
            batch_size // workers,
        )
        self.first = first_step * self.worker_batch_size  # number of the first image of this worker
        skipped.add_source(source, "training")
        if workers == 1:
            self.first = self._first_position(first_step * batch_size)
        self.read = _make_reader(source)

    def chunks(self, numbers: tf.data.Dataset) -> tf.data.Dataset:
        """Returns chunks by their numbers, computed by TensorFlow operations only.

        Args:
            numbers: dataset of int64 [].

        Returns:
            (number, images and labels of `finish`, names and encoded images of those that cannot be decoded).
        """
        count = self.source.examples

        def images_of(number):
            first = number * CHUNK + self.first
            return tf.data.Dataset.range(first, first + CHUNK).map(lambda image: (number, image))

        def find_image(state, item):
            """Returns the index of an image in the source, and keeps the order of its epoch."""
            number, image = item
            batch, place = image // self.worker_batch_size, image % self.worker_batch_size
            position = batch * self.batch_size + self.worker * self.worker_batch_size + place
            epoch, position = position // count, position % count
            order = tf.cond(epoch == state[0], lambda: state[1], lambda: self._order(epoch))
            seed = image_seed(self.seed, epoch, position)
            return (epoch, order), (number, order[position], seed)

        def read(number, index, seed):
            return number, *self.read(index), seed

        state = tf.constant(-1, tf.int64), tf.zeros([count], tf.int64)
        images = numbers.flat_map(images_of).scan(state, find_image)
        images = images.map(read, tf.data.AUTOTUNE, deterministic=True).batch(CHUNK)
        return images.map(self._decode_chunk, tf.data.AUTOTUNE, deterministic=True)

    def dataset(self, address: str) -> tf.data.Dataset:
        """Returns an endless dataset of (images, labels) of a chunk, each of any number of images.

        Args:
            address: HOST:PORT of the dispatcher.

        Raises:
            DataError: nothing listens at the address.
        """
        check_dispatcher(address)
        service = self.chunks(tf.data.Dataset.range(_LAST)).apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.DYNAMIC, f"grpc://{address}"
            )
        )
        specs = service.element_spec[1:3]
        return tf.data.Dataset.from_generator(
            lambda: self._in_order(service), output_signature=specs
        )

    def _in_order(self, service: tf.data.Dataset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields images and labels of each chunk in the order of their numbers, and records skipped images."""
        size = np.prod(self.image_spec.shape) * self.image_spec.dtype.size * CHUNK
        limit = min(max(_MIN_BUFFER, _BUFFER_BYTES // int(size)), _MAX_BUFFER)
        arrivals = Arrivals(service, limit, self.source)
        numbers, computed = queue.SimpleQueue(), None
        try:
            while True:
                missing = arrivals.missing()
                if missing:
                    print(
                        f"the data service has not sent {len(missing)} parts of {CHUNK} images: they are computed here",
                        file=sys.stderr,
                    )
                    computed = computed or iter(self.chunks(_dataset_of(numbers)))
                    for number in missing:
                        numbers.put(number)
                    for _ in missing:
                        arrivals.add(*next(computed))
                images, labels, names, encoded = arrivals.take()
                if len(names):
                    self._skip(names.numpy(), encoded.numpy())
                yield images, labels
        finally:
            numbers.put(None)
            arrivals.close()

    def _skip(self, names, encoded):
        reasons = {
            name.decode(errors="backslashreplace"): why_undecodable(content)
            for name, content in zip(names, encoded, strict=True)
        }
        if self.strict:
            name, reason = next(iter(reasons.items()))
            raise DataError(
                f"{name} of {self.source.name} cannot be decoded ({reason}):"
                " repair or delete it, or run without strict to skip it"
            )
        self.skipped.record(self.source.split, reasons)

    def _order(self, epoch):
        """Returns the indices of the images in the order of an epoch, int64 [examples]."""
        source = self.source
        order = shuffle_epoch(source, source.indices, self.seed, epoch, self.cache_bytes)
        order = order.batch(source.examples).get_single_element()
        return tf.ensure_shape(order, [source.examples])

    def _first_position(self, images_done):
        """Returns the position of the first image after `images_done` that can be decoded, as the skipped ones say."""
        skipped = set(self.skipped.names_of(self.source.split))
        decodable = max(1, self.source.examples - len(skipped))
        epoch, done = divmod(images_done, decodable)
        if skipped and done:
            names = self.source.names()
            order = self._order(tf.constant(epoch, tf.int64)).numpy()
            is_decodable = [names[index] not in skipped for index in order]
            done = int(np.flatnonzero(is_decodable)[done])
        return epoch * self.source.examples + done

    def _decode_chunk(self, numbers, names, encoded, labels, seeds):
        channels = self.image_spec.shape[-1]

        def decode(image_format, content, seed, label):
            if image_format not in decode_image.PREPARED:  # as `decode_image.prepare_images`
                content = _png_graph(image_format, channels)(content)
                return self.decode("PNG", content, tf.constant(1, tf.int64), seed, label)
            orientation = _read_orientation(content, image_format)
            return self.decode(image_format, content, orientation, seed, label)

        decoded, images = decode_by_format(
            decode, decode_image.FORMATS, self.image_spec, decode_image.find_formats(encoded),
            encoded, seeds, labels,
        )  # fmt: skip
        positions = tf.range(tf.size(names, tf.int64))
        failed = tf.sets.difference([positions], [decoded]).values
        images, labels = self.finish(images, tf.gather(labels, decoded), tf.gather(seeds, decoded))
        return numbers[0], images, labels, tf.gather(names, failed), tf.gather(encoded, failed)


@functools.cache
def _png_graph(image_format, channels):
    """Returns a graph that decodes an image of a format and encodes it as PNG. It is traced once."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def to_png(encoded):
        orientation = _read_orientation(encoded, image_format)
        image = decode_image.decode_format(image_format, encoded, orientation, channels)
        return tf.io.encode_png(image, compression=1)

    return to_png


def _read_orientation(encoded, image_format):
    """Returns the orientation of an image. Few images have EXIF: a search of its name comes first."""
    name = _EXIF_NAMES.get(image_format)
    if name is None:
        return tf.constant(1, tf.int64)
    has_name = tf.size(tf.strings.split([encoded], name, maxsplit=1).values) > 1
    return tf.cond(
        has_name,
        lambda: decode_image.read_orientation(encoded, image_format),
        lambda: tf.constant(1, tf.int64),
    )


def _dataset_of(numbers):
    """Returns a dataset of the numbers that are put into a queue, until `None`."""
    return tf.data.Dataset.from_generator(
        lambda: iter(numbers.get, None), output_signature=tf.TensorSpec([], tf.int64)
    )


def _make_reader(source):
    """Returns a function of the index of an image that returns its name, its content and its label."""
    if not source.shards:
        columns = source.file_tensors()

        def read(index):
            *name, content, label = (tf.gather(column, index) for column in columns)
            if source.kind == "archive":
                return *name, content, label
            path, name = *name, content
            return name, tf.io.read_file(path), label

        return read

    if any(source.compressions):
        raise DataError(
            f"{source.name} has compressed shards, whose records cannot be read in any order: write them without "
            "compression, or run without a data service"
        )
    if not all(map(os.path.exists, source.files)):
        raise DataError(
            f"the shards of {source.name} are not files of this machine, and a data service reads records of local "
            "paths: mount them, or run without a data service"
        )
    paths, names, _, firsts, counts = source.file_tensors()
    ends = tf.cumsum(counts)
    places = np.concatenate(
        [
            record_places(path)[first : first + count]
            for path, (first, count) in zip(source.files, source.ranges, strict=True)
        ]
    )
    sizes = tf.constant([os.path.getsize(path) for path in source.files], tf.int64)

    def read_record(index):
        shard = tf.searchsorted(ends, [index], side="right")[0]
        number = index - ends[shard] + counts[shard] + firsts[shard]
        first, length = tf.unstack(tf.gather(places, index))
        record = tf.data.FixedLengthRecordDataset(
            paths[shard], length, first, sizes[shard] - first - length, buffer_size=length
        )
        return source.parse_record(record.get_single_element(), number, names[shard])

    return read_record
