"""translation.py end to end on generated sentences: output, files, plots, and translation of input text."""

import functools
import gzip
import json
import random
import re

import keras
import module_files
import pytest
import recipe_process

from kapps.data import translation

WORDS = {
    "a": "ein",
    "dog": "Hund",
    "cat": "Kater",
    "sees": "sieht",
    "hears": "hört",
    "old": "alter",
}


run = functools.partial(recipe_process.run, "translation.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a short run."""
    folder = tmp_path_factory.mktemp("translation")
    generator = random.Random(0)
    for part, count in (("train", 120), ("val", 12), ("test", 6)):
        sentences = [
            generator.choices(list(WORDS), k=generator.randint(3, 6)) for _ in range(count)
        ]
        translated = [[WORDS[word] for word in sentence] for sentence in sentences]
        for language, side in (("en", sentences), ("de", translated)):
            content = "\n".join(map(" ".join, side)) + "\n"
            (folder / f"{part}.{language}.gz").write_bytes(gzip.compress(content.encode()))
    process = run(
        folder, "--data=.", "--pair=en-de", "--test=test", "--vocabulary=290", "--tokens=256", "--epochs=8",
        "--learning_rate=0.01", "--warmup=10", "--average=2", "--beam=1", "--longest=12",
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-3000:]
    (folder / "printed.txt").write_text(process.stdout, encoding="utf-8")
    return folder


@pytest.mark.long
def test_training_lowers_the_perplexity_and_prints_bleu(folder):
    record = json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))["results"]
    assert record["after"]["perplexity"] < 0.5 * record["before"]["perplexity"]
    printed = (folder / "printed.txt").read_text(encoding="utf-8")
    assert "120 pairs, 0 empty pairs skipped, 0 long pairs skipped" in printed
    assert "with the mean of the last 2 epochs" in printed and "tokens/s" in printed
    for row in (
        "sacreBLEU: transformer_small",
        "case:mixed",
        "case:lc",
        "of 6 translations equal the reference",
    ):
        assert row in printed
    assert "published" not in printed, "the sentences are not from Multi30k"
    for file in ("curves.png", "attention.png", "history.csv", "translations.tsv"):
        assert (folder / "run" / file).stat().st_size > 100
    assert re.search(r"transformer_small_float32 +float32 .*100%", printed)
    exported = folder / "exported" / "transformer_small_float32"
    assert {file.name for file in exported.iterdir()} == {
        "encoder.tflite",
        "step.tflite",
        "vocabulary.json",
    }


@pytest.mark.long
def test_input_text_is_translated_as_in_the_evaluation(folder):
    lines = (folder / "run" / "translations.tsv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 6
    source, output, _ = lines[0].split("\t")
    assert output
    process = run(
        folder, f"--translate={source}", "--interactive", "--beam=1", "--longest=12", typed=f"\n{source}\n"
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-3000:]
    assert process.stdout.split("\n") == [output, "", output, ""]


@pytest.mark.long
def test_saved_model_and_vocabulary_match(folder):
    tokens = translation.VocabularyPair.load(folder / "run" / "vocabulary.json")
    model = keras.saving.load_model(folder / "run" / "model.keras", safe_mode=True)
    assert model.output_shape == (None, None, tokens.vocabulary)


def test_german_numbers():
    translation_corpus = module_files.load("recipes/common/translation_corpus.py")
    # https://www.duden.de writes all below a million as one word.
    for number, word in (
        (0, "null"), (1, "eins"), (16, "sechzehn"), (17, "siebzehn"), (21, "einundzwanzig"), (30, "dreißig"),
        (101, "einhunderteins"), (121, "einhunderteinundzwanzig"), (2116, "zweitausendeinhundertsechzehn"),
        (1001, "eintausendeins"), (9999, "neuntausendneunhundertneunundneunzig"),
    ):  # fmt: skip
        assert translation_corpus.number_words.spell_german(number) == word


def test_subwords_are_grouped_to_words():
    translation_corpus = module_files.load("recipes/common/translation_corpus.py")
    texts = ["A", " dog", " run", "s", ".", "</s>"]
    assert translation_corpus.group_subwords(texts) == [[0], [1], [2, 3], [4], [5]]
