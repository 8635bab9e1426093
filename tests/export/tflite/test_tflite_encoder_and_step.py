"""A network of a source and a target, exported: two LiteRT files and the loop around them; text in and text out."""

import gzip
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import kapps
from kapps.data import text as text_data
from kapps.export.saved_model._byte_pairs import BytePairs
from kapps.export.tflite import _encoder_and_step as pairs
from kapps.export.tflite import operations as operations_of
from kapps.export.tflite import precision as precision_of
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
def learned():
    return text_data.subwords(TEXT, 300)


@pytest.fixture(scope="module")
def model(learned):
    keras.utils.set_random_seed(3)
    sizes = dict(layers=1, d_model=8, ffn=16, heads=2)
    model = kapps.families.transformer(vocabulary=learned.size + 2, **sizes)
    for variable in model.trainable_variables:
        variable.assign(variable * 2)
    return model


def numbers(learned, lines, time=24):
    found = np.zeros((len(lines), time), "int32")
    for row, line in zip(found, lines, strict=True):
        tokens = learned.encode(line)
        row[: len(tokens)] = tokens
    return found


def agree(learned, lines):
    graph = BytePairs(learned)
    encode = tf.function(graph.encode, input_signature=[tf.TensorSpec([None], tf.string)])
    for at in range(0, len(lines), 512):
        part = lines[at : at + 512]
        found = encode(tf.constant(part)).numpy()
        expected = [learned.encode(line) for line in part]
        assert [row[row > 0].tolist() for row in found] == [row.tolist() for row in expected]
        texts = graph.decode(tf.constant(found)).numpy()
        assert [text.decode() for text in texts] == [learned.decode(row) for row in expected]


def test_subwords_of_a_graph_are_the_librarys(learned):
    agree(learned, [*HARD, *TEXT.splitlines()])
    cut = learned.encode("x 語")[:-1]  # a character whose last byte is missing
    found = BytePairs(learned).decode(tf.constant([cut])).numpy()[0].decode()
    assert found == learned.decode(cut) and found.endswith("\ufffd")


def test_subwords_of_real_sentences():
    folder = os.environ.get("KAPPS_TEST_DATA")
    if not folder or not (files := sorted(pathlib.Path(folder).glob("multi30k/*.gz"))):
        pytest.skip("KAPPS_TEST_DATA names no directory with multi30k/*.gz")
    lines = []
    for file in files:
        with gzip.open(file, "rt", encoding="utf8") as text:
            lines += text.read().splitlines()
    agree(text_data.subwords("\n".join(lines[::50]), 1500), lines)


def test_other_settings_of_the_library_are_refused(learned):
    other = learned.to_json().replace('"add_prefix_space":false', '"add_prefix_space":true', 1)
    with pytest.raises(ValueError, match="whole words alone"):
        BytePairs(text_data.SubwordVocabulary(other))


PROGRAM = """
import sys
import tensorflow as tf
signatures = tf.saved_model.load(sys.argv[1]).signatures
for text in signatures["translate"](text=tf.constant(sys.argv[2:]))["text"].numpy():
    print("line", repr(text.decode()))
assert not [name for name in sys.modules if name.startswith("kapps")]
"""


@pytest.mark.long
def test_a_saved_model_translates_text_without_kapps(model, learned, tmp_path):
    path = kapps.export.saved_model(model, tmp_path, tokenizer=learned, beam=2)
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), *LINES],
        capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    start, end = learned.size, learned.size + 1
    expected = text_generation.translate(
        model, numbers(learned, LINES), start=start, end=end, beam=2, never=(1, start)
    )
    texts = [learned.decode(row[row < start]) for row in expected]
    found = [line for line in ran.stdout.splitlines() if line.startswith("line ")]
    assert found == [f"line {text!r}" for text in texts]
    assert len(set(texts)) == len(texts), "each source has its own"


