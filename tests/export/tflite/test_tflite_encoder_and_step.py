"""Exports of a model of a source and a target: two .tflite files, and a SavedModel that translates text."""

import gzip
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import kapps
from kapps.data.text import SubwordVocabulary, subwords
from kapps.export.runtime._allowed_operations import ALLOWED
from kapps.export.runtime._check_saved_model import check_saved_model
from kapps.export.saved_model._byte_pairs import BytePairs
from kapps.export.tflite import _encoder_and_step, file_operations, file_precision
from kapps.generation import step_models, text_generation

TEXT = (
    "a dog runs in the park. ein Hund läuft im Park. two men are talking; zwei Männer reden!\n" * 3
)
LINES = ["a dog runs", "zwei Männer reden!", "", "the  park"]
HARD = [
    "", " ", "a  b   c", "\t\tx  ", "don't we'll I'M it's", "  lead", "x\u00a0\u00a0y \u3000z",
    "日本語テスト 12\uff13 ½ — …",
    "e\u0301 naïve 😀😀!!", "a\n\nb \n c", "\x0b\x85 q", "!!  ??", "''s 's", "x1y2 3.14%", "aaaaaaaaaaaaa",
]  # fmt: skip


@pytest.fixture(scope="module")
def vocabulary():
    return subwords(TEXT, 300)


@pytest.fixture(scope="module")
def model(vocabulary):
    keras.utils.set_random_seed(3)
    sizes = dict(layers=1, d_model=8, ffn=16, heads=2)
    model = kapps.families.transformer(vocabulary=vocabulary.size + 2, **sizes)
    for variable in model.trainable_variables:
        variable.assign(variable * 2)
    return model


def to_tokens(vocabulary, lines, time=24):
    rows = np.zeros((len(lines), time), "int32")
    for row, line in zip(rows, lines, strict=True):
        tokens = vocabulary.encode(line)
        row[: len(tokens)] = tokens
    return rows


def assert_same_as_library(vocabulary, lines):
    graph = BytePairs(vocabulary)
    encode = tf.function(graph.encode, input_signature=[tf.TensorSpec([None], tf.string)])
    for start in range(0, len(lines), 512):
        part = lines[start : start + 512]
        tokens = encode(tf.constant(part)).numpy()
        expected = [vocabulary.encode(line) for line in part]
        assert [row[row > 0].tolist() for row in tokens] == [row.tolist() for row in expected]
        texts = graph.decode(tf.constant(tokens)).numpy()
        assert [text.decode() for text in texts] == [vocabulary.decode(row) for row in expected]


def test_subwords_in_the_graph_are_those_of_the_library(vocabulary):
    assert_same_as_library(vocabulary, [*HARD, *TEXT.splitlines()])
    cut = vocabulary.encode("x 語")[:-1]  # a character whose last byte is missing
    text = BytePairs(vocabulary).decode(tf.constant([cut])).numpy()[0].decode()
    assert text == vocabulary.decode(cut) and text.endswith("\ufffd")


@pytest.mark.long
def test_subwords_of_real_sentences(shared_data):
    lines = []
    for file in sorted(shared_data("multi30k").glob("*.gz")):
        with gzip.open(file, "rt", encoding="utf8") as text:
            lines += text.read().splitlines()
    assert_same_as_library(subwords("\n".join(lines[::50]), 1500), lines)


def test_other_settings_of_the_library_raise(vocabulary):
    other = vocabulary.to_json().replace('"add_prefix_space":false', '"add_prefix_space":true', 1)
    with pytest.raises(ValueError, match="prefix space"):
        BytePairs(SubwordVocabulary(other))


PROGRAM = """
import sys
import tensorflow as tf
signatures = tf.saved_model.load(sys.argv[1]).signatures
for text in signatures["translate"](text=tf.constant(sys.argv[2:]))["text"].numpy():
    print("line", repr(text.decode()))
assert not [name for name in sys.modules if name.startswith("kapps")]
"""


@pytest.mark.long
def test_a_saved_model_translates_text_without_kapps(model, vocabulary, tmp_path):
    path = kapps.export.saved_model(model, tmp_path, tokenizer=vocabulary, beam=2)
    check_saved_model(str(path), ALLOWED)
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), *LINES],
        capture_output=True, text=True, cwd=tmp_path, check=True, encoding="utf-8"
    )  # fmt: skip
    start, end = vocabulary.size, vocabulary.size + 1
    expected = text_generation.translate(
        model, to_tokens(vocabulary, LINES), start=start, end=end, beam=2, never=(1, start)
    )
    texts = [vocabulary.decode(row[row < start]) for row in expected]
    lines = [line for line in process.stdout.splitlines() if line.startswith("line ")]
    assert lines == [f"line {text!r}" for text in texts]
    assert len(set(texts)) == len(texts), "each source has another translation"


