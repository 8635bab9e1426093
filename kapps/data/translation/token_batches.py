"""Batches of pairs of sentences of similar length: few shapes, each with about the same number of tokens.

    batches = TokenBatches(pairs, tokens=4096)
    train = batches.train_dataset(seed=0, first_step=step)  # endless; an epoch has batches.steps_per_epoch
    test = batches.eval_dataset()

A batch is ((source, target), labels, weights). With the start token V of `VocabularyPair`, the target is V and its
words; the labels are its words and V + 1, so that each word is predicted from those before it. Weights are 0 for
padding and 1 for tokens.
"""

import numpy as np
import tensorflow as tf

from kapps.data.errors import DataError
from kapps.data.translation.vocabulary_pair import EncodedPairs


class TokenBatches:
    """Divides pairs of sentences into batches by length.

    Pairs are divided by the length of the target into ranges of about the same number of tokens, and each range by the
    length of the source. All batches of a range have one shape, with as many rows as fit in `tokens`. If the pairs of a
    range do not fill its last batch, the batch is filled with rows of weight 0. An epoch always has `steps_per_epoch`
    batches and each pair once.

    Args:
        pairs: the encoded pairs.
        tokens: largest number of tokens of a batch, source and target together, with padding.
        ranges: number of ranges of the target's length, and of the source's length in each of them.
        multiple: a divisor of the number of rows of every batch: the number of replicas of a strategy.

    Raises:
        DataError: `multiple` of the longest pairs have more than `tokens` tokens.

    Attributes:
        shapes: (rows, source length, target length) of each range.
        tokens: number of tokens of an epoch, source and target together, without padding.
        padding: fraction of an epoch's tokens that is padding.
    """

    def __init__(
        self,
        pairs: EncodedPairs,
        tokens: int,
        *,
        ranges: tuple[int, int] = (6, 3),
        multiple: int = 1,
    ):
        self._pairs = pairs
        source_lengths, target_lengths = pairs.lengths
        self._range_of_pair = np.zeros(pairs.pairs, "int64")
        self.shapes: list[tuple[int, int, int]] = []
        batches = []  # (range, position of the first pair in the range, pairs in the range)
        for target_range in _divide_by_length(target_lengths, np.arange(pairs.pairs), ranges[0]):
            for members in _divide_by_length(source_lengths, target_range, ranges[1]):
                source_length = int(source_lengths[members].max())
                target_length = int(target_lengths[members].max())
                row_tokens = source_length + target_length
                rows = tokens // row_tokens // multiple * multiple
                if not rows:
                    raise DataError(
                        f"tokens={tokens:,} per batch are too few: {multiple} rows of {source_length} +"
                        f" {target_length} tokens have {multiple * row_tokens:,}; raise tokens, or leave out"
                        " long pairs"
                    )
                rows = min(rows, -(-len(members) // multiple) * multiple)
                number = len(self.shapes)
                self._range_of_pair[members] = number
                self.shapes.append((rows, source_length, target_length))
                batches += [(number, first, len(members)) for first in range(0, len(members), rows)]
        self._batches = np.array(batches)
        self._range_starts = np.cumsum([0, *np.bincount(self._range_of_pair)[:-1]])
        self.tokens = int(source_lengths.sum() + target_lengths.sum())
        batch_shapes = [self.shapes[number] for number in self._batches[:, 0]]
        self.padding = 1 - self.tokens / sum(rows * (x + y) for rows, x, y in batch_shapes)

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches of an epoch."""
        return len(self._batches)

    def train_dataset(
        self, *, seed: int = 0, first_step: int = 0, shard: tuple[int, int] = (0, 1)
    ) -> tf.data.Dataset:
        """Returns an endless dataset. Each epoch samples the pairs of each batch, and their order, from (seed, epoch).

        Args:
            seed: the seed.
            first_step: number of the first batch, to resume an interrupted run.
            shard: (i, k) for worker i of k: each batch is the i-th part of the batch of a single worker.

        Returns:
            Batches of ((source, target), labels, weights): int32 [batch / k, source length]; int32 [batch / k, target
            length]; labels and float32 weights of the target's shape.

        Raises:
            DataError: the rows of a batch are not divisible by the number of workers.
        """
        workers = shard[1]
        for rows, *_ in self.shapes:
            if rows % workers:
                raise DataError(
                    f"batches of {rows} rows are not divisible by {workers} workers: pass multiple={workers}"
                )
        make_batch = self._batch_maker(shard)
        first_epoch, first_batch = divmod(first_step, self.steps_per_epoch)
        range_of_pair = tf.constant(self._range_of_pair)

        def epoch(number):
            epoch_seed = tf.stack([tf.constant(seed, tf.int64), number])
            order = tf.random.experimental.stateless_shuffle(
                tf.range(self._pairs.pairs, dtype=tf.int64), epoch_seed
            )
            by_range = tf.argsort(tf.gather(range_of_pair, order), stable=True)
            order = tf.gather(order, by_range)
            steps = tf.range(self.steps_per_epoch)
            steps = tf.random.experimental.stateless_shuffle(steps, epoch_seed)
            return tf.data.Dataset.from_tensor_slices(steps).map(
                lambda step: make_batch(order, step), tf.data.AUTOTUNE, deterministic=True
            )

        epochs = tf.data.Dataset.counter(first_epoch)
        return epochs.flat_map(epoch).skip(first_batch).prefetch(tf.data.AUTOTUNE)

    def eval_dataset(self) -> tf.data.Dataset:
        """Returns every pair once, the shortest targets first, in batches like those of `train_dataset`."""
        make_batch = self._batch_maker((0, 1))
        order = tf.constant(np.argsort(self._range_of_pair, kind="stable"))
        steps = tf.data.Dataset.range(self.steps_per_epoch)
        dataset = steps.map(
            lambda step: make_batch(order, step), tf.data.AUTOTUNE, deterministic=True
        )
        return dataset.prefetch(tf.data.AUTOTUNE)

    def _batch_maker(self, shard):
        """Returns a function of (order of the pairs, number of the batch) that returns a batch."""
        worker, workers = shard
        pairs = self._pairs
        source_side = _side_tensors(pairs.source, pairs.source_ends)
        target_side = _side_tensors(pairs.target, pairs.target_ends)
        batches, shapes = tf.constant(self._batches), tf.constant(self.shapes, tf.int64)
        range_starts = tf.constant(self._range_starts)

        def make_batch(order, step):
            number, first, members = tf.unstack(batches[step])
            rows, source_length, target_length = tf.unstack(shapes[number])
            worker_rows = rows // workers
            positions = first + worker * worker_rows + tf.range(worker_rows)
            selected = tf.gather(order, range_starts[number] + positions % members)
            source, _ = _gather_rows(source_side, selected, source_length)
            words, is_word = _gather_rows(target_side, selected, target_length)
            start = tf.fill([worker_rows, 1], pairs.start)
            target = tf.concat([start, words[:, :-1]], axis=1)
            # The end takes the position of the first padding.
            follows_word = tf.pad(is_word[:, :-1], [[0, 0], [1, 0]], constant_values=True)
            is_end = follows_word & ~is_word
            labels = tf.where(is_end, pairs.end, words)
            weights = tf.cast(is_word | is_end, tf.float32)
            weights *= tf.cast(positions < members, tf.float32)[:, None]
            return (source, target), labels, weights

        return make_batch


def _side_tensors(tokens, ends):
    """Returns (tokens, length of each sentence, end of each sentence) as tensors."""
    return tf.constant(tokens, tf.int32), tf.constant(np.diff(ends, prepend=0)), tf.constant(ends)


def _gather_rows(side, selected, length):
    """Returns the tokens of the selected sentences, int32 [rows, length], and which of them are not padding."""
    tokens, lengths, ends = side
    lengths = tf.gather(lengths, selected)[:, None]
    starts = tf.gather(ends, selected)[:, None] - lengths
    positions = tf.range(length)[None]
    is_token = positions < lengths
    rows = tf.gather(tokens, tf.where(is_token, starts + positions, 0))
    return tf.where(is_token, rows, 0), is_token


def _divide_by_length(lengths, members, count) -> list[np.ndarray]:
    """Divides members into at most `count` ranges of length with about the same number of tokens each.

    Members of the same length are in the same range.
    """
    order = members[np.argsort(lengths[members], kind="stable")]
    sums = np.cumsum(lengths[order])
    # The range of a length is the one that holds the middle of its tokens.
    first = np.searchsorted(lengths[order], lengths[order], "left")
    last = np.searchsorted(lengths[order], lengths[order], "right") - 1
    middle = (sums[first] + sums[last]) / 2 / sums[-1]
    numbers = np.minimum((middle * count).astype(int), count - 1)
    return [order[numbers == number] for number in np.unique(numbers)]