def test_subwords_that_do_not_fit_are_refused(model, tmp_path):
    with pytest.raises(ValueError, match="subwords go with") as caught:
        kapps.export.saved_model(model, tmp_path, tokenizer=text_data.subwords(TEXT, 280))
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_two_litert_files_write_the_same_words(model, learned, tmp_path):
    kapps.export.tflite_encoder_and_step(model, tmp_path, source_length=24, length=12)
    for name in ("encoder", "step"):
        operations = operations_of(tmp_path / f"{name}.tflite")
        assert not [one for one in operations if one.startswith(("CUSTOM", "Flex", "WHILE"))]
    files, both = kapps.export.load_tflite_encoder_and_step(tmp_path), step_models.encoder_and_step(model)
    source = numbers(learned, LINES)
    target = np.random.default_rng(0).integers(2, learned.size, (4, 12), "int32")
    for (given, found), (_, expected) in zip(
        pairs.taught(files, source, target), pairs.taught(both, source, target), strict=True
    ):
        assert given["target"].shape == (4, 1)
        np.testing.assert_allclose(found["logits"], expected["logits"], atol=1e-4)
    for beam in (None, 3):
        its = dict(start=learned.size, end=learned.size + 1, beam=beam, steps=10)
        found = text_generation.translate(files, source, **its)
        np.testing.assert_array_equal(found, text_generation.translate(both, source, **its))


def test_int8_of_a_step_with_attention_in_float(model, learned, tmp_path):
    source = numbers(learned, LINES[:2] * 8, 8)
    target = np.random.default_rng(0).integers(2, learned.size, (16, 6), "int32")
    known = pairs.sampled(model, source, target, 40)
    one = step_models.encoder_and_step(model, batch=1, length=6, source_length=8).step
    how = dict(precision="int8", calibration=known, float_operations=pairs.FLOATS)
    file = kapps.export.TFLiteStepModel(kapps.export.tflite(one, tmp_path / "step.tflite", **how))
    found = file.predict_on_batch(known)["logits"]
    expected = step_models.encoder_and_step(model).step.predict_on_batch(known)["logits"]
    assert 0 < np.abs(found - expected).max() < 0.1 * np.ptp(expected)
    assert precision_of(file.path) == "int8"


@pytest.mark.parametrize("right, tried", [(98, 1), (97, 3)])
def test_int8_is_what_chooses_the_same_words(model, tmp_path, monkeypatch, right, tried):
    """Of 100 words, so many as in float32: from 98 on all is int8, below attention is not, at last no value is."""
    written, said = [], iter([np.zeros(100), *[np.arange(100) >= right] * 3])
    monkeypatch.setattr(pairs, "words", lambda *_: next(said))
    monkeypatch.setattr(pairs, "load_tflite_encoder_and_step", lambda _: None)
    monkeypatch.setattr(pairs, "tflite", lambda _, path, **how: written.append((path.name, how)))
    tokens = np.ones((2, 4), "int32")
    kapps.export.tflite_encoder_and_step(model, tmp_path, precision="int8", calibration=(tokens, tokens))
    steps = [how for name, how in written if name == "step.tflite"]
    assert len(steps) == tried == len(written) / 2
    assert [how["precision"] for how in steps] == ["int8", "int8", "dynamic"][:tried]
    assert [how.get("float_operations") for how in steps] == [None, pairs.FLOATS, None][:tried]


def test_refusals(model, tmp_path):
    tokens = np.ones((3, 4), int)
    for options, said in (
        (dict(precision="int8"), "needs calibration"),
        (dict(calibration=(tokens, tokens)), "takes no calibration"),
        (dict(precision="int4"), "precision is one of"),
    ):
        with pytest.raises(ValueError, match=said):
            kapps.export.tflite_encoder_and_step(model, tmp_path / "pair", **options)
    one = step_models.encoder_and_step(model, batch=1, length=4, source_length=4).step
    with pytest.raises(ValueError, match="takes no float_operations"):
        kapps.export.tflite(one, tmp_path / "step.tflite", float_operations=["SOFTMAX"])
    assert not (tmp_path / "pair" / "step.tflite").exists()
