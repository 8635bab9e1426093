"""Pairs of sentences to batches of like lengths: few shapes, each full of tokens and little of it padding.

    plan = TokenBatches(encoded, tokens=4096)
    batches = plan.train_dataset(seed=0, first_step=step)  # endless, plan.steps_per_epoch of them an epoch
    test = plan.eval_dataset()

A batch is ((source, target), labels, weights). With V of `VocabularyPair` the target is V and its words, the labels
are its words and V + 1, so that each word is asked for after those before it; weights are 0 at padding and 1 else.
"""

import numpy as np
import tensorflow as tf

from kapps.data.errors import DataError
from kapps.data.translation.vocabulary_pair import EncodedPairs


class TokenBatches:
    """Which pairs may share a batch, and how many batches that makes of them.

    Pairs are parted by their target's length into ranges of about as many tokens each, and those again by their
    source's. All batches of one range have one shape, and so many rows that source and target with their padding have
    at most `tokens`. Where the pairs of a range do not fill the last of its batches, rows that weigh nothing do, so
    that an epoch always has `steps_per_epoch` batches and each pair once.

    Args:
        encoded: the pairs.
        tokens: how many a batch has at most, padding included, both sides together.
        ranges: of the target's length, and of the source's in each of those.
        multiple: what the rows of every batch divide by: the replicas of a strategy.

    Raises:
        DataError: where `multiple` of the longest pairs have more than `tokens`.
    """

    def __init__(
        self,
        encoded: EncodedPairs,
        tokens: int,
        *,
        ranges: tuple[int, int] = (6, 3),
        multiple: int = 1,
    ):
        self.encoded = encoded
        sources, targets = encoded.lengths
        self.bucket = np.zeros(encoded.pairs, "int64")  # of each pair
        self.shapes = []
        """Of each range: rows, steps of the source, steps of the target."""
        batches = []  # of each: its range, its first pair in it, how many that has
        for some in _ranges(targets, np.arange(encoded.pairs), ranges[0]):
            for members in _ranges(sources, some, ranges[1]):
                width, height = int(sources[members].max()), int(targets[members].max())
                rows = tokens // (width + height) // multiple * multiple
                if not rows:
                    raise DataError(
                        f"tokens={tokens:,} a batch are too few: {multiple} rows of {width} + {height} tokens have"
                        f" {multiple * (width + height):,}; give more, or leave out long pairs"
                    )
                rows = min(rows, -(-len(members) // multiple) * multiple)
                number = len(self.shapes)
                self.bucket[members] = number
                self.shapes.append((rows, width, height))
                batches += [(number, at, len(members)) for at in range(0, len(members), rows)]
        self.batches = np.array(batches)
        self.firsts = np.cumsum([0, *np.bincount(self.bucket)[:-1]])
        real = int(sources.sum() + targets.sum())
        delivered = sum(
            rows * (s + t) for rows, s, t in (self.shapes[b] for b in self.batches[:, 0])
        )
        self.tokens = real
        """Source's and target's tokens of an epoch, without padding."""
        self.padding = 1 - real / delivered
        """The share of an epoch's tokens that is padding."""

    @property
    def steps_per_epoch(self) -> int:
        """How many batches an epoch has."""
        return len(self.batches)

    def train_dataset(
        self, *, seed: int = 0, first_step: int = 0, shard: tuple[int, int] = (0, 1)
    ) -> tf.data.Dataset:
        """Returns endless batches; every epoch draws from (seed, epoch) who shares a batch, and their order.

        Args:
            seed: settles the orders.
            first_step: the batch to begin with, as a run that was interrupted does.
            shard: (i, k), for the i-th of k workers: each batch is the i-th part of the global one.

        Returns:
            ((int32 [batch / k, source steps], int32 [batch / k, target steps]), labels as the target, weights
            float32 of the same shape).

        Raises:
            DataError: where the rows of a batch do not divide among the workers: `multiple` is what they divide by.
        """
        uneven = [rows for rows, *_ in self.shapes if rows % shard[1]]
        if uneven:
            raise DataError(
                f"batches of {uneven[0]} rows do not divide among {shard[1]} workers: give multiple={shard[1]}"
            )
        assemble = self._assembler(shard)
        first_epoch, first_batch = divmod(first_step, self.steps_per_epoch)
        bucket = tf.constant(self.bucket)

        def epoch(number):
            seeds = tf.stack([tf.constant(seed, tf.int64), number])
            order = tf.random.experimental.stateless_shuffle(
                tf.range(self.encoded.pairs, dtype=tf.int64), seeds
            )
            order = tf.gather(order, tf.argsort(tf.gather(bucket, order), stable=True))
            at = tf.random.experimental.stateless_shuffle(tf.range(self.steps_per_epoch), seeds)
            chosen = tf.data.Dataset.from_tensor_slices(at)
            return chosen.map(lambda i: assemble(order, i), tf.data.AUTOTUNE, deterministic=True)

        epochs = tf.data.Dataset.counter(first_epoch)
        return epochs.flat_map(epoch).skip(first_batch).prefetch(tf.data.AUTOTUNE)

    def eval_dataset(self) -> tf.data.Dataset:
        """Returns one pass, the shortest targets first: batches as those of `train_dataset`."""
        assemble = self._assembler((0, 1))
        order = tf.constant(np.argsort(self.bucket, kind="stable"))
        batches = tf.data.Dataset.range(self.steps_per_epoch)
        return batches.map(
            lambda i: assemble(order, i), tf.data.AUTOTUNE, deterministic=True
        ).prefetch(tf.data.AUTOTUNE)

    def _assembler(self, shard):
        encoded = self.encoded
        sides = [
            (tf.constant(flat, tf.int32), tf.constant(np.diff(ends, prepend=0)), tf.constant(ends))
            for flat, ends in (
                (encoded.source, encoded.source_ends), (encoded.target, encoded.target_ends)
            )
        ]  # fmt: skip
        batches, shapes = tf.constant(self.batches), tf.constant(self.shapes, tf.int64)
        firsts = tf.constant(self.firsts)

        def tokens(side, chosen, steps):
            """Returns int32 [rows, steps], and which of them are real."""
            flat, lengths, ends = (
                side[0],
                *(tf.gather(each, chosen)[:, None] for each in side[1:]),
            )
            place = tf.range(steps)[None]
            real = place < lengths
            return tf.where(
                real, tf.gather(flat, tf.where(real, ends - lengths + place, 0)), 0
            ), real

        def assemble(order, i):
            number, at, members = tf.unstack(batches[i])
            rows, width, height = tf.unstack(shapes[number])
            share = rows // shard[1]
            place = at + shard[0] * share + tf.range(share)
            chosen = tf.gather(order, firsts[number] + place % members)
            source, _ = tokens(sides[0], chosen, width)
            words, real = tokens(sides[1], chosen, height)
            before = tf.fill([share, 1], encoded.start)
            # The end stands where the first token of padding would.
            ends = tf.pad(real[:, :-1], [[0, 0], [1, 0]], constant_values=True) & ~real
            labels = tf.where(ends, encoded.end, words)
            weights = tf.cast(real | ends, tf.float32)
            weights *= tf.cast(place < members, tf.float32)[:, None]
            target = tf.concat([before, words[:, :-1]], axis=1)
            return (source, target), labels, weights

        return assemble


def _ranges(lengths, members, count):
    """Returns members in ranges of length, all of one length in one, about as many tokens in each."""
    order = members[np.argsort(lengths[members], kind="stable")]
    sums = np.cumsum(lengths[order])
    # Of each length the range that the middle of its tokens falls into.
    starts = np.searchsorted(lengths[order], lengths[order], "left")
    ends = np.searchsorted(lengths[order], lengths[order], "right") - 1
    middle = (sums[starts] + sums[ends]) / 2 / sums[-1]
    numbers = np.minimum((middle * count).astype(int), count - 1)
    return [order[numbers == number] for number in np.unique(numbers)]
