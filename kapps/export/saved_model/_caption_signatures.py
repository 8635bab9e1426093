"""The signature that captions images: preprocessing, beam search and the words of the caption in the graph."""

from collections.abc import Callable

import keras
import tensorflow as tf

from kapps.data.captions import CaptionWords
from kapps.data.text.vocabulary import UNKNOWN
from kapps.export._inputs import IMAGE, TEXT, model_input
from kapps.export._preprocessing import export_preprocessing
from kapps.export._saved_model_writer import Signature
from kapps.export.inference_model import inner_model, preprocess
from kapps.export.saved_model._image_bytes import BYTES, image_reader
from kapps.generation import step_models, text_generation
from kapps.preprocessing import Preprocessing


class CaptionText:
    """Images for a model of an image and a target: `caption`.

    Args:
        words: of the captions.
        network: from `inference_model`, a model of an image and a target.
        preprocessing: of the images, or its name; None for what the model records.
        steps: largest number of words of a caption.
        beam, length_penalty: as for `kapps.translate`.

    Raises:
        ValueError: if words and network do not fit, and if the preprocessing is not known.
    """

    shares_variables = True
    resources = ()

    def __init__(
        self,
        words: CaptionWords,
        network: keras.Model,
        preprocessing: Preprocessing | str | None,
        *,
        steps: int,
        beam: int | None,
        length_penalty: float,
    ):
        (scores,) = network.output.values()
        if len(network.input) != 2 or scores.shape[-1] != words.size:
            raise ValueError(
                f"{network.name} takes {', '.join(network.input)} and scores {scores.shape[-1]} tokens; these words "
                f"need a model of an image and a target that scores {words.size} tokens: the words, a start and an end"
            )
        encoder_and_step = step_models.encoder_and_step(inner_model(network))
        encoder = encoder_and_step.encoder
        images = model_input(encoder)
        if images.name != IMAGE or images.shape[-1] not in (1, 3):
            raise ValueError(
                f"{network.name} takes {images}, and captions are of images with 1 or 3 channels: build it from a "
                "network of images"
            )
        self.preprocessing = export_preprocessing(encoder, preprocessing)
        if self.preprocessing is None:
            raise ValueError(
                f"{network.name} does not record the preprocessing of its images: pass preprocessing="
            )
        self.read = image_reader(self.preprocessing, images)
        (self.source,) = encoder.input
        self.start, self.end, self.steps = words.start, words.end, steps
        self.loop = text_generation.translator(
            encoder_and_step, end=words.end, beam=beam, length_penalty=length_penalty,
            never=(UNKNOWN, words.start),
        ).loop  # fmt: skip
        self.texts = [
            "",
            "",
            *words.vocabulary.tokens,
            "",
            "",
        ]  # of padding, unknown, words, start and end

    def signatures(self, predict: Callable) -> dict[str, Signature]:  # noqa: ARG002  # as in TokenizedText
        """Returns the signatures by name."""
        image_bytes = tf.TensorSpec([None], tf.string, name=BYTES)
        return {
            "caption": Signature(lambda image_bytes: {TEXT: self.caption(image_bytes)}, image_bytes)
        }

    def caption(self, image_bytes: tf.Tensor) -> tf.Tensor:
        """Returns the captions, string [batch], of encoded images, string [batch]."""
        batch_size = tf.shape(image_bytes)[0]
        tokens = self.loop.call(
            {
                "prompt": tf.fill([batch_size, 1], self.start),
                "uniform": tf.zeros([batch_size, self.steps]),
                "limit": tf.fill([batch_size], self.steps),
                self.source: preprocess(self.read(image_bytes), self.preprocessing),
            }
        )
        words = tf.gather(tf.constant(self.texts), tokens)
        return tf.strings.strip(tf.strings.reduce_join(words, axis=-1, separator=" "))
