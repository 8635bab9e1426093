"""Text in the graph of a SavedModel: a tokenizer before a model of tokens, and words after a language model."""

import keras
import tensorflow as tf

from kapps.export import _inputs as inputs
from kapps.generation import DecodingLoop, DecodingOptions, step_models

TEXT = "text"
PADDING, UNKNOWN = 0, 1
"""The numbers that `keras.layers.TextVectorization` keeps for itself."""
SEPARATORS = {"whitespace": " ", "character": ""}
"""What stands between tokens, by how the tokenizer splits."""


class Text:
    """A tokenizer, and the model that reads its numbers.

    Args:
        tokenizer: a `keras.layers.TextVectorization` with a vocabulary, output_mode="int".
        exported: the model, of tokens.

    Raises:
        ValueError: in one line, where they do not go together.
    """

    def __init__(self, tokenizer: keras.layers.TextVectorization, exported: keras.Model):
        what = inputs.taken(exported)
        if what.name != inputs.TOKENS:
            raise ValueError(f"{exported.name} takes {what.name}, and a tokenizer gives tokens")
        if not isinstance(tokenizer, keras.layers.TextVectorization):
            raise ValueError(
                f"tokenizer is a keras.layers.TextVectorization, not a {type(tokenizer).__name__}"
            )
        if not tokenizer.built:  # adapted, and never called
            tokenizer(tf.constant([""]))
        config = tokenizer.get_config()
        if config["output_mode"] != "int" or config["ragged"] or tokenizer.vocabulary_size() <= 2:
            raise ValueError('tokenizer has output_mode="int", dense output and a vocabulary')
        if config["output_sequence_length"] != what.shape[0]:
            raise ValueError(
                f"{exported.name} takes {what.shape[0] or 'any number of'} tokens, and the tokenizer gives "
                f"{config['output_sequence_length'] or 'any number'}; set its output_sequence_length"
            )
        self.tokenizer, self.vocabulary = tokenizer, tokenizer.get_vocabulary()
        self.separator = SEPARATORS.get(config["split"])
        scores = next(iter(exported.output.values())).shape
        # A score for each token of the vocabulary, at every step of any number.
        continues = (
            self.separator is not None
            and what.shape[0] is None
            and len(exported.output) == 1
            and tuple(scores)[1:] == (None, len(self.vocabulary))
        )
        self.loop = _loop(exported) if continues else None

    def numbers(self, text: tf.Tensor) -> tf.Tensor:
        """Returns the tokens, int32 [batch, time], of text, string [batch], padded on the right."""
        return tf.cast(self.tokenizer(text), tf.int32)

    def continued(self, text: tf.Tensor, new: int) -> tf.Tensor:
        """Returns text, string [batch], with the `new` likeliest tokens after it, one after the other.

        Args:
            text: string [batch].
            new: how many tokens.
        """
        given = self.numbers(text)
        rows = tf.shape(given)[0]
        tokens = self.loop.call(
            {
                "prompt": tf.pad(given, [[0, 0], [0, 1]]),  # of no text at all one step is left
                "uniform": tf.zeros([rows, new]),
                "limit": tf.fill([rows], new),
            }
        )
        words = tf.gather(tf.constant(self.vocabulary), tokens)
        more = tf.strings.reduce_join(words, axis=-1, separator=self.separator)
        return tf.strings.join([text, more], separator=self.separator)


def _loop(exported):
    """Returns what writes the likeliest tokens a step at a time; None for a network that has no step."""
    (inner,) = [layer for layer in exported.layers if isinstance(layer, keras.Model)]
    try:
        one = step_models.step_model(inner)
    except ValueError:  # it looks at later tokens, or at what it was given
        return None
    return DecodingLoop(one, choice=DecodingOptions(never=(PADDING, UNKNOWN)))
