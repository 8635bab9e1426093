"""captions.py with small settings, and its scores."""

import module_files
import numpy as np
import pytest
import recipe_process

from kapps.data import captions

SMALL = (
    "--scenes=8", "--test_images=4", "--batch_size=4", "--epochs=1", "--width=4", "--units=4", "--embedding=4",
    "--longest=8", "--beam=2", "--image_size=32",
)  # fmt: skip


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
    process = recipe_process.run("captions.py", tmp_path, *SMALL)
    assert process.returncode == 0, process.stderr[-3000:]
    folder = tmp_path / "run"
    text = (folder / "captions.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines()]
    boards = captions.make_digit_boards("validation", 4)
    assert [row[0] for row in rows] == list(boards.names)
    assert [row[2] for row in rows] == [caption for (caption,) in boards.captions]
    assert "sacreBLEU" in process.stdout and "equal to a reference" in process.stdout
    assert (folder / "attention.png").stat().st_size > 5000
    words = captions.CaptionWords.load(folder / "words.json")
    (exported,) = (tmp_path / "exported").glob("*_float32")
    names = {file.name for file in exported.iterdir()}
    assert names == {"encoder.tflite", "step.tflite", "words.json"}
    assert captions.CaptionWords.load(exported / "words.json") == words
    (saved_model,) = (tmp_path / "exported").glob("*/1")
    row = next(line for line in process.stdout.splitlines() if line.startswith(str(saved_model)))
    assert row.endswith("100%")


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "flags, word",
    [
        (["--tflite=int8"], "int8"),
        (["--test_split=train", "--scenes=8", "--test_images=4"], "--test_split=train"),
        (["--data_dir=missing"], "missing"),
        (["--weights=imagenet"], "--weights=imagenet"),
        (["--body=resnet20_cifar", "--width=4"], "--width=4"),
    ],
)
def test_mistakes_are_errors_of_one_line(mistaken, tmp_path, flags, word):
    recipe = recipe_process.RECIPES / "captions.py"
    assert word in mistaken(recipe, tmp_path, "--model_dir=no", "--export_dir=no", *flags)
