"""How the next token is chosen: greedy decoding, sampling and beam search.

[1] https://d2l.ai/chapter_recurrent-modern/beam-search.html
[2] Fan 2018, arXiv:1805.04833, section 5.4: top-k sampling
[3] Sutskever 2014, arXiv:1409.3215, section 3.2: a finished text leaves the beam, which becomes narrower
[4] Wu 2016, GNMT, arXiv:1609.08144, equation (14): lp(Y) = ((5 + |Y|) / (5 + 1))**alpha

All functions use `keras.ops` only, so that they run in a compiled loop on every backend and in an exported graph.
"""

import math

from keras import ops


def length_penalty(length, alpha):
    """Returns L**alpha [1], the divisor of log P of a text of L tokens; `length`: float."""
    return length**alpha


def wu_penalty(length, alpha):
    """Returns ((5 + L) / 6)**alpha [4], the divisor of log P of a text of L tokens; `length`: float."""
    return ((5.0 + length) / 6.0) ** alpha


PENALTIES = {"length": length_penalty, "wu": wu_penalty}


def greedy(logits):
    """Returns the most likely token of each row, int32 [rows], of logits [rows, vocabulary]; of ties the first."""
    return ops.cast(ops.argmax(logits, axis=-1), "int32")


def sample(logits, uniform, temperature, top_k=None):
    """Returns a token of each row, int32 [rows], sampled from softmax(logits / temperature).

    Args:
        logits: float [rows, vocabulary].
        uniform: float [rows], uniform samples from [0, 1), which determine the tokens.
        temperature: a positive number.
        top_k: number of most likely tokens to sample from [2]; None for all.
    """
    if top_k is not None and top_k < logits.shape[-1]:
        smallest = ops.top_k(logits, top_k)[0][:, -1:]
        logits = ops.where(logits < smallest, -math.inf, logits)
    cumulated = ops.cumsum(ops.softmax(logits / temperature, axis=-1), axis=-1)
    # Because of rounding the last sum is only near 1, so the sample is a fraction of it.
    is_passed = cumulated <= ops.expand_dims(uniform, -1) * cumulated[:, -1:]
    return ops.sum(ops.cast(is_passed, "int32"), axis=-1)


def set_token(tokens, i, token):
    """Returns tokens, int32 [..., steps], with token, int32 [...], at step i."""
    is_step = ops.arange(ops.shape(tokens)[-1], dtype="int32") == i
    return ops.where(is_step, ops.expand_dims(token, -1), tokens)


def first_beam(batch, beam, steps):
    """Returns a beam before the first token: (tokens, scores, best, best_score) as `beam_step` takes them."""
    tokens = ops.zeros((batch, beam, steps), "int32")
    # The beam has one empty text; minus infinity excludes the other rows from the next step.
    scores = ops.where(ops.arange(beam) == 0, 0.0, -math.inf) + ops.zeros((batch, beam))
    return tokens, scores, ops.zeros((batch, steps), "int32"), ops.full((batch,), -math.inf)


def beam_step(i, logits, tokens, scores, best, best_score, *, end, limit, alpha, penalty):
    """One step of beam search, for all rows of a batch.

    Args:
        i: number of the step, from 0.
        logits: after each text of the beam, float [batch * beam, vocabulary].
        tokens: of the texts, int32 [batch, beam, steps].
        scores: log P of the texts, float [batch, beam]; minus infinity for rows without a text.
        best: tokens of the best finished text, int32 [batch, steps].
        best_score: its log P divided by the penalty, float [batch].
        end: the token that finishes a text; None for none.
        limit: largest number of tokens of each row, int [batch]; a text of this length is finished.
        alpha, penalty: exponent, and function, of `PENALTIES`.

    Returns:
        (tokens, scores, best, best_score) after the step, and the row of `logits` that each text continues, int32
        [batch * beam].
    """
    batch, beam = ops.shape(scores)[0], scores.shape[1]
    vocabulary = ops.shape(logits)[-1]
    log_p = ops.reshape(ops.log_softmax(logits, axis=-1), (-1, beam, vocabulary))
    all_scores = ops.reshape(ops.expand_dims(scores, -1) + log_p, (-1, beam * vocabulary))
    scores, indices = ops.top_k(all_scores, beam)
    indices = ops.cast(indices, "int32")
    row, token = indices // vocabulary, indices % vocabulary
    tokens = set_token(ops.take_along_axis(tokens, ops.expand_dims(row, -1), axis=1), i, token)
    finished = ops.expand_dims(i + 1 >= limit, -1)
    finished = finished | (token == end) if end is not None else finished & (token >= 0)
    ranked = scores / penalty(ops.cast(i + 1, "float32"), alpha)
    ranked = ops.where(finished, ranked, -math.inf)
    top = ops.expand_dims(ops.argmax(ranked, axis=-1), -1)
    top_score = ops.take_along_axis(ranked, top, axis=1)[:, 0]
    top_tokens = ops.take_along_axis(tokens, ops.expand_dims(top, -1), axis=1)[:, 0]
    best = ops.where(ops.expand_dims(top_score > best_score, -1), top_tokens, best)
    best_score = ops.maximum(top_score, best_score)
    scores = ops.where(finished, -math.inf, scores)
    source_row = ops.expand_dims(ops.arange(batch, dtype="int32"), -1) * beam + row
    return tokens, scores, best, best_score, ops.reshape(source_row, (-1,))
