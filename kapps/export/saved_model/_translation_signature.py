"""Text in, text out: a SavedModel that reads a source and writes its target, subwords and search in its graph."""

import keras
import tensorflow as tf

from kapps.data.text import SubwordVocabulary
from kapps.export.saved_model._byte_pairs import BytePairs
from kapps.generation import step_models, text_generation

MOST = 256
"""Tokens of a source that are read; what is beyond them is cut."""


class Translation:
    """The subwords, the loop over one step, and the subwords back to text.

    Args:
        subwords: of the source and of the target.
        exported: from `network.serving`, of a source and a target.
        beam, length_penalty: as for `kapps.translate`.

    Raises:
        ValueError: in one line, where they do not go together.
    """

    def __init__(
        self, subwords: SubwordVocabulary, exported: keras.Model, beam: int | None, length_penalty: float
    ):
        (scores,) = exported.output.values()
        self.start, self.end = subwords.size, subwords.size + 1
        if len(exported.input) != 2 or scores.shape[-1] != subwords.size + 2:
            raise ValueError(
                f"{exported.name} takes {', '.join(exported.input)} and scores {scores.shape[-1]} tokens; subwords go "
                f"with a source and a target, and {self.end + 1} tokens: these, a start and an end"
            )
        (inner,) = [layer for layer in exported.layers if isinstance(layer, keras.Model)]
        both = step_models.encoder_and_step(inner)
        writer = text_generation.translator(
            both, end=self.end, beam=beam, length_penalty=length_penalty,
            never=(1, self.start),
        )  # fmt: skip
        self.loop, self.pairs = writer.loop, BytePairs(subwords)
        (self.source,) = both.encoder.input

    def translated(self, text: tf.Tensor) -> tf.Tensor:
        """Returns the target, string [batch], of each source, string [batch]."""
        source = self.pairs.encode(text)[:, :MOST]
        held = tf.math.count_nonzero(source, axis=1, dtype=tf.int32)
        batch, steps = tf.shape(source)[0], tf.shape(source)[1] + text_generation.MORE
        found = self.loop.call(
            {
                "prompt": tf.fill([batch, 1], self.start),
                "uniform": tf.zeros([batch, steps]),
                "limit": held + text_generation.MORE,
                self.source: source,
            }
        )
        return self.pairs.decode(found)
