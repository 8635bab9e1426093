"""captions.py with small settings, and its scores."""

import pathlib

import module_files
import numpy as np
import pytest
import recipe_process

from kapps.data import captions

SMALL = (
    "--scenes=8 --test_images=4 --batch_size=4 --epochs=1 --width=4 --units=4 --embedding=4 --longest=8 --beam=2 "
    "--image_size=32 --model_dir=run --export_dir=exported"
)


@pytest.fixture(scope="module")
def results():
    pytest.importorskip("sacrebleu")
    return module_files.load("recipes/common/caption_results.py")


@pytest.mark.tensorflow
def test_scores_have_all_references_without_case_and_punctuation(results):
    texts = ["a dog runs on the grass", "a cat sits on a chair now"]
    references = (("Nothing.", "A dog runs, on the grass!"), ("a bird flies over a tree",))
    source = captions.CaptionedImages("x", "test", ("a", "b"), references, ("a", "b"))
    (name, bleu, signature), (_, equal, _) = results.compute_scores(texts, source)
    assert name == "sacreBLEU" and equal == 50 and 0 < bleu < 100 and "nrefs" in signature
    one = captions.CaptionedImages("x", "test", ("a",), (references[0],), ("a",))
    assert results.compute_scores(texts[:1], one)[0][1] == pytest.approx(100)


@pytest.mark.tensorflow
def test_pointing_counts_digits_of_correct_captions(results):
    boards = captions.make_digit_boards("validation", 6)
    texts = [caption for (caption,) in boards.captions]
    maps = []
    for cells in boards.cells:
        values = np.zeros((len(cells) + 1, 3, 3))
        for weights, inside in zip(values, cells, strict=False):
            weights.flat[inside[0] if inside else 0] = 1
        maps.append(values)
    assert results.pointing(maps, texts, boards) == 100
    assert results.pointing(maps, ["a wrong one"] * 6, boards) == 0
    maps[0] = maps[0][:, ::-1, ::-1]
    assert 0 < results.pointing(maps, texts, boards) < 100


@pytest.mark.long
@pytest.mark.tensorflow
def test_small_run_writes_captions_attention_and_files(tmp_path):
    pytest.importorskip("sacrebleu")
    runs = [
        SMALL,
        "--level=5 --scenes=8 --test_images=4 --batch_size=4 --model_dir=no",
        "--tflite=int8 --model_dir=no",
        "--data_dir=missing --model_dir=no",
        "--weights=imagenet --model_dir=no",
        "--test_split=train --scenes=8 --model_dir=no",
    ]
    output, errors = recipe_process.run_small("captions", tmp_path, runs)
    folder = tmp_path / "run"
    rows = [
        line.split("\t")
        for line in pathlib.Path(folder / "captions.tsv").read_text(encoding="utf-8").splitlines()
    ]
    boards = captions.make_digit_boards("validation", 4)
    assert [row[0] for row in rows] == list(boards.names)
    assert [row[2] for row in rows] == [caption for (caption,) in boards.captions]
    assert "sacreBLEU" in output and "equal to a reference" in output
    assert (folder / "attention.png").stat().st_size > 5000
    words = captions.CaptionWords.load(folder / "words.json")
    (exported,) = (tmp_path / "exported").iterdir()
    assert {file.name for file in exported.iterdir()} == {
        "encoder.tflite",
        "step.tflite",
        "words.json",
    }
    assert captions.CaptionWords.load(exported / "words.json") == words
    for text, error in zip(
        ("--level=5", "int8", "missing", "imagenet", "--test_split"), errors, strict=True
    ):
        assert text in error
    assert not (tmp_path / "no" / "run.json").exists()
