"""The recipe of translators end to end on made-up sentences: what it says, keeps, draws, and translates when asked."""

import gzip
import json
import os
import pathlib
import random
import re
import subprocess
import sys

import keras
import pytest

from kapps.data import translation

RECIPE = pathlib.Path(__file__).parents[2] / "recipes" / "translation.py"
WORDS = {
    "a": "ein",
    "dog": "Hund",
    "cat": "Kater",
    "sees": "sieht",
    "hears": "hört",
    "old": "alter",
}


def run(folder, *flags, typed=None):
    command = [sys.executable, str(RECIPE), "--model_dir=run", "--export_dir=exported", *flags]
    path = os.pathsep.join([str(RECIPE.parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, input=typed
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of a few steps."""
    folder = tmp_path_factory.mktemp("translation")
    draw = random.Random(0)
    for part, count in (("train", 120), ("val", 12), ("test", 6)):
        sentences = [draw.choices(list(WORDS), k=draw.randint(3, 6)) for _ in range(count)]
        translated = [[WORDS[word] for word in each] for each in sentences]
        for language, each in (("en", sentences), ("de", translated)):
            content = "\n".join(map(" ".join, each)) + "\n"
            (folder / f"{part}.{language}.gz").write_bytes(gzip.compress(content.encode()))
    done = run(
        folder, "--data=.", "--pair=en-de", "--test=test", "--vocabulary=290", "--tokens=256", "--epochs=8",
        "--learning_rate=0.01", "--warmup=10", "--average=2", "--beam=1", "--longest=12",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "printed.txt").write_text(done.stdout)
    return folder


@pytest.mark.long
def test_learns_and_says_how_well(folder):
    record = json.loads((folder / "run" / "run.json").read_text())["results"]
    assert record["after"]["perplexity"] < 0.5 * record["before"]["perplexity"]
    printed = (folder / "printed.txt").read_text()
    assert "120 pairs, 0 empty ones left out, 0 long ones left out" in printed
    assert "by the mean of the last 2 epochs' weights" in printed and "tokens/s" in printed
    for row in ("sacreBLEU: transformer_small", "case:mixed", "case:lc", "of 6 are word for word"):
        assert row in printed
    assert "published" not in printed, "these are no sentences of Multi30k"
    for file in ("curves.png", "alignment.png", "history.csv", "translations.tsv"):
        assert (folder / "run" / file).stat().st_size > 100
    assert re.search(r"transformer_small_float32 +float32 .*100%", printed)
    exported = folder / "exported" / "transformer_small_float32"
    assert {file.name for file in exported.iterdir()} == {
        "encoder.tflite",
        "step.tflite",
        "vocabulary.json",
    }


@pytest.mark.long
def test_translates_what_is_typed_as_it_scored(folder):
    lines = (folder / "run" / "translations.tsv").read_text().splitlines()
    assert len(lines) == 6
    source, found, _ = lines[0].split("\t")
    assert found
    done = run(
        folder, f"--translate={source}", "--interactive", "--beam=1", "--longest=12", typed=f"\n{source}\n"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split("\n") == [found, "", found, ""]


@pytest.mark.long
def test_what_is_kept_fits_together(folder):
    tokens = translation.VocabularyPair.load(folder / "run" / "vocabulary.json")
    model = keras.saving.load_model(folder / "run" / "model.keras", safe_mode=True)
    assert model.output_shape == (None, None, tokens.vocabulary)


def test_german_numbers():
    sys.path.insert(0, str(RECIPE.parent))
    from common import translation_corpus

    # https://www.duden.de writes all below a million as one word.
    for number, said in (
        (0, "null"), (1, "eins"), (16, "sechzehn"), (17, "siebzehn"), (21, "einundzwanzig"), (30, "dreißig"),
        (101, "einhunderteins"), (121, "einhunderteinundzwanzig"), (2116, "zweitausendeinhundertsechzehn"),
        (1001, "eintausendeins"), (9999, "neuntausendneunhundertneunundneunzig"),
    ):  # fmt: skip
        assert translation_corpus.german(number) == said


def test_words_are_put_together_from_subwords():
    sys.path.insert(0, str(RECIPE.parent))
    from common import translation_corpus

    pieces = ["A", " dog", " run", "s", ".", "</s>"]
    assert translation_corpus.words(pieces) == [[0], [1], [2, 3], [4], [5]]
