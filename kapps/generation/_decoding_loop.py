"""The decoding loop: a step model and the choice of the next token, in a loop that a backend compiles as a whole."""

import dataclasses
import math

import keras
import numpy as np
from keras import ops

from kapps._values import is_integer, is_number, short
from kapps.generation import samplers, step_models

MOST_BEAMS = 1024
"""The largest number of texts of beam search."""
HIDDEN_SCORE = -1e9
"""The score of a token that a text must not have again; it is finite, so that a softmax of such scores is finite."""


@dataclasses.dataclass(frozen=True)
class DecodingOptions:
    """How tokens are chosen.

    Args:
        temperature: divisor of the logits before sampling; 0 for greedy decoding.
        top_k: number of most likely tokens to sample from; None for all.
        beam: k, the number of texts of beam search; None for no beam search.
        end: the token that finishes a text; None for none.
        alpha: exponent of beam search's penalty.
        penalty: divisor of log P of texts of different lengths, "length" or "wu" (`samplers.PENALTIES`).
        never: tokens that are never chosen.
        unique: whether a text has each token except `end` at most once, as a tour has each city.

    Raises:
        ValueError: for values outside their ranges.
    """

    temperature: float = 0.0
    top_k: int | None = None
    beam: int | None = None
    end: int | None = None
    alpha: float = 0.75
    penalty: str = "length"
    never: tuple[int, ...] = (0,)
    unique: bool = False

    def __post_init__(self):
        for name in ("temperature", "alpha"):
            value = getattr(self, name)
            if not is_number(value) or (value < 0 and name == "temperature"):
                raise ValueError(f"{name} is 0 or a positive number, not {short(value)}")
        if self.top_k is not None and not is_integer(self.top_k, 1, 2**24):
            raise ValueError(
                f"top_k={short(self.top_k)} is not a positive integer up to {2**24:,}, or None for all tokens"
            )
        if self.beam is not None and not is_integer(self.beam, 1, MOST_BEAMS):
            raise ValueError(
                f"beam is a positive integer up to {MOST_BEAMS:,}, or None for no beam search, not {short(self.beam)}"
            )
        if self.end is not None and not is_integer(self.end, 0):
            raise ValueError(f"end is a token, or None for none, not {short(self.end)}")
        never = self.never
        if not isinstance(never, (tuple, list, range)) or not all(is_integer(x, 0) for x in never):
            raise ValueError(f"never is a list of tokens, not {short(never)}")
        object.__setattr__(self, "never", tuple(never))
        if self.penalty not in samplers.PENALTIES:
            raise ValueError(
                f"penalty is one of {', '.join(samplers.PENALTIES)}, not {self.penalty!r}"
            )

    def choose(self, logits, uniform):
        """Returns a token of each row, of logits [rows, vocabulary] and uniform samples [rows] from [0, 1)."""
        if self.temperature == 0:
            return samplers.greedy(logits)
        return samplers.sample(logits, uniform, self.temperature, self.top_k)


