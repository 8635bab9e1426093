"""Exported files of translation models, compared with the model on a few sentences."""

import functools
import pathlib

import keras
import numpy as np
import tensorflow as tf

from common import translation_corpus
from kapps import _files, export
from kapps._values import short
from kapps.generation import text_generation

FILE_LENGTH = 64
"""Maximum tokens of a source and of a target in the exported files."""
CALIBRATION_SENTENCES, VERIFICATION_SENTENCES = 200, 20


def export_all(model, tokens, pairs, export_dir, translator, *, precisions, **options):
    """Writes a SavedModel and the .tflite files of each precision. Returns table rows.

    A file that cannot be written has one line that says why, and the others are written.

    Args:
        model, tokens, pairs, export_dir, translator, **options: as for `export_tflite` and `export_saved_model`.
        precisions: of the .tflite files.
    """
    rows = []
    if tokens.joint:  # the graph of a SavedModel has one vocabulary
        write = functools.partial(export_saved_model, translator=translator, **options)
        rows += _try_export("SavedModel", write, model, tokens, pairs, export_dir=export_dir)
    for precision in precisions:
        write = functools.partial(export_tflite, precision=precision, export_dir=export_dir)
        rows += _try_export(f".tflite files in {precision}", write, model, tokens, pairs)
    return rows


def _try_export(what, write, model, *arguments, **options):
    """Returns a list with the row of an export, or prints why it failed and returns an empty list."""
    try:
        return [write(model, *arguments, **options)]
    except (ValueError, RuntimeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        print(f"no {what} of {model.name}: {short(reason, 300)[1:-1]}", flush=True)
        return []


def export_tflite(model, tokens, pairs, precision, export_dir):
    """Writes `encoder.tflite` and `step.tflite`. Returns a table row with their size and agreement with the model.

    Args:
        model: the translation model.
        tokens: the `kapps.data.translation.VocabularyPair` of the model.
        pairs: source sentences and target sentences, for calibration and verification.
        precision: precision of the files.
        export_dir: directory of the folder with the files.
    """
    folder = pathlib.Path(export_dir, f"{model.name}_{precision}")
    pairs = [side[:CALIBRATION_SENTENCES] for side in pairs]
    x = tokens.encode_sources(pairs[0], FILE_LENGTH)
    calibration = None
    if precision == "int8":
        rows = [
            np.append(tokens.start, row)[:FILE_LENGTH] for row in tokens.target.encode_all(pairs[1])
        ]
        calibration = x, keras.utils.pad_sequences(rows, FILE_LENGTH, padding="post")
    export.tflite_encoder_and_step(
        model,
        folder,
        source_length=FILE_LENGTH,
        length=FILE_LENGTH,
        precision=precision,
        calibration=calibration,
    )
    with _files.write_atomically(folder / "vocabulary.json") as path:
        path.write_text(tokens.target.to_json(), encoding="utf-8")
    outputs = [
        text_generation.translate(
            runner,
            x[:VERIFICATION_SENTENCES],
            start=tokens.start,
            end=tokens.end,
            beam=1,
            steps=FILE_LENGTH,
        )
        for runner in (model, export.load_tflite_encoder_and_step(folder))
    ]
    width = max(output.shape[1] for output in outputs)
    expected, actual = (
        np.pad(output, ((0, 0), (0, width - output.shape[1]))) for output in outputs
    )
    size = sum(file.stat().st_size for file in folder.glob("*.tflite")) / 1e6
    return (
        str(folder),
        precision,
        f"{size:.1f} MB",
        f"{(expected == actual).all(axis=1).mean():.0%}",
    )


def export_saved_model(model, tokens, pairs, export_dir, translator, **options):
    """Writes a SavedModel from text to text. Returns a table row as `export_tflite` does.

    Args:
        model, tokens, pairs, export_dir: as for `export_tflite`.
        translator: the decoding loop of the model, with the same options.
        **options: beam and length penalty of `kapps.export.saved_model`.
    """
    path = export.saved_model(model, export_dir, tokenizer=tokens.target, **options)
    sentences = [sentence for sentence in pairs[0] if sentence][:VERIFICATION_SENTENCES]
    signature = export.runtime.load_saved_model(path).signatures["translate"]
    actual = [
        text.decode().strip() for text in signature(text=tf.constant(sentences))["text"].numpy()
    ]
    expected = translation_corpus.translate(translator, tokens, sentences, longest=256)
    equal = sum(a == b for a, b in zip(actual, expected, strict=True)) / len(actual)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6
    return str(path), "float32", f"{size:.1f} MB", f"{equal:.0%}"
