"""Causal attention with the sparse patterns of the Sparse Transformer, in blocks of steps.

[1] Child 2019, arXiv:1904.10509, section 4
[2] its code, https://github.com/openai/sparse_attention and https://github.com/openai/distribution_augmentation

Departure from the paper: the local part of the strided pattern has l steps, the step itself included, as in [2]; the
equation of [1] has l + 1.
"""

import numpy as np
from keras import ops

from kapps.layers.multi_head_attention import HIDDEN_SCORE, scores_dtype

PATTERNS = {
    "local": ("local", None),
    "column": (None, "column"),
    "strided": ("local", "column"),
    "block": ("block", None),
    "summary": ("block summary", "summary"),
    "fixed": ("block", "summary"),
    "two_blocks": ("two blocks", None),
}
"""The near and the far part of each pattern. The near part is in a step's block of l steps and the block before it."""


def is_near(i, j, part, stride, summary):
    """Whether step i attends to step j <= i by the near part of a pattern; arrays or tensors of integers."""
    if part == "local":
        return i - j < stride
    blocks_back = i // stride - j // stride
    if part == "block summary":
        return (blocks_back == 0) & (j % stride >= stride - summary)
    return blocks_back <= (1 if part == "two blocks" else 0)


def is_far(i, j, part, stride, summary):
    """Whether step i attends to step j <= i by the far part of a pattern, which excludes what the near part has."""
    if part == "column":
        return ((i - j) % stride == 0) & (i - j >= stride)
    return (j // stride < i // stride) & (j % stride >= stride - summary)


def sparse_attention(query, key, value, pattern, stride, summary=None, mask=None):
    """Attention of each step to the earlier steps of a pattern, and to itself where the pattern has it.

    Scores are computed for blocks of `stride` = l steps, so that no matrix of all pairs of n steps exists. A query has
    2 l scores in "local", l in "block", n / l in "column" and c n / l in "summary"; "strided" and "fixed" have the
    sum. With l near sqrt(n), time and memory grow as n sqrt(n).

    Args:
        query, key: (batch, heads, steps, width), already scaled; scores are in float32 or float64.
        value: (batch, heads, steps, value width).
        pattern: as for `SparseAttention`.
        stride: l, the number of steps of a block.
        summary: c, the number of summary steps at the end of each block, for "summary" and "fixed".
        mask: bool (batch, steps), False for steps that no step attends to; None for none.

    Returns:
        (batch, heads, steps, value width), 0 for a step that attends to no step.
    """
    near, far = PATTERNS[pattern]
    steps = ops.shape(query)[2]
    blocks = (steps + stride - 1) // stride
    query, key, value = (to_blocks(x, 2, blocks, stride) for x in (query, key, value))
    # Of integers, since LiteRT pads no bool.
    mask = None if mask is None else to_blocks(ops.cast(mask, "int32"), 1, blocks, stride)
    parts = []
    if near:
        parts.append(NearPart(near, blocks, stride, summary))
    if far == "column":
        parts.append(ColumnPart(blocks, with_own=near is None))
    if far == "summary":
        parts.append(SummaryPart(blocks, stride, summary))
    dtype = scores_dtype(query, key)
    query, key = ops.cast(query, dtype), ops.cast(key, dtype)
    scores = ops.concatenate([part.scores(query, key, mask) for part in parts], axis=-1)
    # A softmax; Keras warns of one score, which a sequence of one block has in "column".
    weights = ops.exp(scores - ops.logsumexp(scores, axis=-1, keepdims=True))
    weights = ops.where(scores > HIDDEN_SCORE / 2, weights, ops.zeros_like(weights))
    weights, y, first = ops.cast(weights, value.dtype), 0, 0
    for part in parts:
        count = part.count
        some = weights[..., first:] if count is None else weights[..., first : first + count]
        y, first = y + part.combine(some, value), first + (count or 0)
    shape = ops.shape(y)
    return ops.reshape(y, (*shape[:2], blocks * stride, y.shape[-1]))[:, :, :steps]


def to_blocks(x, axis, blocks, stride):
    """Returns x with its axis of steps split into (blocks, stride); the last block is padded with zeros."""
    padding = [(0, stride - 1 if i == axis else 0) for i in range(len(x.shape))]
    padded = ops.pad(x, padding)[(slice(None),) * axis + (slice(0, blocks * stride),)]
    shape = ops.shape(x)
    return ops.reshape(padded, (*shape[:axis], blocks, stride, *x.shape[axis + 1 :]))


def hide(scores, visible, mask=None):
    """Returns scores with HIDDEN_SCORE where a step is not visible, or masked."""
    if mask is not None:
        visible = ops.logical_and(visible, mask > 0)
    return ops.where(visible, scores, ops.cast(HIDDEN_SCORE, scores.dtype))


class NearPart:
    """Attention to steps of the own block, and for some patterns of the block before it: `count` scores a query."""

    def __init__(self, part, blocks, stride, summary):
        i, j = np.arange(stride, 2 * stride)[:, None], np.arange(2 * stride)[None]
        visible = (j <= i) & is_near(i, j, part, stride, summary)
        self.with_previous = part in ("local", "two blocks")
        self.count = 2 * stride if self.with_previous else stride
        self.visible = ops.convert_to_tensor(visible[:, -self.count :])
        if self.with_previous:  # the first block has no previous block
            has_previous = ops.arange(blocks, dtype="int32")[:, None, None] > 0
            exists = ops.convert_to_tensor(j >= stride)[None]
            self.visible = ops.logical_and(self.visible, ops.logical_or(has_previous, exists))

    def with_block_before(self, x, axis):
        """Returns the blocks of x along an axis, each after the block before it."""
        if not self.with_previous:
            return x
        padding = [(1 if i == axis else 0, 0) for i in range(len(x.shape))]
        blocks = ops.shape(x)[axis]
        before = ops.pad(x, padding)[(slice(None),) * axis + (slice(0, blocks),)]
        return ops.concatenate([before, x], axis=axis + 1)

    def scores(self, query, key, mask):
        key = self.with_block_before(key, 2)
        if mask is not None:
            mask = self.with_block_before(mask, 1)[:, None, :, None]
        return hide(ops.einsum("bhgqd,bhgkd->bhgqk", query, key), self.visible, mask)

    def combine(self, weights, value):
        return ops.einsum("bhgqk,bhgkd->bhgqd", weights, self.with_block_before(value, 2))


class ColumnPart:
    """Attention to the same place in earlier blocks, and with `with_own` in the own block."""

    count = None  # the number of blocks, which may be unknown: the part is the last one

    def __init__(self, blocks, with_own):
        block = ops.arange(blocks, dtype="int32")
        i, j = block[:, None], block[None]
        self.visible = (j <= i if with_own else j < i)[:, None]

    def scores(self, query, key, mask):
        if mask is not None:
            mask = ops.transpose(mask, (0, 2, 1))[:, None, None]
        return hide(ops.einsum("bhgrd,bhkrd->bhgrk", query, key), self.visible, mask)

    def combine(self, weights, value):
        return ops.einsum("bhgrk,bhkrd->bhgrd", weights, value)


class SummaryPart:
    """Attention to the last c steps of each earlier block."""

    count = None  # as in `ColumnPart`

    def __init__(self, blocks, stride, summary):
        self.first, self.summary = stride - summary, summary
        block = ops.arange(blocks, dtype="int32")
        summaries = ops.arange(blocks * summary, dtype="int32") // summary
        self.visible = (summaries[None] < block[:, None])[:, None]

    def flat(self, x):
        """Returns the summary steps of x (batch, heads, blocks, stride, width) on one axis."""
        x, shape = x[:, :, :, self.first :], ops.shape(x)
        return ops.reshape(x, (*shape[:2], shape[2] * self.summary, x.shape[-1]))

    def scores(self, query, key, mask):
        if mask is not None:
            shape = ops.shape(mask)
            mask = ops.reshape(
                mask[:, :, self.first :], (shape[0], 1, 1, 1, shape[1] * self.summary)
            )
        return hide(ops.einsum("bhgqd,bhkd->bhgqk", query, self.flat(key)), self.visible, mask)

    def combine(self, weights, value):
        return ops.einsum("bhgqk,bhkd->bhgqd", weights, self.flat(value))
