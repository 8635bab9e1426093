"""Signatures that take text: a tokenizer or subwords in the graph, before the model and after it."""

from collections.abc import Callable

import keras
import tensorflow as tf

from kapps.data.captions import CaptionWords
from kapps.data.text import SubwordVocabulary
from kapps.data.text.vocabulary import PADDING, UNKNOWN
from kapps.export._inputs import TEXT, TOKENS, model_input
from kapps.export._saved_model_writer import Signature
from kapps.export.inference_model import inner_model
from kapps.export.saved_model._byte_pairs import BytePairs
from kapps.export.saved_model._caption_signatures import CaptionText
from kapps.generation import DecodingLoop, DecodingOptions, step_models, text_generation
from kapps.preprocessing import Preprocessing

SEPARATORS = {"whitespace": " ", "character": ""}
"""The string between two tokens by the tokenizer's `split`."""
MAX_SOURCE_LENGTH = 256
"""Tokens of a source that are read; the rest is cut off."""


class TokenizedText:
    """Text for a model of tokens: `serve_text`, and for a language model `continue_text`.

    Args:
        tokenizer: a `keras.layers.TextVectorization` with a vocabulary and output_mode="int".
        network: from `inference_model`, a model of tokens.
        new_tokens: the number of tokens that `continue_text` adds.

    Raises:
        ValueError: if tokenizer and network do not fit.
    """

    def __init__(
        self, tokenizer: keras.layers.TextVectorization, network: keras.Model, new_tokens: int
    ):
        _check_tokenizer(tokenizer, network)
        self.tokenizer, self.new_tokens = tokenizer, new_tokens
        self.vocabulary = tokenizer.get_vocabulary()
        self.separator = SEPARATORS.get(tokenizer.get_config()["split"])
        self.loop = self._decoding_loop(network)
        self.resources = [tokenizer]

    @property
    def shares_variables(self) -> bool:
        """Whether a signature uses the network's variables in a decoding loop."""
        return self.loop is not None

    def signatures(self, predict: Callable) -> dict[str, Signature]:
        """Returns the signatures by name.

        Args:
            predict: the function of the signature `serving_default`.
        """
        text = tf.TensorSpec([None], tf.string, name=TEXT)
        signatures = {"serve_text": Signature(lambda text: predict(self.encode(text)), text)}
        if self.loop is not None:
            signatures["continue_text"] = Signature(
                lambda text: {TEXT: self.continue_text(text)}, text
            )
        return signatures

    def encode(self, text: tf.Tensor) -> tf.Tensor:
        """Returns the tokens, int32 [batch, time], of text, string [batch], padded on the right."""
        return tf.cast(self.tokenizer(text), tf.int32)

    def continue_text(self, text: tf.Tensor) -> tf.Tensor:
        """Returns text, string [batch], followed by the `new_tokens` tokens of greedy decoding."""
        prompt = self.encode(text)
        batch_size = tf.shape(prompt)[0]
        tokens = self.loop.call(
            {
                "prompt": tf.pad(prompt, [[0, 0], [0, 1]]),  # an empty text has one padding token
                "uniform": tf.zeros([batch_size, self.new_tokens]),
                "limit": tf.fill([batch_size], self.new_tokens),
            }
        )
        words = tf.gather(tf.constant(self.vocabulary), tokens)
        continuation = tf.strings.reduce_join(words, axis=-1, separator=self.separator)
        return tf.strings.join([text, continuation], separator=self.separator)

    def _decoding_loop(self, network):
        """Returns the loop of greedy decoding, or None for a network that is not a language model."""
        scores = next(iter(network.output.values())).shape
        is_language_model = (
            self.separator is not None
            and model_input(network).shape[0] is None
            and len(network.output) == 1
            and tuple(scores)[1:] == (None, len(self.vocabulary))
        )
        if not is_language_model:
            return None
        try:
            step = step_models.step_model(inner_model(network))
        except ValueError:  # the network attends to later tokens, or a layer has no decoding step
            return None
        return DecodingLoop(step, options=DecodingOptions(never=(PADDING, UNKNOWN)))


