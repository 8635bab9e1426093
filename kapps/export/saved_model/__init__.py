"""Exports models as SavedModels for TensorFlow Serving."""

import os
import pathlib
from collections.abc import Sequence

import keras

from kapps._files import flush, sync
from kapps._local_paths import local_path
from kapps._values import check_file_name
from kapps.data.captions import CaptionWords
from kapps.data.text import SubwordVocabulary
from kapps.export._determinism import check_deterministic
from kapps.export._float32 import check_exportable
from kapps.export._paths import temporary_directory_in
from kapps.export._preprocessing import export_preprocessing
from kapps.export._progress import phase
from kapps.export._replacement import has_layers
from kapps.export._saved_model_writer import write_saved_model
from kapps.export.inference_model import check_class_names, inference_model
from kapps.export.saved_model import _serving_config
from kapps.export.saved_model._signatures import ClassLabels, example_requests, make_signatures
from kapps.export.saved_model._text_signatures import text_signatures
from kapps.export.tflite._server_file import FILE, write_server_file
from kapps.layers import BinaryConv2D
from kapps.preprocessing import Preprocessing


def saved_model(
    model: keras.Model,
    directory: str | os.PathLike,
    *,
    preprocessing: Preprocessing | str | bool | None = None,
    class_names: Sequence[str] | None = None,
    warm_up: bool | None = None,
    tflite: bool = False,
    tokenizer: keras.layers.TextVectorization | SubwordVocabulary | CaptionWords | None = None,
    new_tokens: int = 64,
    beam: int | None = 4,
    length_penalty: float = 0.6,
    verbose: int = 1,
) -> pathlib.Path:
    """Exports `model` as a TensorFlow SavedModel in the directory layout of TensorFlow Serving.

    The model is rebuilt in float32 and traced with `training=False`. Its batch norms are folded, and its weights are
    constants of the graph; binary kernels have one bit a weight, and each call unpacks them. Signatures:

    - `serving_default` takes `image`, float32 [batch, height, width, channels], of any batch size. Models of other
      inputs take `sequence`, float32 [batch, time, features]; `frames`, float32 [batch, time, height, width, channels];
      `tokens`, int32 [batch, time]; or several inputs by their own names.
    - `serve_bytes`, if the preprocessing is known, takes `image_bytes`, string [batch]: JPEG, PNG, GIF, BMP or WebP
      files. The graph decodes, resizes and crops them as the evaluation pipeline does.
    - `serve_text`, of a model of tokens with a `tokenizer`, takes `text`, string [batch]. The graph splits it into
      tokens and pads them on the right.
    - `continue_text`, of a language model with a `tokenizer`, takes `text` and returns `text`, string [batch], followed
      by `new_tokens` tokens of greedy decoding. The graph carries the recurrent state or KV cache. A language model
      scores each token of the vocabulary at every step of any length, and has a `kapps.generation.step_model`.
    - `translate`, of a model of a source and a target with subwords as its `tokenizer`, takes `text`, string [batch],
      and returns `text`, string [batch]. Subwords, beam search and the conversion back to text are in the graph; the
      start token and reserved tokens are never written.
    - `caption`, of a model of an image and a target with the words of captions as its `tokenizer`, takes `image_bytes`
      and returns `text`, string [batch]. Preprocessing and beam search are in the graph.

    The other signatures return `probabilities` if the last layer ends in softmax or sigmoid, else `logits`, float32
    [batch, classes]; `classes`, int64 [batch, k], the k = min(5, classes) most likely classes in order; and with
    `class_names`, `labels`, string [batch, k]. Outputs in a dictionary keep its names, several other outputs have the
    names of their layers, and outputs with a time axis come without `classes` and `labels`.

    Of a network whose layer "predictions" scores every pixel, the scores are float32 [batch, height, width, classes],
    and `classes` is the class map, uint8 [batch, height, width], at the size of the network's input; without `labels`.

    Args:
        model: a functional or sequential model of such inputs, under any dtype policy.
        directory: a local directory. The SavedModel is written to `<directory>/<model.name>/<n>`, where n is one more
            than the highest version.
        preprocessing: for image models, a preprocessing or its name (`kapps.preprocessing.NAMES`); `image` is then raw
            pixels in [0, 255] at the model's size. None for the preprocessing that the model records, as all models
            that kapps built or fine-tuned do, or that its own first layers compute; a line on standard error says if
            neither is known. False for the model's own input, without `serve_bytes`.
        class_names: one name for each class, without line ends. They are stored in `assets/labels.txt`, and the graph
            looks them up in a table, which OpenVINO does not support.
        warm_up: whether the version holds warm-up requests, which the server runs before it is ready. None means True
            if tensorflow-serving-api is installed.
        tflite: whether the version also holds `model.tflite` in float32, which the server runs with
            --prefer_tflite_model (`./serve.sh --prefer_tflite_model`). It has the signature `serving_default` only,
            without `labels`. The model's inputs need a static size, but for the batch; recurrent layers, unroll=True.
        tokenizer: for a model of tokens, a `keras.layers.TextVectorization` with a vocabulary, output_mode="int" and
            the model's length as output_sequence_length; padding is 0. For a model of a source and a target,
            `kapps.data.text.SubwordVocabulary` of V tokens; token V starts a target, and token V + 1 ends it. For a
            model of an image and a target, `kapps.data.captions.CaptionWords`.
        new_tokens: the number of tokens that `continue_text` adds, and the largest number of words of `caption`.
        beam, length_penalty: for `translate` and `caption`, as for `kapps.translate`.
        verbose: 0 for no output; 1 for one line of progress on standard error.

    Returns:
        The path of the new version. It appears atomically: a failed export leaves nothing. `<directory>` also gets
        `models.config`, `batching.config` and `serve.sh`, which serves all models in it.

    Raises:
        ValueError: for a model that cannot be exported or whose name cannot be a directory's, a directory that cannot
            be written, and class names or a tokenizer that do not fit the model.
    """
    check_exportable(model)
    folder = local_path(directory) / check_file_name(model.name)
    image_preprocessing = preprocessing  # of an input that is captioned
    if isinstance(tokenizer, CaptionWords):
        preprocessing = None
    preprocessing = export_preprocessing(model, preprocessing, verbose)
    with phase(f"Exporting {model.name} as a SavedModel", verbose):
        network = inference_model(
            model, False if preprocessing is None else preprocessing, pack_binary=True
        )
        check_deterministic(network)
        text = text_signatures(
            network,
            tokenizer,
            preprocessing=image_preprocessing,
            new_tokens=new_tokens,
            beam=beam,
            length_penalty=length_penalty,
        )
        class_names = check_class_names(network, class_names)
        with temporary_directory_in(folder) as temporary:
            version = temporary / "version"
            labels = ClassLabels(temporary / "labels.txt", class_names) if class_names else None
            signatures = make_signatures(network, preprocessing, labels, text)
            resources = [labels.table] if labels else []
            resources += text.resources if text else []
            write_saved_model(version, signatures, resources)
            requests = example_requests(signatures)
            if tflite:
                lite = _lite_network(model, network, preprocessing)
                file = temporary / "lite" / FILE
                file.parent.mkdir()
                write_server_file(lite, file, make_signatures(lite)["serving_default"])
                os.rename(file, version / FILE)
                # A request for a signature that the file lacks would end the server.
                requests = {"serving_default": requests["serving_default"]}
            if _serving_config.can_warm_up() if warm_up is None else warm_up:
                _serving_config.write_warm_up(version, model.name, requests)
            path = _move_to_next_version(version, folder)
        _serving_config.write_server_config(folder.parent)
    return path


def _lite_network(model, network, preprocessing):
    """Returns the network for LiteRT: binary kernels are constants, because it has no operations on single bits."""
    if not has_layers(model, BinaryConv2D):
        return network
    return inference_model(
        model, False if preprocessing is None else preprocessing, pack_binary=False
    )


def _move_to_next_version(version: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Renames a written version to one more than the highest in the folder, and returns its path."""
    flush(version)
    while True:
        numbers = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
        path = folder / str(1 + max(numbers, default=0))
        try:
            os.rename(version, path)
            break
        except OSError:
            if not path.exists():
                raise
            # Another process wrote this version first: try the next number.
    sync(folder)
    return path
