"""Tokens after tokens by a network that writes: the likeliest, drawn by temperature and top k, or by beam search.

[1] https://d2l.ai/chapter_recurrent-modern/beam-search.html
[2] Fan 2018, arXiv:1805.04833, section 5.4: top-k sampling
[3] Vaswani 2017, arXiv:1706.03762, section 6.1: a beam of 4, alpha 0.6 of [4], at most 50 tokens more than the source
[4] Wu 2016, GNMT, arXiv:1609.08144, equation (14)

A token is one step (`kapps.generation.step_models`) of a loop that is compiled as a whole: the ten-thousandth costs what the
first did, but for the look at a cache that has room for all of them.
"""

import keras
import numpy as np
from keras import ops

from kapps.generation import step_models
from kapps.generation._decoding_loop import DecodingLoop, DecodingOptions

NEVER = (0, 1)
"""Tokens that no text has: padding and the unknown of `kapps.data.text`."""
MORE = 50
"""Tokens of a target beyond those of its source [3]."""


class Writer:
    """What a model writes; its loop is compiled once for all calls of one shape.

    Args:
        model: a language model, tokens (batch, time) to scores at each step, or of two inputs, a source and a target;
            or what `kapps.generation.step_model` or `kapps.generation.encoder_and_step` made of it, or a file of either.
        **choice: as for `kapps.generation.DecodingOptions`.

    Raises:
        ValueError: for a network that has no step, and for values outside their ranges.
    """

    def __init__(self, model, **choice):
        encoder = None
        if isinstance(model, step_models.EncoderAndStep):
            encoder, one = model
        elif step_models.is_step_model(model):
            one = model
        elif len(model.inputs) > 1:
            encoder, one = step_models.encoder_and_step(model)
        else:
            one = step_models.step_model(model)
        self.encoder, self.one = encoder, one
        self.loop = DecodingLoop(one, encoder, DecodingOptions(**choice))

    def __call__(self, prompt, length, *, source=None, limit=None, seed=None):
        """Returns `length` tokens after each prompt, int32 [batch, length], on the right 0 after the end.

        Args:
            prompt: tokens, int [batch, time] or [time], one or more each, padded on the right with 0.
            length: how many tokens.
            source: what the encoder reads, int [batch, time], padded on the right with 0.
            limit: most tokens of each row, int [batch]; None for `length`.
            seed: settles what is drawn; None for another draw each time.

        Raises:
            ValueError: for an empty prompt, and where the step has no room for as many tokens.
        """
        prompt = np.atleast_2d(np.asarray(prompt, "int32"))
        if not prompt.size or (prompt[:, 0] == 0).any():
            raise ValueError(
                f"a prompt is one or more tokens, padded on the right with 0, not of shape {prompt.shape}"
            )
        if length < 1:
            raise ValueError(f"length={length}: from 1")
        self._refuse_beyond(prompt.shape[1] + length - 1)
        given = {
            "prompt": prompt,
            "uniform": np.random.default_rng(seed).random((len(prompt), length), "float32"),
            "limit": np.full(len(prompt), length, "int32")
            if limit is None
            else np.asarray(limit, "int32"),
        }
        if self.encoder is not None:
            (name,) = self.encoder.input
            given[name] = self._fitted(source, self.encoder.input[name].shape[1])
        run = self.loop.predict_on_batch if isinstance(self.one, keras.Model) else self.loop.call
        return ops.convert_to_numpy(run(given))

    def _refuse_beyond(self, needed):
        for name in step_models.state_names(self.one):
            shape = self.one.input[name].shape
            if len(shape) > 2 and shape[1] is not None and shape[1] < needed:
                raise ValueError(
                    f"the step has room for {shape[1]} tokens ({name}), and {needed} are asked for: make it with "
                    f"length={needed}, or ask for fewer"
                )

    def _fitted(self, source, steps):
        source = np.asarray(source, "int32")
        if steps is None:
            return source
        if source.shape[1] > steps and source[:, steps:].any():
            raise ValueError(
                f"the encoder reads {steps} tokens, and a source has {source.shape[1]}: make it with a greater "
                "source_length, or give shorter ones"
            )
        return np.pad(source, ((0, 0), (0, max(0, steps - source.shape[1]))))[:, :steps]


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
    writer = Writer(
        model, temperature=temperature, top_k=top_k, beam=beam, end=end, alpha=length_penalty, never=tuple(never)
    )  # fmt: skip
    return writer(prompt, length, seed=seed)


def translator(
    model, *, end, beam=4, length_penalty=0.6, penalty="wu", temperature=0.0, top_k=None, never=()
):
    """Returns a `Writer` of targets; see `translate`, whose arguments they are."""
    choice = dict(temperature=temperature, top_k=top_k, beam=beam, end=end, penalty=penalty)
    return Writer(model, alpha=length_penalty, never=(0, *never), **choice)


def translate(model, source, *, start, end, steps=None, seed=None, **options):
    """Returns what a model writes for each source, int32 [batch, time], on the right 0, without `start` and `end`.

    Args:
        model: of a source and a target, as `kapps.families.encoder_decoder` and `kapps.families.transformer` are; or what `halves` made
            of it; or a `translator`, which is compiled once for all calls of one shape.
        source: tokens, int [batch, time], padded on the right with 0.
        start: the token that a target begins with.
        end: the token after the last one.
        steps: most tokens; None for 50 more than each source has [3].
        seed: settles what is drawn; None for another draw each time.
        **options: beam=4: how many texts beam search keeps, 1 or None for the likeliest token at each step;
            length_penalty=0.6: alpha, and penalty="wu" for ((5 + L) / 6)**alpha [4], or "length" for L**alpha [1];
            temperature=0 and top_k=None, of draws, where beam is None; never=(): tokens that are not written.

    Raises:
        ValueError: for values outside their ranges.
    """
    writer = model if isinstance(model, Writer) else translator(model, end=end, **options)
    source = np.asarray(source, "int32")
    limit = (
        np.count_nonzero(source, axis=1) + MORE if steps is None else np.full(len(source), steps)
    )
    prompt = np.full((len(source), 1), start, "int32")
    # One shape for all sources of one length.
    found = writer(
        prompt,
        source.shape[1] + MORE if steps is None else steps,
        source=source,
        limit=limit,
        seed=seed,
    )
    return np.where(found == end, 0, found)
