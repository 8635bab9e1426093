"""What generation, verification and export of a text model would report is reported before training."""

import pathlib

import module_files
import numpy as np
import pytest

RECIPES = pathlib.Path(__file__).parents[2] / "recipes"
SENTENCE = "the quick brown fox jumps over the lazy dog. "
LINES = [SENTENCE[i : i + 20] for i in range(20)]

LANGUAGE_MODEL = {  # (content of the text, flags, words of the message)
    "NUL": (SENTENCE * 20 + "\n\0" + SENTENCE, [], ["text.txt", "line 2", "NUL"]),
    "Latin-1": (f"a\n{SENTENCE * 9}ö".encode("latin-1"), [], ["text.txt", "line 2", "UTF-8"]),
    "one symbol": ("a" * 500, [], ["text.txt", "equal"]),
    "one word": ("ab " * 500, ["--tokens=words"], ["text.txt", "equal"]),
    "no letters": ("1 2 3 " * 500, ["--only_letters"], ["equal"]),
    "no words": ("\v\f \n" * 50, ["--tokens=words"], ["no text"]),
    "short validation": (SENTENCE * 3, ["--validation=0.04"], ["validation", "--length=5"]),
    "int8": (SENTENCE * 20, ["--tflite=int8"], ["--tflite=int8", "dynamic"]),
    "int16": (SENTENCE * 20, ["--tflite=float32", "--tflite=int16"], ["--tflite=int16"]),
    "prompt": (SENTENCE * 20, ["--tokens=words", "--prompt= "], ["--prompt=' '", "words"]),
    "bytes in the prompt": (SENTENCE * 20, ["--prompt=\udcf6"], ["--prompt='\\udcf6'", "UTF-8"]),
}


@pytest.mark.long
@pytest.mark.parametrize("case", LANGUAGE_MODEL.values(), ids=LANGUAGE_MODEL.keys())
def test_a_language_model_that_cannot_be_exported_is_not_trained(tmp_path, mistaken, case):
    content, flags, words = case
    content = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "text.txt").write_bytes(content)
    flags = ["--text=text.txt", "--epochs=1", "--units=4", "--batch_size=2", "--length=5", *flags]
    line = mistaken(RECIPES / "language_model.py", tmp_path, *flags)
    assert all(word in line for word in words), line
    assert not (tmp_path / "runs/language_model/history.csv").exists()


TRANSLATION = {  # (changed files, flags, words of the message)
    "NUL": ({"train.en": ["a\0b"] * 20}, [], ["train.en", "line 1", "NUL"]),
    "UTF-16 without mark": ({"val.de": "a\nb".encode("utf-16-le")}, [], ["val.de", "NUL"]),
    "Latin-1": ({"train.de": "ö\n".encode("latin-1") * 20}, [], ["train.de", "line 1", "UTF-8"]),
    "fewer lines": ({"test.en": LINES[:-1]}, [], ["test.en", "19", "20"]),
    "empty test": ({"test.de": [""] * 20}, [], ["--test", "empty"]),
    "empty validation": ({"val.de": [""] * 20}, [], ["--validation", "empty"]),
    "int16": ({}, ["--tflite=int16"], ["--tflite=int16", "dynamic"]),
    "no file": ({"train.de": None}, [], ["train.de", "no file"]),
    "option": (
        {},
        ["--model=nmt_small", "--option=heads=2"],
        ["--option=heads=2", "decoder_layers"],
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("case", TRANSLATION.values(), ids=TRANSLATION.keys())
def test_a_translation_model_that_cannot_be_exported_is_not_trained(tmp_path, mistaken, case):
    changed, flags, words = case
    files = {f"{part}.{side}": LINES for part in ("train", "val", "test") for side in ("de", "en")}
    for name, content in (files | changed).items():
        if isinstance(content, list):
            content = "".join(line + "\n" for line in content).encode()
        if content is not None:
            (tmp_path / name).write_bytes(content)
    line = mistaken(RECIPES / "translation.py", tmp_path, "--data=.", "--test=test", *flags)
    assert all(word in line for word in words), line


MAPPINGS = {
    "blank label": ("0 good\n1 bad\n good\n" * 5, ["line 3", "label"]),
    "other label": ("0 good\n2 bad\n" * 9, ["line 2", "'2 bad'"]),
    "no text": ("0 good\n1\n" * 9, ["line 2"]),
    "one label": ("0 good\n" * 20, ["label 0", "both"]),
    "few": ("0 good\n1 bad\n", ["2 texts"]),
    "NUL": ("0 good\n1 b\0d\n" * 9, ["line 2", "NUL"]),
    "nothing": ("\n", ["no labelled line"]),
}


@pytest.fixture(scope="module")
def mapping_tasks():
    return module_files.load("recipes/common/mapping_tasks.py")


@pytest.mark.parametrize("case", MAPPINGS.values(), ids=MAPPINGS.keys())
def test_labelled_lines_without_label_or_text_are_named(tmp_path, mapping_tasks, case):
    content, words = case
    (tmp_path / "lines.txt").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError) as error:
        mapping_tasks.classify_texts(tmp_path / "lines.txt", 4, "lstm", np.random.default_rng(0))
    assert all(word in str(error.value) for word in ["lines.txt", *words]), str(error.value)
