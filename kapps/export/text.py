"""Text in the graph of a SavedModel: a tokenizer before a model of tokens, and words after a language model."""

import keras
import tensorflow as tf

from kapps.export import inputs

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
        self.continues = (
            self.separator is not None
            and what.shape[0] is None
            and len(exported.output) == 1
            and tuple(scores)[1:] == (None, len(self.vocabulary))
        )

    def numbers(self, text: tf.Tensor) -> tf.Tensor:
        """Returns the tokens, int32 [batch, time], of text, string [batch], padded on the right."""
        return tf.cast(self.tokenizer(text), tf.int32)

    def continued(self, network, text: tf.Tensor, new: int) -> tf.Tensor:
        """Returns text, string [batch], with the `new` likeliest tokens after it, one after the other.

        Args:
            network: from tokens [batch, time] to a dictionary of one output, scores [batch, time, vocabulary] of
                which each step's depend on no later token.
            text: string [batch].
            new: how many tokens.
        """
        given = self.numbers(text)
        batch = tf.shape(given)[0]
        held = tf.math.count_nonzero(given != PADDING, axis=1, dtype=tf.int32)

        def step(i, tokens):
            (scores,) = network(tokens).values()
            last = tf.gather(scores, tf.maximum(held + i - 1, 0), batch_dims=1)
            words = last[:, UNKNOWN + 1 :]
            chosen = tf.argmax(words, axis=-1, output_type=tf.int32) + UNKNOWN + 1
            at = tf.stack([tf.range(batch), held + i], axis=1)
            return i + 1, tf.tensor_scatter_nd_update(tokens, at, chosen)

        room = tf.pad(given, [[0, 0], [0, new]])
        _, tokens = tf.while_loop(lambda i, _: i < new, step, (0, room))
        at = held[:, None] + tf.range(new)[None]
        words = tf.gather(tf.constant(self.vocabulary), tf.gather(tokens, at, batch_dims=1))
        more = tf.strings.reduce_join(words, axis=-1, separator=self.separator)
        return tf.strings.join([text, more], separator=self.separator)
