"""A network that writes as one step, what it remembers going in and coming out: a step costs the same at any time.

Recurrent layers remember their states, causal attention the keys and values of the steps before (a cache, whose length
is the most steps there can be). Of a network that reads a source too, what depends on it alone is computed once.
"""

from typing import NamedTuple

import keras
import numpy as np

from kapps.generation._graph import Walk


class EncoderAndStep(NamedTuple):
    """A network of a source and a target: `encoder` runs once, `step` once a word. See `encoder_and_step`."""

    encoder: keras.Model
    step: keras.Model


def step_model(model, batch=None, length=None):
    """Returns a model of one step of a network that answers at each step; the weights are the same ones.

    Its inputs and outputs are dictionaries. Inputs: {the model's own input: [batch, 1, ...], and what is remembered,
    zeros before the first step: of recurrent layers the states, "layer1_h" and with LSTM "layer1_c", float [batch,
    units]; of causal attention "layer1_keys" and "layer1_values", float [batch, length, heads, dim], and "position",
    int32 [batch, 1]}. Outputs: {"logits": float [batch, 1, classes], or "values" of a model without a layer
    "head_logits", and what is remembered under its names}. Padding (token 0) leaves all that as it is
    in layers that have masks.

    Args:
        model: a functional `keras.Model` of one input, tokens (batch, time) or vectors (batch, time, features), as
            `kapps.families.rnn_lm` builds it, with or without its activation.
        batch: of the step, where it is known; a LiteRT file's is 1.
        length: most steps, where they are known, as a file's are; None for as many as there are places in the cache
            that the first step is given.

    Raises:
        ValueError: for a layer that looks at more than the step and those before it, or at states that were given.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"{model.name}: a step is made of a model of one input and one output; kapps.generation.encoder_and_step makes one of two inputs"
        )
    return Walk(model, batch, length, None).step()


def encoder_and_step(model, batch=None, length=None, source_length=None):
    """Returns the encoder and one step of the decoder of a network that reads a source and writes a target.

    The encoder's input is the model's own source, (batch, time). Its outputs are what the decoder begins with, the
    first states of recurrent layers that start from it, {"decoder1_h": [batch, units]}; and what each step reads: the
    keys and values of each attention to the source, "decoder1_cross_keys" and "decoder1_cross_values", float [batch,
    time, heads, dim], with "source_mask", int32 [batch, time], 1 where a step of the source is real; and whatever else
    layers of the decoder take from the encoder, such as "decoder_context_memory". The step's inputs are the target,
    [batch, 1], what the encoder gives, and what is remembered as `step` says; its outputs are those of `step`.

    Args:
        model: a functional `keras.Model` of two inputs: the source, then the target (or any input of that name), as
            `kapps.families.encoder_decoder` builds it.
        batch: of both, where it is known.
        length: most steps of the target, as for `step`.
        source_length: steps of the source, where they are known.

    Raises:
        ValueError: for layers of the decoder as for `step`.
    """
    if len(model.inputs) != 2 or len(model.outputs) != 1:
        raise ValueError(
            f"{model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; halves are made of a model "
            "of a source, a target and one output"
        )
    walk = Walk(model, batch, length, source_length)
    one = walk.step()
    return EncoderAndStep(keras.Model(walk.source, walk.given, name=f"{model.name}_encoder"), one)


def state_names(one):
    """Returns the names of what goes into a step and comes out of it."""
    return [name for name in one.input if name in one.output]


def token_input_name(one, known=()):
    """Returns the name of a step's own input: neither remembered nor, with what an encoder gives as `known`, known."""
    (name,) = [name for name in one.input if name not in one.output and name not in known]
    return name


def initial_states(one, batch, length=None):
    """Returns what is remembered before the first step, {name: NumPy zeros}, of a model that `step` made.

    Args:
        one: the model, or a file of it.
        batch: how many rows.
        length: places of the caches, where the model leaves them open.
    """
    found = {}
    for name in state_names(one):
        tensor = one.input[name]
        shape = [length if size is None else size for size in tensor.shape[1:]]
        if None in shape:
            raise ValueError(
                f"{name} is a cache of any length, so length says how many steps it has room for"
            )
        found[name] = np.zeros((batch, *shape), keras.backend.standardize_dtype(tensor.dtype))
    return found


def is_step_model(model):
    """Whether a model is one that `step` made: what it remembers comes out under the names under which it goes in."""
    both = isinstance(model.input, dict) and isinstance(model.output, dict)
    return both and bool(set(model.input) & set(model.output))
