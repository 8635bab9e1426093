"""SavedModels for TensorFlow Serving: whole, versioned, never overwritten; images and text read in the graph."""

import functools
import os
import pathlib
from collections.abc import Sequence

import keras
import tensorflow as tf

from kapps._files import flush, sync
from kapps.cards import Preprocessing
from kapps.data.image import decode_image
from kapps.data.text import SubwordVocabulary
from kapps.export import _inputs as inputs
from kapps.export import inference_model as network
from kapps.export._paths import folder_for, local
from kapps.export._quiet import quiet
from kapps.export.saved_model import _serving_config as server
from kapps.export.saved_model._text_signatures import TEXT, Text
from kapps.export.saved_model._translation_signature import Translation

BYTES = "image_bytes"
TOP = 5
"""Classes that are named, the likeliest first."""


def saved_model(
    model: keras.Model,
    directory: str | os.PathLike,
    *,
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] | None = None,
    warm_up: bool | None = None,
    tokenizer: keras.layers.TextVectorization | SubwordVocabulary | None = None,
    new_tokens: int = 64,
    beam: int | None = 4,
    length_penalty: float = 0.6,
) -> pathlib.Path:
    """Writes `model` as a TensorFlow SavedModel, laid out for TensorFlow Serving.

    The model is rebuilt in float32, traced with training off, its batch norms folded and its weights constants of
    the graph (`network.frozen`). Signatures:

    - `serving_default` takes `image`, float32 [batch, height, width, channels] with any batch;
    - `serve_bytes`, with `preprocessing`, takes `image_bytes`, string [batch]: JPEG, PNG, GIF, BMP or
      WebP files, which it decodes, resizes and crops as `kapps.data.eval_dataset` does.

    A model of sequences takes `sequence`, float32 [batch, time, features], in place of `image`, one of frames `frames`,
    float32 [batch, time, height, width, channels], one of several inputs each by its own name; one of whole-numbered
    tokens takes `tokens`, int32 [batch, time], and with a `tokenizer`

    - `serve_text` takes `text`, string [batch], which the graph splits into tokens and pads on the right;
    - `continue_text`, of a language model (scores of each token of the vocabulary at every step, any length, of which
      `kapps.generation.step_model` makes one step), takes `text`, and gives `text`, string [batch], with the `new_tokens` likeliest
      tokens after it; what the network remembers is carried, so that each costs the same.

    A model of a source and a target, with subwords as its tokenizer, has `translate`, which takes `text`, string
    [batch], and gives `text`, string [batch]: the subwords, the search of `kapps.translate` and text again are in the
    graph; the start and what stands for no text are not written.

    The others give `probabilities` where the last layer ends in softmax or sigmoid, else `logits`, float32
    [batch, classes]; `classes`, int64 [batch, k], the numbers of the k = min(5, classes) likeliest,
    the first one first; and with `class_names`, `labels`, string [batch, k]. Outputs that come in a
    dictionary keep its names, other several outputs have those of their layers; scores of every step are alone.

    Args:
        model: a functional or sequential model of such inputs, under any precision policy.
        directory: holds `<model.name>/<n>/`, n one above the highest there; made where missing.
        preprocessing: where given, `image` is raw pixels in [0, 255], at the size the model takes.
        class_names: a name for each class, without line ends; they lie in `assets/labels.txt`, and the
            graph looks them up in a table, which OpenVINO, alone among the readers, does not know.
        warm_up: whether the version holds requests that the server makes before it is ready, so that
            no user waits for the first; None for where tensorflow-serving-api is installed.
        tokenizer: of a model of tokens: a `keras.layers.TextVectorization` with a vocabulary, output_mode="int"
            and the model's length as output_sequence_length; padding is 0, as its mask has it. Of a model of a source
            and a target: `kapps.data.text.SubwordVocabulary` of V tokens, after which come V, the target's start, and
            V + 1, its end.
        new_tokens: what `continue_text` adds.
        beam, length_penalty: of `translate`, as for `kapps.translate`.

    Returns:
        The new `<directory>/<model.name>/<n>`: it appears whole or not at all, in place of none.
        In the directory stand `models.config`, `batching.config` and `serve.sh`, which serves all
        the models there.

    Raises:
        ValueError: for a model that cannot be exported, a directory that cannot be written, or
            class names that do not fit.
    """
    exported = network.serving(model, preprocessing)
    network.refuse_random(exported)
    of_pairs = isinstance(tokenizer, SubwordVocabulary)
    translation = Translation(tokenizer, exported, beam, length_penalty) if of_pairs else None
    text = Text(tokenizer, exported) if tokenizer is not None and not of_pairs else None
    class_names = network.class_names(exported, class_names)
    versions = local(directory) / model.name
    with folder_for(versions) as aside:
        if class_names:
            (aside / "labels.txt").write_text("\n".join(class_names) + "\n")
        labels = _Labels(str(aside / "labels.txt")) if class_names else None
        written = aside / "version"
        signatures = _Signatures(exported, preprocessing, labels, text, new_tokens, translation)
        endpoints = signatures.endpoints()
        tables = ([labels.table] if labels else []) + ([tokenizer] if text else [])
        tables += [translation.pairs.ranks] if translation else []
        network.write(endpoints, written, *tables)
        if server.can_warm_up() if warm_up is None else warm_up:
            server.write_warm_up(written, model.name, _requests(endpoints))
        flush(written)
        while True:
            path = versions / str(_next_version(versions))
            try:
                os.rename(written, path)
                break
            except OSError:
                # Another process may have taken the number since; any other fault is a fault.
                if not path.exists():
                    raise
        sync(versions)
    server.write_settings(versions.parent)
    return path


