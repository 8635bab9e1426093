"""The signatures of a SavedModel by the kind of model.

| model | signatures |
| --- | --- |
| images, with preprocessing | `serving_default`, `serve_bytes` |
| the same, of a network that scores every pixel | `classes` is a class map, without `labels` |
| sequences, frames, several inputs | `serving_default` |
| tokens, with a tokenizer | `serving_default`, `serve_text`; of a language model also `continue_text` |
| a source and a target, with subwords | `serving_default`, `translate` |
| an image and a target, with words of captions | `serving_default`, `caption` |
"""

import functools
import pathlib

import keras
import tensorflow as tf

from kapps.export._class_maps import gives_class_maps
from kapps.export._inputs import IMAGE, TEXT, model_input
from kapps.export._saved_model_writer import Signature, with_constant_weights
from kapps.export.saved_model._caption_signatures import CaptionText
from kapps.export.saved_model._image_bytes import BYTES, image_reader
from kapps.export.saved_model._text_signatures import TokenizedText, TranslatedText
from kapps.preprocessing import Preprocessing

TOP = 5
"""The number of classes in the outputs `classes` and `labels`."""


class ClassLabels:
    """A lookup table of class names, read from a file that the SavedModel holds as an asset.

    Args:
        path: of the file that is written, one name a line.
        class_names: by class number.
    """

    def __init__(self, path: pathlib.Path, class_names: list[str]):
        path.write_text("\n".join(class_names) + "\n", encoding="utf-8")
        index = tf.lookup.TextFileIndex
        names = tf.lookup.TextFileInitializer(
            str(path), tf.int64, index.LINE_NUMBER, tf.string, index.WHOLE_LINE
        )
        self.table = tf.lookup.StaticHashTable(names, default_value="")

    def __call__(self, classes: tf.Tensor) -> tf.Tensor:
        """Returns the names, string [batch, k], of class numbers, int64 [batch, k]."""
        return self.table.lookup(classes)


def make_signatures(
    network: keras.Model,
    preprocessing: Preprocessing | None = None,
    labels: ClassLabels | None = None,
    text: TokenizedText | TranslatedText | CaptionText | None = None,
) -> dict[str, Signature]:
    """Returns the signatures of a network by name.

    Args:
        network: from `inference_model`.
        preprocessing: of an image model; it has `serve_bytes` then.
        labels: the table of class names.
        text: from `text_signatures`.
    """
    if text is not None and text.shares_variables:
        # The decoding loop uses the same variables, so that the file holds them once.
        call = functools.partial(network, training=False)
    else:
        call = with_constant_weights(network)
    add_classes = _add_class_map if gives_class_maps(network) else _add_top_classes
    predict = functools.partial(_predict, call, functools.partial(add_classes, labels))
    inputs = model_input(network)
    signatures = {"serving_default": Signature(predict, inputs.spec(None))}
    if preprocessing is not None and inputs.shape[-1] in (1, 3):
        read = image_reader(preprocessing, inputs)
        signatures["serve_bytes"] = Signature(
            lambda image_bytes: predict(read(image_bytes)),
            tf.TensorSpec([None], tf.string, name=BYTES),
        )
    if text is not None:
        signatures |= text.signatures(predict)
    return signatures


def example_requests(signatures: dict[str, Signature]) -> dict[str, dict]:
    """Returns a request for each signature: {signature: {input: value}}.

    Values are a grey image, of 224 pixels where the size is variable; ones for other arrays; one word of text.
    """
    requests = {}
    for name, (_, inputs) in signatures.items():
        if isinstance(inputs, dict):
            requests[name] = {key: _example(spec) for key, spec in inputs.items()}
        elif inputs.name == TEXT:
            requests[name] = {TEXT: ["the"]}
        elif inputs.name == BYTES:
            grey = tf.fill([224, 224, 1], tf.constant(128, tf.uint8))
            requests[name] = {BYTES: [tf.io.encode_jpeg(grey).numpy()]}
        else:
            requests[name] = {inputs.name: _example(inputs)}
    return requests


def _example(spec):
    is_image = spec.name == IMAGE
    shape = [size or (224 if is_image else 16) for size in spec.shape[1:]]
    return tf.fill([1, *shape], tf.cast(128 if is_image else 1, spec.dtype))


def _predict(call, add_classes, inputs):
    """Returns the network's outputs; for one output of scores, or one of predictions among several, also classes."""
    outputs = call(inputs)
    scores = outputs.get("predictions", next(iter(outputs.values())))
    several = len(outputs) > 1 and "predictions" not in outputs
    return outputs if several else add_classes(outputs, scores)


def _add_top_classes(labels, outputs, scores):
    """Returns the outputs with the most likely classes of each image and their labels."""
    if len(scores.shape) != 2 or scores.shape[-1] < 2:
        return outputs
    classes = tf.math.top_k(scores, min(TOP, scores.shape[-1])).indices
    outputs = {**outputs, "classes": tf.cast(classes, tf.int64)}
    return {**outputs, "labels": labels(outputs["classes"])} if labels else outputs


def _add_class_map(_, outputs, scores):
    """Returns the outputs with the most likely class of each pixel, uint8 [batch, height, width]."""
    classes = tf.argmax(scores, -1, output_type=tf.int32)
    return {**outputs, "classes": tf.cast(classes, tf.uint8)}
