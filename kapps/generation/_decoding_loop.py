"""Token after token: a network's step, and what is chosen after it, in a loop that a backend compiles as a whole."""

import dataclasses
import math

import keras
import numpy as np
from keras import ops

from kapps.generation import samplers, step_models


@dataclasses.dataclass(frozen=True)
class DecodingOptions:
    """How tokens are chosen.

    Args:
        temperature: by which logits are divided before one is drawn; 0 for the likeliest.
        top_k: how many of the likeliest are drawn from; None for all.
        beam: k, for beam search instead of a draw; None for none.
        end: the token after which a text is finished; None for none.
        alpha: of beam search's penalty.
        penalty: by what log P of texts of different lengths is divided: "length" or "wu" (`samplers.PENALTIES`).
        never: tokens that are not written.

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

    def __post_init__(self):
        if self.temperature < 0 or (self.top_k is not None and self.top_k < 1):
            raise ValueError(
                f"temperature={self.temperature}, top_k={self.top_k}: from 0, from 1 or None"
            )
        if self.beam is not None and self.beam < 1:
            raise ValueError(f"beam={self.beam}: from 1, or None for no beam search")
        if self.penalty not in samplers.PENALTIES:
            raise ValueError(
                f"penalty is one of {', '.join(samplers.PENALTIES)}, not {self.penalty!r}"
            )

    def one(self, logits, uniform):
        """Returns a token a row, of logits [rows, vocabulary] and draws [rows] from [0, 1)."""
        if self.temperature == 0:
            return samplers.likeliest(logits)
        return samplers.drawn(logits, uniform, self.temperature, self.top_k)


class DecodingLoop(keras.Model):
    """A model that writes: tokens after a prompt, and after a source where there is an encoder.

    Its input is a dictionary: {"prompt": int32 [batch, time], padded on the right with 0; "uniform": float32 [batch,
    steps], from [0, 1), what settles draws, and by its shape how many tokens there may be; "limit": int32 [batch], most
    tokens of each row; and the encoder's inputs}. Its output is int32 [batch, steps], 0 after the end.

    Args:
        one: what `step_models.step` made, or a file of it.
        encoder: the other half; None where there is none.
        choice: how tokens are chosen.

    Raises:
        ValueError: for draws and beams by a network without a layer "head_logits", whose scores are of no known scale.
    """

    def __init__(self, one, encoder=None, choice=None, **kwargs):
        super().__init__(**kwargs)
        self.one, self.encoder, self.choice = one, encoder, choice or DecodingOptions()
        self.scores = "logits" if "logits" in one.output else "values"
        if self.scores == "values" and (self.choice.beam is not None or self.choice.temperature):
            raise ValueError(
                f"{one.name} has no layer head_logits, so what it gives may be logits or probabilities: its likeliest "
                "tokens can be written (temperature=0, beam=None); name its last dense layer head_logits for the rest"
            )
        self.loop = ops.while_loop if isinstance(one, keras.Model) else while_loop

    def call(self, inputs):
        prompt, limit = inputs["prompt"], inputs["limit"]
        steps = ops.shape(inputs["uniform"])[1]
        given = {}
        if self.encoder is not None:
            given = self.encoder({name: inputs[name] for name in self.encoder.input})
            # Without their masks, which the step has as a tensor, and of which Keras would warn.
            given = {name: ops.copy(x) for name, x in given.items()}
        room = ops.shape(prompt)[1] + steps - 1
        states = self.states(given, ops.shape(prompt)[0], room)
        memory = {name: x for name, x in given.items() if name not in states}
        logits, states = self.read(prompt, states, memory)
        write = self.drawn if self.choice.beam is None else self.searched
        return write(logits, states, memory, inputs["uniform"], limit)

    def states(self, given, rows, room):
        """Returns what is remembered before the first step: what the encoder gives, else zeros."""
        found = {}
        for name in step_models.state_names(self.one):
            tensor = self.one.input[name]
            shape = [room if size is None else size for size in tensor.shape[1:]]
            found[name] = given.get(name)
            if found[name] is None:
                found[name] = ops.zeros((rows, *shape), tensor.dtype)
        return found

    def advance(self, token, states, memory):
        """Returns logits float32 [rows, vocabulary] after one more token, int32 [rows], and what is remembered."""
        name = step_models.token_input_name(self.one, memory)
        found = self.one({name: ops.expand_dims(token, 1), **states, **memory})
        logits = ops.cast(found[self.scores][:, 0], "float32")
        never = np.zeros(logits.shape[-1], "float32")
        never[[token for token in self.choice.never if token < len(never)]] = -math.inf
        return logits + ops.convert_to_tensor(never), {name: found[name] for name in states}

    def read(self, prompt, states, memory):
        """Returns the logits after prompts of any lengths, and what is remembered."""
        logits, states = self.advance(prompt[:, 0], states, memory)
        if prompt.shape[1] == 1:
            return logits, states

        def more(i, last, states):
            token = ops.take(prompt, i, axis=1)
            found = self.advance(token, states, memory)
            # Layers without masks would remember padding.
            kept = keras.tree.map_structure(
                lambda old, new: ops.where(
                    ops.reshape(token == 0, (-1, *[1] * (len(new.shape) - 1))), old, new
                ),
                (last, states),
                found,
            )
            return i + 1, *kept

        def left(i, *_):
            return i < ops.shape(prompt)[1]

        _, logits, states = self.loop(left, more, (ops.cast(1, "int32"), logits, states))
        return logits, states

    def drawn(self, logits, states, memory, uniform, limit):
        """Returns tokens, each chosen by itself."""
        end = self.choice.end

        def chosen(i, logits, tokens, running):
            token = self.choice.one(logits, ops.take(uniform, i, axis=1))
            token = ops.where(running, token, 0)
            running = running & (i + 1 < limit)
            return (
                samplers.put(tokens, i, token),
                token,
                running if end is None else running & (token != end),
            )

        def more(i, tokens, token, running, states):
            logits, states = self.advance(token, states, memory)
            return i + 1, *chosen(i, logits, tokens, running), states

        def left(i, tokens, token, running, states):
            del token, states
            return ops.logical_and(i < ops.shape(tokens)[1], ops.any(running))

        i = ops.cast(0, "int32")
        begun = chosen(i, logits, ops.cast(ops.zeros_like(uniform), "int32"), limit > 0)
        return self.loop(left, more, (i + 1, *begun, states))[1]

    def searched(self, logits, states, memory, uniform, limit):
        """Returns the best of the finished texts of a beam, and those that reached their limits."""
        beam, steps = self.choice.beam, ops.shape(uniform)[1]
        how = dict(
            end=self.choice.end, limit=limit, alpha=self.choice.alpha,
            penalty=samplers.PENALTIES[self.choice.penalty],
        )  # fmt: skip
        batch = ops.shape(limit)[0]
        rows = ops.reshape(ops.repeat(ops.arange(batch, dtype="int32"), beam), (-1,))
        logits, states, memory = keras.tree.map_structure(
            lambda x: ops.take(x, rows, axis=0), (logits, states, memory)
        )

        def more(i, tokens, scores, best, rank, rows, states):
            states = {name: ops.take(state, rows, axis=0) for name, state in states.items()}
            token = ops.reshape(ops.take(tokens, i - 1, axis=2), (-1,))
            logits, states = self.advance(token, states, memory)
            return i + 1, *samplers.widened(i, logits, tokens, scores, best, rank, **how), states

        def left(i, tokens, scores, *_):
            del tokens
            return ops.logical_and(i < steps, ops.any(scores > -math.inf))

        i = ops.cast(0, "int32")
        begun = samplers.widened(i, logits, *samplers.first(batch, beam, steps), **how)
        return self.loop(left, more, (i + 1, *begun, states))[3]


def while_loop(condition, body, state):
    """`keras.ops.while_loop` as a plain loop, for steps that no backend compiles, such as a file's."""
    while condition(*state):
        state = body(*state)
    return state