class DecodingLoop(keras.Model):
    """A model that generates tokens after a prompt, with an encoder also from a source.

    Its input is a dictionary: "prompt", int32 [batch, time], padded on the right with 0; "uniform", float32 [batch,
    steps], samples from [0, 1) that determine sampled tokens, and whose shape is the largest number of tokens;
    "limit", int32 [batch], the largest number of tokens of each row; and the encoder's inputs. Its output is int32
    [batch, steps], 0 after the end.

    Args:
        step: the step model, as `step_models.step_model` returns it, or a file of it.
        encoder: the encoder; None if there is none.
        options: how tokens are chosen.

    Raises:
        ValueError: for sampling and beam search with a network without a layer "head_logits", whose outputs can be
            logits or probabilities.
    """

    def __init__(self, step, encoder=None, options=None, **kwargs):
        super().__init__(**kwargs)
        self.step, self.encoder, self.options = step, encoder, options or DecodingOptions()
        self.scores = "logits" if "logits" in step.output else "values"
        if self.scores == "values" and (self.options.beam is not None or self.options.temperature):
            raise ValueError(
                f"{step.name} has no layer head_logits, so its outputs can be logits or probabilities: use greedy "
                "decoding (temperature=0, beam=None), or name the last dense layer head_logits"
            )
        self.while_loop = ops.while_loop if isinstance(step, keras.Model) else python_while_loop

    def call(self, inputs):
        prompt, limit = inputs["prompt"], inputs["limit"]
        steps = ops.shape(inputs["uniform"])[1]
        encoder_outputs = {}
        if self.encoder is not None:
            encoder_outputs = self.encoder({name: inputs[name] for name in self.encoder.input})
            # Without Keras masks: the step model has the mask as an input, and Keras would warn.
            encoder_outputs = {name: ops.copy(x) for name, x in encoder_outputs.items()}
        length = ops.shape(prompt)[1] + steps - 1
        states = self.first_states(encoder_outputs, ops.shape(prompt)[0], length)
        memory = {name: x for name, x in encoder_outputs.items() if name not in states}
        logits, states = self.read_prompt(prompt, states, memory)
        decode = self.decode if self.options.beam is None else self.beam_search
        return decode(logits, states, memory, inputs["uniform"], limit)

    def first_states(self, encoder_outputs, rows, length):
        """Returns the states before the first step: the encoder's outputs of their names, otherwise zeros."""
        states = {}
        for name in step_models.state_names(self.step):
            tensor = self.step.input[name]
            shape = [length if size is None else size for size in tensor.shape[1:]]
            states[name] = encoder_outputs.get(name)
            if states[name] is None:
                states[name] = ops.zeros((rows, *shape), tensor.dtype)
        return states

    def advance(self, token, states, memory):
        """Returns the logits float32 [rows, vocabulary] after one more token, int32 [rows], and the new states."""
        name = step_models.token_input_name(self.step, memory)
        outputs = self.step({name: ops.expand_dims(token, 1), **states, **memory})
        logits = ops.cast(outputs[self.scores][:, 0], "float32")
        return self.exclude(logits), {name: outputs[name] for name in states}

    def exclude(self, logits):
        """Returns logits [rows, vocabulary] with minus infinity for the tokens that are never chosen."""
        if logits.shape[-1] is None:  # as many tokens as the source has
            tokens = ops.arange(ops.shape(logits)[-1], dtype="int32")
            for token in self.options.never:
                logits = ops.where(tokens == token, -math.inf, logits)
            return logits
        excluded = np.zeros(logits.shape[-1], "float32")
        excluded[[token for token in self.options.never if token < len(excluded)]] = -math.inf
        return logits + ops.convert_to_tensor(excluded)

    def exclude_chosen(self, logits, tokens):
        """Returns logits [rows, vocabulary] with a low score for the tokens, int32 [rows, steps], that a text has."""
        if not self.options.unique:
            return logits
        every = ops.arange(ops.shape(logits)[-1], dtype="int32")
        is_chosen = ops.any(ops.expand_dims(tokens, -1) == every, axis=1) & (every != 0)
        if self.options.end is not None:
            is_chosen = is_chosen & (every != self.options.end)
        return ops.where(is_chosen, HIDDEN_SCORE, logits)

    def read_prompt(self, prompt, states, memory):
        """Returns the logits after prompts of any lengths, and the states."""
        logits, states = self.advance(prompt[:, 0], states, memory)
        if prompt.shape[1] == 1:
            return logits, states

        def body(i, logits, states):
            token = ops.take(prompt, i, axis=1)
            advanced = self.advance(token, states, memory)
            # Layers without masks would change their states at padding.
            logits, states = keras.tree.map_structure(
                lambda old, new: ops.where(
                    ops.reshape(token == 0, (-1, *[1] * (len(new.shape) - 1))), old, new
                ),
                (logits, states),
                advanced,
            )
            return i + 1, logits, states

        def condition(i, *_):
            return i < ops.shape(prompt)[1]

        _, logits, states = self.while_loop(condition, body, (ops.cast(1, "int32"), logits, states))
        return logits, states

    def decode(self, logits, states, memory, uniform, limit):
        """Returns tokens by greedy decoding or sampling."""
        end = self.options.end

        def choose(i, logits, tokens, running):
            logits = self.exclude_chosen(logits, tokens)
            token = self.options.choose(logits, ops.take(uniform, i, axis=1))
            token = ops.where(running, token, 0)
            running = running & (i + 1 < limit)
            running = running if end is None else running & (token != end)
            return samplers.set_token(tokens, i, token), token, running

        def body(i, tokens, token, running, states):
            logits, states = self.advance(token, states, memory)
            return i + 1, *choose(i, logits, tokens, running), states

        def condition(i, tokens, token, running, states):
            del token, states
            return ops.logical_and(i < ops.shape(tokens)[1], ops.any(running))

        i = ops.cast(0, "int32")
        tokens = ops.cast(ops.zeros_like(uniform), "int32")
        first = choose(i, logits, tokens, limit > 0)
        return self.while_loop(condition, body, (i + 1, *first, states))[1]

    def beam_search(self, logits, states, memory, uniform, limit):
        """Returns the best text of each row by beam search, among those that are finished or reached their limit."""
        beam, steps = self.options.beam, ops.shape(uniform)[1]
        options = dict(
            end=self.options.end, limit=limit, alpha=self.options.alpha,
            penalty=samplers.PENALTIES[self.options.penalty],
        )  # fmt: skip
        batch = ops.shape(limit)[0]
        rows = ops.reshape(ops.repeat(ops.arange(batch, dtype="int32"), beam), (-1,))
        logits, states, memory = keras.tree.map_structure(
            lambda x: ops.take(x, rows, axis=0), (logits, states, memory)
        )

        def body(i, tokens, scores, best, best_score, rows, states):
            states = {name: ops.take(state, rows, axis=0) for name, state in states.items()}
            token = ops.reshape(ops.take(tokens, i - 1, axis=2), (-1,))
            logits, states = self.advance(token, states, memory)
            logits = self.exclude_chosen(logits, ops.reshape(tokens, (-1, ops.shape(tokens)[-1])))
            beam_state = samplers.beam_step(i, logits, tokens, scores, best, best_score, **options)
            return i + 1, *beam_state, states

        def condition(i, tokens, scores, *_):
            del tokens
            return ops.logical_and(i < steps, ops.any(scores > -math.inf))

        i = ops.cast(0, "int32")
        first = samplers.beam_step(i, logits, *samplers.first_beam(batch, beam, steps), **options)
        return self.while_loop(condition, body, (i + 1, *first, states))[3]


def python_while_loop(condition, body, state):
    """`keras.ops.while_loop` as a Python loop, for steps that no backend compiles, such as a file's."""
    while condition(*state):
        state = body(*state)
    return state