class TranslatedText:
    """Text for a model of a source and a target: `translate`, with subwords and beam search in the graph.

    Args:
        subwords: of source and target.
        network: from `inference_model`, a model of a source and a target.
        beam, length_penalty: as for `kapps.translate`.

    Raises:
        ValueError: if subwords and network do not fit.
    """

    shares_variables = True

    def __init__(
        self,
        subwords: SubwordVocabulary,
        network: keras.Model,
        beam: int | None,
        length_penalty: float,
    ):
        (scores,) = network.output.values()
        self.start, self.end = subwords.size, subwords.size + 1
        if len(network.input) != 2 or scores.shape[-1] != subwords.size + 2:
            raise ValueError(
                f"{network.name} takes {', '.join(network.input)} and scores {scores.shape[-1]} tokens; "
                f"these subwords need a model of a source and a target that scores {self.end + 1} tokens: the "
                "subwords, a start and an end"
            )
        encoder_and_step = step_models.encoder_and_step(inner_model(network))
        translator = text_generation.translator(
            encoder_and_step, end=self.end, beam=beam, length_penalty=length_penalty,
            never=(UNKNOWN, self.start),
        )  # fmt: skip
        self.loop, self.byte_pairs = translator.loop, BytePairs(subwords)
        (self.source,) = encoder_and_step.encoder.input
        self.resources = [self.byte_pairs.ranks]

    def signatures(self, predict: Callable) -> dict[str, Signature]:  # noqa: ARG002  # as in TokenizedText
        """Returns the signatures by name."""
        text = tf.TensorSpec([None], tf.string, name=TEXT)
        return {"translate": Signature(lambda text: {TEXT: self.translate(text)}, text)}

    def translate(self, text: tf.Tensor) -> tf.Tensor:
        """Returns the targets, string [batch], of sources, string [batch]."""
        source = self.byte_pairs.encode(text)[:, :MAX_SOURCE_LENGTH]
        lengths = tf.math.count_nonzero(source, axis=1, dtype=tf.int32)
        batch_size, steps = tf.shape(source)[0], tf.shape(source)[1] + text_generation.EXTRA_TOKENS
        tokens = self.loop.call(
            {
                "prompt": tf.fill([batch_size, 1], self.start),
                "uniform": tf.zeros([batch_size, steps]),
                "limit": lengths + text_generation.EXTRA_TOKENS,
                self.source: source,
            }
        )
        return self.byte_pairs.decode(tokens)


def text_signatures(
    network: keras.Model,
    tokenizer: keras.layers.TextVectorization | SubwordVocabulary | CaptionWords | None,
    *,
    preprocessing: Preprocessing | str | bool | None,
    new_tokens: int,
    beam: int | None,
    length_penalty: float,
) -> TokenizedText | TranslatedText | CaptionText | None:
    """Returns the text signatures of a network: by the tokenizer's class, or None without a tokenizer.

    Args:
        network: from `inference_model`.
        tokenizer, new_tokens, beam, length_penalty: as for `saved_model`.
        preprocessing: of the images that are captioned, as for `saved_model`.
    """
    if tokenizer is None:
        return None
    if isinstance(tokenizer, CaptionWords):
        return CaptionText(
            tokenizer,
            network,
            preprocessing,
            steps=new_tokens,
            beam=beam,
            length_penalty=length_penalty,
        )
    if isinstance(tokenizer, SubwordVocabulary):
        return TranslatedText(tokenizer, network, beam, length_penalty)
    return TokenizedText(tokenizer, network, new_tokens)


def _check_tokenizer(tokenizer, network):
    inputs = model_input(network)
    if inputs.name != TOKENS:
        raise ValueError(f"{network.name} takes {inputs.name}, and a tokenizer gives tokens")
    if not isinstance(tokenizer, keras.layers.TextVectorization):
        raise ValueError(
            f"tokenizer is a keras.layers.TextVectorization, not a {type(tokenizer).__name__}"
        )
    if not tokenizer.built:  # adapted, but not called yet
        tokenizer(tf.constant([""]))
    config = tokenizer.get_config()
    if config["output_mode"] != "int" or config["ragged"] or tokenizer.vocabulary_size() <= 2:
        raise ValueError('tokenizer needs output_mode="int", dense output and a vocabulary')
    if config["output_sequence_length"] != inputs.shape[0]:
        raise ValueError(
            f"{network.name} takes {inputs.shape[0] or 'any number of'} tokens, and the tokenizer gives "
            f"{config['output_sequence_length'] or 'any number'}; set its output_sequence_length"
        )
