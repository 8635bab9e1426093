"""Tokens after tokens by a recurrent language model: the likeliest, drawn by temperature and top k, or by beam search.

[1] https://d2l.ai/chapter_recurrent-modern/beam-search.html
[2] Fan 2018, arXiv:1805.04833, section 5.4: top-k sampling

A token is one call of the compiled step (`kapps.decoding.stepping.step`): the ten-thousandth costs what the first did.
"""

import dataclasses
import math

import numpy as np

from kapps.decoding import stepping

NEVER = (0, 1)
"""Tokens that no text has: padding and the unknown of `kapps.data.text`."""


def generate(
    model, prompt, length, *, temperature=1.0, top_k=None, beam=None, end=None, length_penalty=0.75, never=NEVER,
    seed=None,
):  # fmt: skip
    """Returns `length` tokens after each prompt, int32 [batch, length], on the right 0 where `end` came before.

    Args:
        model: a language model, tokens (batch, time) to scores at each step, or what `step` made of it.
        prompt: tokens, int [batch, time] or [time], one or more each, padded on the right with 0.
        length: how many tokens.
        temperature: by which logits are divided before one is drawn; 0 for the likeliest.
        top_k: how many of the likeliest are drawn from [2]; None for all.
        beam: k, for the likeliest of k continuations that are kept at every step [1], instead of a draw; None for none.
        end: the token after which a text is finished; None for none.
        length_penalty: alpha of beam search: texts of L new tokens are compared by 1 / L**alpha log P [1].
        never: tokens that are not generated.
        seed: settles what is drawn; None for another draw each time.

    Raises:
        ValueError: for an empty prompt, or values outside their ranges.
    """
    prompt = np.atleast_2d(np.asarray(prompt, "int32"))
    if not prompt.size or (prompt[:, 0] == 0).any():
        raise ValueError(
            f"a prompt is one or more tokens, padded on the right with 0, not of shape {prompt.shape}"
        )
    if length < 1 or temperature < 0 or (top_k is not None and top_k < 1):
        raise ValueError(
            f"length={length}, temperature={temperature}, top_k={top_k}: from 1, from 0, from 1 or None"
        )
    one = model if stepping.stepped(model) else stepping.step(model)
    if beam is not None:
        if beam < 1:
            raise ValueError(f"beam={beam}: from 1, or None for no beam search")
        found = [_beam(one, row, length, beam, end, length_penalty, never) for row in prompt]
        return np.array(found, "int32")
    random = np.random.default_rng(seed)
    last, states = read(one, prompt, never)
    tokens = np.zeros((len(prompt), length), "int32")
    running = np.ones(len(prompt), bool)
    for i in range(length):
        chosen = _draw(last, temperature, top_k, random)
        tokens[:, i] = np.where(running, chosen, 0)
        running &= chosen != end
        if i + 1 == length or not running.any():
            break
        last, states = advance(one, tokens[:, i], states, never)
    return tokens


def advance(one, tokens, states, never=NEVER):
    """Returns the logits after one more token, float64 [batch, vocabulary], and the new states.

    Args:
        one: what `step` made.
        tokens: int [batch]; 0 leaves states as they are.
        states: as `stepping.zeros` or this function returned them.
        never: tokens whose logits become minus infinity.
    """
    (name,) = set(one.input) - set(states)
    taken = {name: np.asarray(tokens, "int32")[:, None], **states}
    found = {key: np.asarray(value) for key, value in one.predict_on_batch(taken).items()}
    logits = found["logits"][:, 0].astype("float64")
    logits[:, list(never)] = -math.inf
    return logits, {key: found[key] for key in states}


def read(one, prompt, never=NEVER):
    """Returns the logits after prompts of any lengths, and the states: (float64 [batch, vocabulary], {name: ...})."""
    states, last = stepping.zeros(one, len(prompt)), None
    for column in prompt.T:
        logits, states = advance(one, column, states, never)
        last = logits if last is None else np.where(column[:, None] == 0, last, logits)
    return last, states


def _draw(logits, temperature, top_k, random):
    """Returns one token a row."""
    if temperature == 0:
        return np.argmax(logits, axis=-1)
    if top_k is not None and top_k < logits.shape[-1]:
        least = np.partition(logits, -top_k, axis=-1)[:, -top_k, None]
        logits = np.where(logits < least, -math.inf, logits)
    # The largest of logits with Gumbel noise is a draw by their softmax.
    return np.argmax(logits / temperature + random.gumbel(size=logits.shape), axis=-1)


@dataclasses.dataclass
class Text:
    """A continuation: its tokens, and log P of them."""

    tokens: list
    score: float

    def ranked(self, alpha):
        """Returns what continuations of any length are compared by [1]."""
        return self.score / len(self.tokens) ** alpha


def _beam(one, prompt, length, beam, end, alpha, never):
    """Returns the tokens of the best of the finished texts and those that reached the length, 0 after the end."""
    logits, states = read(one, prompt[None], never)
    running, finished = [Text([], 0.0)], []
    for _ in range(length):
        scores = np.array([text.score for text in running])[:, None] + _log_softmax(logits)
        best = np.argsort(-scores, axis=None, kind="stable")[:beam]
        rows, chosen = np.unravel_index(best, scores.shape)
        texts = [
            Text([*running[row].tokens, int(token)], float(scores[row, token]))
            for row, token in zip(rows, chosen, strict=True)
            if scores[row, token] > -math.inf
        ]
        kept = [i for i, text in enumerate(texts) if text.tokens[-1] != end]
        finished += [text for text in texts if text.tokens[-1] == end]
        running = [texts[i] for i in kept]
        if not running or len(running[0].tokens) == length:
            break
        # As many rows as the beam is wide, so that one program serves all steps.
        places = np.resize(kept, beam)
        states = {name: state[rows[places]] for name, state in states.items()}
        logits, states = advance(one, chosen[places], states, never)
        logits = logits[: len(running)]
    best = max([*finished, *running], key=lambda text: text.ranked(alpha))
    return best.tokens + [0] * (length - len(best.tokens))


def _log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
