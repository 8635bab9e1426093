"""Decoding step models: a network as a model of one step, whose state is an input and an output.

Each step has the same cost. The state of a recurrent layer is its recurrent state, that of causal attention its KV
cache, with an entry for each step. What depends on the source only is computed once, by the encoder.
`kapps.generation.cache_protocol` says how a layer takes part.
"""

from typing import NamedTuple

import keras
import numpy as np

from kapps._checked import checked
from kapps._keras_compat import all_layers
from kapps.generation._step_graph import StepGraph
from kapps.generation.cache_protocol import is_cache


class EncoderAndStep(NamedTuple):
    """A network of a source and a target: `encoder` runs once, `step` once for each token. See `encoder_and_step`."""

    encoder: keras.Model
    step: keras.Model


@checked
def step_model(
    model: keras.Model, batch: int | None = None, length: int | None = None
) -> keras.Model:
    """Returns the model of one decoding step of a network that predicts at each step; it shares the network's weights.

    Its inputs and outputs are dictionaries. Inputs: the network's own input, [batch, 1, ...], under its name, and the
    state, zeros before the first step: of recurrent layers "layer1_h", and of an LSTM also "layer1_c", float [batch,
    units]; of causal attention "layer1_keys" and "layer1_values", float [batch, length, heads, dim], and "position",
    int32 [batch, 1]. Outputs: "logits", float [batch, 1, classes] (or "values", of a network without a layer
    "head_logits"), and the new state under the same names. Padding (token 0) leaves the state unchanged if the
    embedding masks it.

    Args:
        model: a functional `keras.Model` of one input, tokens (batch, time) or vectors (batch, time, features), for
            example of `kapps.families.rnn_lm`, with or without its activation.
        batch: number of sequences, if it is fixed; a LiteRT file has 1.
        length: largest number of steps, if it is fixed, as in a file; None for the size of the cache that the first
            step gets.

    Raises:
        ValueError: if a layer uses more than this step and earlier ones, or starts from given states.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"{model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; step_model takes a model "
            "of one input and one output, kapps.generation.encoder_and_step one of two inputs"
        )
    return StepGraph(model, batch, length, None).step_model()


@checked
def encoder_and_step(
    model: keras.Model,
    batch: int | None = None,
    length: int | None = None,
    source_length: int | None = None,
) -> EncoderAndStep:
    """Returns the encoder, and the model of one decoding step, of a network that reads a source and predicts a target.

    The encoder's input is the network's source, (batch, time). Its outputs are what the decoder starts from and what
    each step reads: the first states of recurrent layers, "decoder1_h" [batch, units]; the keys and values of
    attention to the source, "decoder1_cross_keys" and "decoder1_cross_values", float [batch, time, heads, dim];
    "source_mask", int32 [batch, time], 0 for padding; and whatever else the decoder's layers use of the encoder, such
    as "decoder_context_memory". The inputs of the step are the target, [batch, 1], the encoder's outputs, and the
    state; its outputs are those of `step_model`.

    Args:
        model: a functional `keras.Model` of two inputs: the source, then the target (or any input of that name), for
            example of `kapps.families.encoder_decoder`.
        batch: number of sequences, if it is fixed.
        length: largest number of steps of the target, as for `step_model`.
        source_length: number of steps of the source, if it is fixed.

    Raises:
        ValueError: as for `step_model`.
    """
    if len(model.inputs) != 2 or len(model.outputs) != 1:
        raise ValueError(
            f"{model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; encoder_and_step takes a "
            "model of a source, a target and one output"
        )
    graph = StepGraph(model, batch, length, source_length)
    step = graph.step_model()
    encoder = keras.Model(graph.source, graph.encoder_outputs, name=f"{model.name}_encoder")
    return EncoderAndStep(encoder, step)


def longest_sequence(model: keras.Model) -> int | None:
    """Returns the largest number of steps that a model, its encoder or its step model reads; None for any number.

    A limit is that of a layer with a trained vector for each position, for example, or of a cache of fixed size.
    """
    layers = all_layers(model) if isinstance(model, keras.Model) else []  # a file has none
    limits = [getattr(layer, "decoding_limit", None) for layer in layers]
    if is_step_model(model):
        limits += [model.input[name].shape[1] for name in state_names(model) if is_cache(name)]
    return min((limit for limit in limits if limit is not None), default=None)


def state_names(step) -> list[str]:
    """Returns the names of a step model's states: the inputs that are also outputs."""
    return [name for name in step.input if name in step.output]


def token_input_name(step, encoder_outputs=()) -> str:
    """Returns the name of a step model's own input, which is neither a state nor one of the encoder's outputs."""
    (name,) = [
        name for name in step.input if name not in step.output and name not in encoder_outputs
    ]
    return name


def initial_states(step, batch: int, length: int | None = None) -> dict[str, np.ndarray]:
    """Returns a step model's states before the first step, {name: zeros}.

    Args:
        step: the step model, or a file of it.
        batch: number of sequences.
        length: number of entries of the caches, if the model leaves it open.
    """
    states = {}
    for name in state_names(step):
        tensor = step.input[name]
        shape = [length if size is None else size for size in tensor.shape[1:]]
        if None in shape:
            raise ValueError(
                f"{name} is a cache of any length: pass length, the largest number of steps"
            )
        states[name] = np.zeros((batch, *shape), keras.backend.standardize_dtype(tensor.dtype))
    return states


def is_step_model(model) -> bool:
    """Whether a model is a step model: some of its inputs are also outputs, under the same names."""
    has_names = isinstance(model.input, dict) and isinstance(model.output, dict)
    return has_names and bool(set(model.input) & set(model.output))