def test_subwords_that_do_not_fit_raise(model, tmp_path):
    with pytest.raises(ValueError, match=r"\d+ tokens.*subwords need") as error:
        kapps.export.saved_model(model, tmp_path, tokenizer=subwords(TEXT, 280))
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


@pytest.mark.long
def test_two_tflite_files_translate_as_the_model(model, vocabulary, tmp_path):
    kapps.export.tflite_encoder_and_step(model, tmp_path, source_length=24, length=12)
    for name in ("encoder", "step"):
        operations = file_operations(tmp_path / f"{name}.tflite")
        assert not [name for name in operations if name.startswith(("CUSTOM", "Flex", "WHILE"))]
    files, models = (
        kapps.export.load_tflite_encoder_and_step(tmp_path),
        step_models.encoder_and_step(model),
    )
    source = to_tokens(vocabulary, LINES)
    target = np.random.default_rng(0).integers(2, vocabulary.size, (4, 12), "int32")
    steps, expected_steps = (
        _encoder_and_step.teacher_forcing(part, source, target) for part in (files, models)
    )
    for (inputs, outputs), (_, expected) in zip(steps, expected_steps, strict=True):
        assert inputs["target"].shape == (4, 1)
        np.testing.assert_allclose(outputs["logits"], expected["logits"], atol=1e-4)
    for beam in (None, 3):
        options = dict(start=vocabulary.size, end=vocabulary.size + 1, beam=beam, steps=10)
        tokens = text_generation.translate(files, source, **options)
        expected = text_generation.translate(models, source, **options)
        np.testing.assert_array_equal(tokens, expected)


@pytest.mark.long
def test_int8_of_a_step_with_attention_in_float(model, vocabulary, tmp_path):
    source = to_tokens(vocabulary, LINES[:2] * 8, 8)
    target = np.random.default_rng(0).integers(2, vocabulary.size, (16, 6), "int32")
    calibration = _encoder_and_step.sample_step_inputs(model, source, target, 40)
    step = step_models.encoder_and_step(model, batch=1, length=6, source_length=8).step
    options = dict(
        precision="int8",
        calibration=calibration,
        float_operations=_encoder_and_step.FLOAT_OPERATIONS,
    )
    file = kapps.export.TFLiteStepModel(
        kapps.export.tflite(step, tmp_path / "step.tflite", **options)
    )
    logits = file.predict_on_batch(calibration)["logits"]
    expected = step_models.encoder_and_step(model).step.predict_on_batch(calibration)["logits"]
    assert 0 < np.abs(logits - expected).max() < 0.1 * np.ptp(expected)
    assert file_precision(file.path) == "int8"


@pytest.mark.parametrize("same_tokens, attempts", [(98, 1), (97, 3)])
def test_int8_keeps_the_most_likely_tokens(model, tmp_path, monkeypatch, same_tokens, attempts):
    """If less than 98 of 100 tokens are those of float32, fewer operations are in int8 in the next attempt."""
    predictions = iter([np.zeros(100), *[np.arange(100) >= same_tokens] * 3])
    exports = []
    for name, function in {
        "predicted_tokens": lambda *_: next(predictions),
        "load_tflite_encoder_and_step": lambda _: None,
        "tflite": lambda _, path, **options: exports.append((path.name, options)),
    }.items():
        monkeypatch.setattr(_encoder_and_step, name, function)
    tokens = np.ones((2, 4), "int32")
    kapps.export.tflite_encoder_and_step(
        model, tmp_path, precision="int8", calibration=(tokens, tokens)
    )
    steps = [options for name, options in exports if name == "step.tflite"]
    assert len(steps) == attempts == len(exports) / 2
    assert [options["precision"] for options in steps] == ["int8", "int8", "dynamic"][:attempts]
    float_operations = [None, _encoder_and_step.FLOAT_OPERATIONS, None][:attempts]
    assert [options.get("float_operations") for options in steps] == float_operations


def test_options_that_contradict_each_other_raise(model, tmp_path):
    tokens = np.ones((3, 4), int)
    for options, message in (
        (dict(precision="int8"), "int8.* needs calibration"),
        (dict(calibration=(tokens, tokens)), "float32.* takes no calibration"),
        (dict(precision="int4"), "precision is one of.*int4"),
    ):
        with pytest.raises(ValueError, match=message):
            kapps.export.tflite_encoder_and_step(model, tmp_path / "pair", **options)
    step = step_models.encoder_and_step(model, batch=1, length=4, source_length=4).step
    with pytest.raises(ValueError, match="takes no float_operations"):
        kapps.export.tflite(step, tmp_path / "step.tflite", float_operations=["SOFTMAX"])
    assert not (tmp_path / "pair" / "step.tflite").exists()
