"""Text generation by greedy decoding, sampling by temperature and top-k, or beam search.

[1] https://d2l.ai/chapter_recurrent-modern/beam-search.html
[2] Fan 2018, arXiv:1805.04833, section 5.4: top-k sampling
[3] Vaswani 2017, arXiv:1706.03762, section 6.1: a beam of 4, alpha 0.6 of [4], at most 50 tokens more than the source
[4] Wu 2016, GNMT, arXiv:1609.08144, equation (14)

Each token is one step (`kapps.generation.step_model`) of a loop that is compiled as a whole. All tokens cost the
same, except that attention reads a cache with entries for all of them.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from kapps._checked import check_argument
from kapps._keras_compat import all_layers
from kapps._values import is_integer, short
from kapps.generation import step_models
from kapps.generation._checked_inputs import check_tokens, convert_images, pad_source
from kapps.generation._decoding_loop import DecodingLoop, DecodingOptions
from kapps.generation.step_models import EncoderAndStep

NEVER = (0, 1)
"""Tokens that no text has: padding and the unknown token of `kapps.data.text`."""
MOST_TOKENS = 2**20
"""The largest number of tokens of one text."""
EXTRA_TOKENS = 50
"""The largest number of tokens that a target has more than its source [3]."""


class TextGenerator:
    """Generates tokens by a model. Its loop is compiled once for all calls of one shape.

    Args:
        model: a language model, tokens (batch, time) to scores at each step, or a model of two inputs, a source and a
            target; or its `kapps.generation.step_model` or `kapps.generation.encoder_and_step`, or a file of either.
        **options: as for `kapps.generation.DecodingOptions`.

    Raises:
        ValueError: if the model has no decoding step, and for values outside their ranges.
    """

    def __init__(self, model, **options):
        encoder = None
        if not hasattr(model, "input") and not isinstance(model, step_models.EncoderAndStep):
            raise TypeError(f"a generator takes a model or its step model, not {short(model)}")
        if isinstance(model, step_models.EncoderAndStep):
            encoder, step = model
        elif step_models.is_step_model(model):
            step = model
        elif len(model.inputs) > 1:
            encoder, step = step_models.encoder_and_step(model)
        else:
            step = step_models.step_model(model)
        self.encoder, self.step = encoder, step
        self.loop = DecodingLoop(step, encoder, DecodingOptions(**options))

    def __call__(
        self, prompt, length: int, *, source=None, limit=None, seed: int | None = None
    ) -> np.ndarray:
        """Returns up to `length` tokens after each prompt, int32 [batch, length], padded with 0 after the end.

        Args:
            prompt: tokens, int [batch, time] or [time], at least one each, padded on the right with 0.
            length: number of tokens.
            source: for the encoder: tokens, int [batch, time], padded on the right with 0; or images or vectors, float
                [batch, ...], of the encoder's shape.
            limit: largest number of tokens of each row, int [batch]; None for `length`.
            seed: seed of the samples; None for other samples at each call.

        Raises:
            ValueError: for an empty prompt, and if the caches of the step model are too short.
        """
        prompt = check_tokens("prompt", prompt, self.vocabulary("prompt"))
        if not prompt.size or (prompt[:, 0] == 0).any():
            raise ValueError(
                f"prompt has at least one token in each row, padded on the right with 0; its shape is {prompt.shape}"
            )
        if not is_integer(length, 1, MOST_TOKENS):
            raise ValueError(
                f"length is a positive integer up to {MOST_TOKENS:,}, not {short(length)}"
            )
        self.check_options()
        check_argument("generate", "seed", seed, int | None)
        self.check_length(prompt.shape[1] + length - 1)
        inputs = {
            "prompt": prompt,
            "uniform": np.random.default_rng(seed).random((len(prompt), length), "float32"),
            "limit": np.full(len(prompt), length, "int32")
            if limit is None
            else np.asarray(limit, "int32"),
        }
        if inputs["limit"].shape != (len(prompt),):
            raise ValueError(
                f"limit is one number for each of {len(prompt)} rows; its shape is {inputs['limit'].shape}"
            )
        if self.encoder is not None:
            (name,) = self.encoder.input
            source = self.convert_source(source)
            if len(source) != len(prompt):
                raise ValueError(f"source has {len(source)} rows, and prompt has {len(prompt)}")
            if self.reads_tokens:
                source = pad_source(source, self.encoder.input[name].shape[1])
                self.check_source(source)
            inputs[name] = source
        is_keras = isinstance(self.step, keras.Model)
        run = self.loop.predict_on_batch if is_keras else self.loop.call
        return ops.convert_to_numpy(run(inputs))

    def vocabulary(self, name):
        """Returns the number of tokens of the prompt or of the source, None if the model does not show it."""
        model = self.step if name == "prompt" else self.encoder
        if not isinstance(model, keras.Model):
            return None
        embeddings = [x for x in all_layers(model) if isinstance(x, keras.layers.Embedding)]
        if embeddings:
            return embeddings[0].input_dim
        return self.step.output[self.loop.scores].shape[-1] if name == "prompt" else None

    @property
    def reads_tokens(self):
        """Whether the encoder reads tokens, and not images or vectors."""
        if self.encoder is None:
            return True
        (spec,) = self.encoder.input.values()
        return keras.backend.standardize_dtype(spec.dtype).startswith("int")

    def convert_source(self, source):
        """Returns sources as the encoder takes them, after a check of their kind, shape and range."""
        if self.reads_tokens:
            return check_tokens("source", source, self.vocabulary("source"))
        (spec,) = self.encoder.input.values()
        return convert_images(source, tuple(spec.shape[1:]), spec.dtype)

    def check_options(self):
        """Raises ValueError for tokens of the options that the vocabulary does not have."""
        options, vocabulary = self.loop.options, self.step.output[self.loop.scores].shape[-1]
        for token in options.never if isinstance(vocabulary, int) else ():
            if token >= vocabulary:
                raise ValueError(f"never has tokens below {vocabulary}, not {token}")
        if isinstance(vocabulary, int) and len({*options.never}) >= vocabulary:
            raise ValueError(f"never has all {vocabulary} tokens, so that none can be generated")

    def check_length(self, steps):
        """Raises ValueError if there will be more steps than the step model decodes."""
        limit = self.longest_target()
        if limit is not None and steps > limit:
            raise ValueError(
                f"the model decodes at most {limit:,} tokens, the prompt included, but {steps:,} are needed: generate "
                "fewer tokens, or build the model or its step model for a larger length"
            )

    def check_source(self, source):
        """Raises ValueError if a source has more steps than the encoder reads."""
        limit = step_models.longest_sequence(self.encoder)
        if limit is not None and source.shape[1] > limit:
            raise ValueError(
                f"the encoder reads at most {limit:,} tokens, but a source has {source.shape[1]:,}: shorten it, or "
                "build the model for longer sequences"
            )

    def longest_target(self):
        """Returns the largest number of steps that the step model decodes; None for any number."""
        return step_models.longest_sequence(self.step)


def generate(
    model: keras.Model, prompt: Sequence | np.ndarray, length: int, *, temperature: float = 1.0,
    top_k: int | None = None, beam: int | None = None, end: int | None = None, length_penalty: float = 0.75,
    never: Sequence[int] = NEVER, seed: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Returns up to `length` tokens after each prompt, int32 [batch, length], padded with 0 after `end`.

    Args:
        model: a language model, tokens (batch, time) to scores at each step, or its `kapps.generation.step_model`.
        prompt: tokens, int [batch, time] or [time], at least one each, padded on the right with 0.
        length: number of tokens.
        temperature: divisor of the logits before sampling; 0 for greedy decoding.
        top_k: number of most likely tokens to sample from [2]; None for all.
        beam: k, the number of texts that beam search keeps at each step [1], in place of sampling; None for no beam
            search.
        end: the token that finishes a text; None for none.
        length_penalty: alpha of beam search, which compares texts of L new tokens by log P / L**alpha [1].
        never: tokens that are never generated.
        seed: seed of the samples; None for other samples at each call.

    Raises:
        ValueError: for an empty prompt, or values outside their ranges.
    """
    generator = TextGenerator(
        model, temperature=temperature, top_k=top_k, beam=beam, end=end, alpha=length_penalty, never=never
    )  # fmt: skip
    vocabulary = generator.vocabulary("prompt")
    if None not in (end, vocabulary) and end >= vocabulary:
        raise ValueError(f"end is a token below {vocabulary}, or None for none, not {end}")
    return generator(prompt, length, seed=seed)


