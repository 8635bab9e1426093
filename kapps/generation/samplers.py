"""What is chosen after each step: the likeliest token, one that is drawn, or the likeliest of several texts (a beam).

[1] https://d2l.ai/chapter_recurrent-modern/beam-search.html
[2] Fan 2018, arXiv:1805.04833, section 5.4: top-k sampling
[3] Sutskever 2014, arXiv:1409.3215, section 3.2: a finished text leaves the beam, which narrows by it
[4] Wu 2016, GNMT, arXiv:1609.08144, equation (14): lp(Y) = ((5 + |Y|) / (5 + 1))**alpha

All is in `keras.ops`, so that it runs inside a compiled loop on every backend, and in an exported graph.
"""

import math

from keras import ops


def by_length(length, alpha):
    """Returns L**alpha [1], by which log P of a text of L tokens is divided; `length`: float."""
    return length**alpha


def by_wu(length, alpha):
    """Returns ((5 + L) / 6)**alpha [4], by which log P of a text of L tokens is divided; `length`: float."""
    return ((5.0 + length) / 6.0) ** alpha


PENALTIES = {"length": by_length, "wu": by_wu}


def likeliest(logits):
    """Returns the first of the likeliest tokens, int32 [rows], of logits [rows, vocabulary]."""
    return ops.cast(ops.argmax(logits, axis=-1), "int32")


def drawn(logits, uniform, temperature, top_k=None):
    """Returns one token a row, int32 [rows], drawn by softmax(logits / temperature).

    Args:
        logits: float [rows, vocabulary].
        uniform: float [rows], from [0, 1): what settles the draw.
        temperature: above 0.
        top_k: how many of the likeliest are drawn from [2]; None for all.
    """
    if top_k is not None and top_k < logits.shape[-1]:
        least = ops.top_k(logits, top_k)[0][:, -1:]
        logits = ops.where(logits < least, -math.inf, logits)
    reached = ops.cumsum(ops.softmax(logits / temperature, axis=-1), axis=-1)
    # Sums of rounded shares end near 1, so that the draw is a share of where they end.
    passed = reached <= ops.expand_dims(uniform, -1) * reached[:, -1:]
    return ops.sum(ops.cast(passed, "int32"), axis=-1)


def put(tokens, i, chosen):
    """Returns tokens, int32 [..., steps], with the chosen ones, int32 [...], at place i."""
    here = ops.arange(ops.shape(tokens)[-1], dtype="int32") == i
    return ops.where(here, ops.expand_dims(chosen, -1), tokens)


def first(batch, beam, steps):
    """Returns a beam before the first token: (tokens, scores, best, rank) as `widened` takes them."""
    tokens = ops.zeros((batch, beam, steps), "int32")
    # One text is begun, the others are none: from it come all of the next step.
    scores = ops.where(ops.arange(beam) == 0, 0.0, -math.inf) + ops.zeros((batch, beam))
    return tokens, scores, ops.zeros((batch, steps), "int32"), ops.full((batch,), -math.inf)


def widened(i, logits, tokens, scores, best, rank, *, end, limit, alpha, penalty):
    """Beam search's i-th step, of all rows of a batch beside each other.

    Args:
        i: number of the step, from 0.
        logits: after each text of the beam, float [batch * beam, vocabulary].
        tokens: of the texts, int32 [batch, beam, steps].
        scores: log P of them, float [batch, beam]; minus infinity where a text is none.
        best: tokens of the best finished text, int32 [batch, steps].
        rank: its log P divided by the penalty, float [batch].
        end: the token after which a text is finished; None for none.
        limit: most tokens of each row, int [batch]: a text as long is finished.
        alpha, penalty: exponent, and function, of `PENALTIES`.

    Returns:
        (tokens, scores, best, rank) after it, and of each text the row of `logits` it comes from, int32 [batch * beam].
    """
    batch, beam = ops.shape(scores)[0], scores.shape[1]
    words = logits.shape[-1]
    every = ops.expand_dims(scores, -1) + ops.reshape(
        ops.log_softmax(logits, axis=-1), (-1, beam, words)
    )
    scores, places = ops.top_k(ops.reshape(every, (-1, beam * words)), beam)
    places = ops.cast(places, "int32")
    row, word = places // words, places % words
    tokens = put(ops.take_along_axis(tokens, ops.expand_dims(row, -1), axis=1), i, word)
    finished = ops.expand_dims(i + 1 >= limit, -1)
    finished = finished | (word == end) if end is not None else finished & (word >= 0)
    ranked = scores / penalty(ops.cast(i + 1, "float32"), alpha)
    ranked = ops.where(finished, ranked, -math.inf)
    top = ops.expand_dims(ops.argmax(ranked, axis=-1), -1)
    its = ops.take_along_axis(ranked, top, axis=1)[:, 0]
    text = ops.take_along_axis(tokens, ops.expand_dims(top, -1), axis=1)[:, 0]
    best = ops.where(ops.expand_dims(its > rank, -1), text, best)
    rank = ops.maximum(its, rank)
    scores = ops.where(finished, -math.inf, scores)
    source = ops.expand_dims(ops.arange(batch, dtype="int32"), -1) * beam + row
    return tokens, scores, best, rank, ops.reshape(source, (-1,))