def _requests(endpoints) -> dict:
    """Returns a request for each signature: a grey image, 224 pixels high and wide where any size goes, or a word."""
    found = {}
    for name, (_, spec) in endpoints.items():
        if isinstance(spec, dict):
            found[name] = {key: _grey(each) for key, each in spec.items()}
            continue
        if spec.name == TEXT:
            value = ["the"]
        elif spec.name == BYTES:
            channels = endpoints["serving_default"][1].shape[-1]
            value = [
                tf.io.encode_jpeg(tf.fill([224, 224, channels], tf.constant(128, tf.uint8))).numpy()
            ]
        else:
            value = _grey(spec)
        found[name] = {spec.name: value}
    return found


def _grey(spec):
    """Returns a grey image, or ones."""
    of_image = spec.name == inputs.IMAGE
    shape = [size or (224 if of_image else 16) for size in spec.shape[1:]]
    return tf.fill([1, *shape], tf.cast(128 if of_image else 1, spec.dtype))


class _Labels:
    """Class names by number, from a file that the SavedModel takes along as an asset."""

    def __init__(self, path):
        index = tf.lookup.TextFileIndex
        names = tf.lookup.TextFileInitializer(
            path, tf.int64, index.LINE_NUMBER, tf.string, index.WHOLE_LINE
        )
        self.table = tf.lookup.StaticHashTable(names, default_value="")

    def __call__(self, classes):
        return self.table.lookup(classes)


class _Signatures:
    """What the SavedModel answers to."""

    def __init__(self, exported, preprocessing, labels, text, new_tokens, translation):
        self.exported, self.preprocessing, self.labels = exported, preprocessing, labels
        self.of_text, self.new_tokens, self.translation = text, new_tokens, translation
        if translation or (text and text.loop):
            # Their steps have the same variables, which are then in the file once.
            self.network = functools.partial(exported, training=False)
            return
        with keras.device("cpu:0"), quiet():
            self.network = network.frozen(exported)

    def plain(self, x):
        outputs = self.network(x)
        scores = next(iter(outputs.values()))
        if len(outputs) > 1 or len(scores.shape) != 2 or scores.shape[-1] < 2:
            return outputs
        classes = tf.math.top_k(scores, min(TOP, scores.shape[-1])).indices
        classes = tf.cast(classes, tf.int64)
        named = {"labels": self.labels(classes)} if self.labels else {}
        return {**outputs, "classes": classes, **named}

    def encoded(self, image_bytes):
        height, width, channels = self.exported.input_shape[1:]
        size = (height or self.preprocessing.size[0], width or self.preprocessing.size[1])
        preprocessing = self.preprocessing
        if size != preprocessing.size:
            preprocessing = preprocessing.at(size)

        def pixels(image):
            return decode_image.resize_and_crop(decode_image.decode(image, channels), preprocessing)

        shape = tf.TensorSpec([*size, channels], tf.float32)
        return self.plain(tf.map_fn(pixels, image_bytes, fn_output_signature=shape))

    def text(self, text):
        return self.plain(self.of_text.numbers(text))

    def continued(self, text):
        return {TEXT: self.of_text.continued(text, self.new_tokens)}

    def translated(self, text):
        return {TEXT: self.translation.translated(text)}

    def endpoints(self) -> dict:
        """Returns {name of a signature: (its function, what it takes)}."""
        what = inputs.taken(self.exported)
        found = {"serving_default": (self.plain, what.spec(None))}
        if self.preprocessing is not None and what.shape[-1] in (1, 3):
            found["serve_bytes"] = self.encoded, tf.TensorSpec([None], tf.string, name=BYTES)
        if self.translation:
            found["translate"] = self.translated, tf.TensorSpec([None], tf.string, name=TEXT)
        if self.of_text:
            text = tf.TensorSpec([None], tf.string, name=TEXT)
            found["serve_text"] = self.text, text
            if self.of_text.loop:
                found["continue_text"] = self.continued, text
        return found


def _next_version(versions: pathlib.Path) -> int:
    return 1 + max((int(p.name) for p in versions.iterdir() if p.name.isdecimal()), default=0)
