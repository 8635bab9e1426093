"""Batches of images and captions, for training with teacher forcing and for decoding.

    batches = CaptionBatches(images, words, preprocessing, batch_size=64)
    train = batches.train_dataset(seed=0, first_step=step)      # endless; an epoch has batches.steps_per_epoch

A batch is ((images, target), labels, weights). The target is the start token and the words; the labels are the words
and the end token, so that each word is predicted from those before it. Weights are 0 for padding and 1 for tokens.
"""

import numpy as np
import tensorflow as tf

from kapps.data.captions.caption_words import CaptionWords
from kapps.data.captions.captioned_images import CaptionedImages
from kapps.data.errors import DataError
from kapps.data.image import decode_image
from kapps.data.image.pipeline import normalise
from kapps.preprocessing import Preprocessing


class CaptionBatches:
    """Batches of the images and captions of a dataset. All have one shape.

    Args:
        images: the images and captions.
        words: the words of the captions.
        preprocessing: size, crop and normalisation of the images.
        batch_size: pairs per step.
        channels: 3, or 1 for grey.
        longest: largest number of words of a caption; the rest is cut. `None` keeps all.

    Raises:
        DataError: `batch_size` is larger than the number of captions.
    """

    def __init__(
        self, images: CaptionedImages, words: CaptionWords, preprocessing: Preprocessing, batch_size: int, *,
        channels: int = 3, longest: int | None = None,
    ):  # fmt: skip
        pairs = images.pairs
        if batch_size > len(pairs):
            raise DataError(
                f"a batch of {batch_size:,} is larger than the {len(pairs):,} captions of {images.name}: choose a"
                " smaller batch_size"
            )
        self.source, self.words, self.preprocessing = images, words, preprocessing
        self.batch_size, self.channels = batch_size, channels
        self._image = np.array([number for number, _ in pairs], "int64")
        rows = [words.encode(text)[:longest] for _, text in pairs]
        self.steps = 1 + max(map(len, rows))
        self._tokens = np.zeros((len(rows), self.steps), "int32")
        for row, tokens in zip(rows, self._tokens, strict=True):
            tokens[: len(row) + 1] = [*row, words.end]

    @property
    def steps_per_epoch(self) -> int:
        """Number of training batches of an epoch. A smaller last batch is left out."""
        return len(self._tokens) // self.batch_size

    def train_dataset(
        self, *, seed: int = 0, first_step: int = 0, shard: tuple[int, int] = (0, 1)
    ) -> tf.data.Dataset:
        """Returns an endless dataset. Each epoch has the captions in an order that is sampled from (seed, epoch).

        Args:
            seed: the seed.
            first_step: number of the first batch, to resume an interrupted run.
            shard: (i, k) for worker i of k: each batch is the i-th part of the batch of a single worker.

        Returns:
            Batches of ((images, target), labels, weights): float32 [batch / k, height, width, channels], int32 [batch
            / k, time]; labels and float32 weights of the target's shape.

        Raises:
            DataError: the batch is not divisible by the number of workers.
        """
        worker, workers = shard
        if self.batch_size % workers:
            raise DataError(f"batches of {self.batch_size} are not divisible by {workers} workers")
        rows = self.batch_size // workers
        first_epoch, first_batch = divmod(first_step, self.steps_per_epoch)

        def epoch(number):
            order = tf.random.experimental.stateless_shuffle(
                tf.range(len(self._tokens), dtype=tf.int64),
                tf.stack([tf.constant(seed, tf.int64), number]),
            )
            order = order[: self.steps_per_epoch * self.batch_size]
            order = tf.reshape(order, [self.steps_per_epoch, workers, rows])[:, worker]
            return tf.data.Dataset.from_tensor_slices(order)

        epochs = tf.data.Dataset.counter(first_epoch).flat_map(epoch)
        return self._read(epochs.skip(first_batch))

    def eval_dataset(self) -> tf.data.Dataset:
        """Returns every caption once with its image, in their order. The last batch may be smaller."""
        return self._read(tf.data.Dataset.range(len(self._tokens)).batch(self.batch_size))

    def image_dataset(self) -> tf.data.Dataset:
        """Returns batches of the images, each once, float32 [batch, height, width, channels]."""
        read = self._image_reader()
        numbers = tf.data.Dataset.range(len(self.source.images)).batch(self.batch_size)
        return numbers.map(read, tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)

    def _read(self, numbers):
        """Returns the batches of a dataset of numbers of captions, int64 [batch]."""
        read, image = self._image_reader(), tf.constant(self._image)
        tokens, start = tf.constant(self._tokens), self.words.start

        def read_batch(batch):
            labels = tf.gather(tokens, batch)
            target = tf.concat([tf.fill([tf.shape(labels)[0], 1], start), labels[:, :-1]], axis=1)
            # The end token is a label only.
            target = tf.where(target == self.words.end, 0, target)
            weights = tf.cast(labels != 0, tf.float32)
            return (read(tf.gather(image, batch)), target), labels, weights

        options = tf.data.Options()
        options.deterministic = True
        dataset = numbers.map(read_batch, tf.data.AUTOTUNE, deterministic=True)
        return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)

    def _image_reader(self):
        """Returns a function of the numbers of images, int64 [batch], to their pixels as a model reads them."""
        images, channels = self.source.images, self.channels
        is_array = isinstance(images, np.ndarray)
        stored = tf.constant(images if is_array else list(images))
        is_path = not is_array and isinstance(images[0], str)

        def read_one(number):
            image = stored[number]
            if not is_array:
                image = decode_image.decode_graph(channels)(
                    tf.io.read_file(image) if is_path else image
                )
            elif image.shape[-1] != channels:
                image = (
                    tf.repeat(image, 3, -1) if channels == 3 else tf.image.rgb_to_grayscale(image)
                )
            return decode_image.resize_and_crop(image, self.preprocessing)

        def read(numbers):
            shape = [*self.preprocessing.size, channels]
            spec = tf.TensorSpec(shape, tf.float32)
            pixels = tf.map_fn(read_one, numbers, fn_output_signature=spec)
            return tf.ensure_shape(normalise(pixels, self.preprocessing, channels), [None, *shape])

        return read