def translator(
    model: keras.Model | EncoderAndStep, *, end: int, beam: int | None = 4, length_penalty: float = 0.6,
    penalty: str = "wu", temperature: float = 0.0, top_k: int | None = None, never: Sequence[int] = (),
) -> TextGenerator:  # fmt: skip
    """Returns a `TextGenerator` for `translate`, which has the same options."""
    options = dict(temperature=temperature, top_k=top_k, beam=beam, end=end, penalty=penalty)
    never = (0, *never) if isinstance(never, (tuple, list)) else never
    return TextGenerator(model, alpha=length_penalty, never=never, **options)


def translate(
    model: keras.Model | EncoderAndStep | TextGenerator, source: Sequence | np.ndarray, *, start: int, end: int,
    steps: int | None = None, seed: int | None = None, **options
) -> np.ndarray:  # fmt: skip
    """Returns a translation or caption of each source, int32 [batch, time], padded with 0, without `start` and `end`.

    Args:
        model: a model of a source and a target, for example of `kapps.families.transformer`, or of
            `kapps.families.show_attend_tell`, which writes captions; or its `kapps.generation.encoder_and_step`; or a
            `translator`, which is compiled once for all calls of one shape.
        source: tokens, int [batch, time], padded on the right with 0; of captions, images or annotation vectors, float
            [batch, ...].
        start: the first token of the target.
        end: the token after the last one.
        steps: largest number of tokens; None for 50 more than each source has tokens [3], as far as the model decodes
            them.
        seed: seed of the samples; None for other samples at each call.
        **options: beam=4: number of texts that beam search keeps; 1 or None for greedy decoding. length_penalty=0.6:
            alpha.
            penalty="wu" for ((5 + L) / 6)**alpha [4], or "length" for L**alpha [1]. temperature=0 and top_k=None: for
            sampling, if beam is None. never=(): tokens that are never generated.

    Raises:
        ValueError: for values outside their ranges.
    """
    is_generator = isinstance(model, TextGenerator)
    generator = model if is_generator else translator(model, end=end, **options)
    source = generator.convert_source(source)
    for name, token in {"start": start, "end": end}.items():
        if not is_integer(token, 1):
            raise ValueError(f"{name}={short(token)} is not a token, a positive integer")
    if steps is not None and not is_integer(steps, 1, MOST_TOKENS):
        raise ValueError(f"steps is a positive integer up to {MOST_TOKENS:,}, not {short(steps)}")
    # The length depends on the padded source, so that sources of one length have one shape.
    length, limit = steps, np.full(len(source), steps)
    if steps is None:
        tokens = source if generator.reads_tokens else np.zeros((len(source), 0))
        length = min(tokens.shape[1] + EXTRA_TOKENS, generator.longest_target() or MOST_TOKENS)
        limit = np.minimum(np.count_nonzero(tokens, axis=1) + EXTRA_TOKENS, length)
    prompt = np.full((len(source), 1), start, "int32")
    tokens = generator(prompt, length, source=source, limit=limit, seed=seed)
    return np.where(tokens == end, 0, tokens)
