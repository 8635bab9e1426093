"""self_attentive.py with small settings, and its sentences."""

import csv

import keras
import module_files
import numpy as np
import pytest
import recipe_process

import kapps

NAMES = ["who", "what", "when"]
LINES = "".join(f"{i % 3} {NAMES[i % 3]} is the name of number {i} here ?\n" for i in range(40))
SMALL = (
    "--data=lines.txt --steps=2 --batch_size=2 --embedding=2 --units=2 --attention_units=2 --hops=2 --hidden=3 "
    "--model_dir=run"
)


@pytest.fixture(scope="module")
def texts():
    return module_files.load("recipes/common/labelled_texts.py")


@pytest.mark.tensorflow
def test_a_tenth_of_the_lines_is_the_test(texts, tmp_path):
    (tmp_path / "lines.txt").write_text(LINES, encoding="utf-8")
    sentences = texts.read_sentences(tmp_path / "lines.txt", 8, 0)
    assert (len(sentences.train[1]), len(sentences.test[1]), sentences.classes) == (36, 4, 3)
    assert sentences.train[0].shape == (36, 8)  # cut to the longest
    for words, label in zip(sentences.texts, sentences.test[1], strict=True):
        assert NAMES.index(words[0]) == label
    chosen = texts.choose_texts(sentences, 2)
    assert len({int(sentences.test[1][i]) for i in chosen}) == len(chosen) > 0


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("0 good\nbad film\n" * 10, "line 2"),
        ("0 good\n1\n" * 10, "line 2"),
        ("0 good\n1 bad\n", "2 lines"),
        ("0 good\n" * 30, "1 classes"),
    ],
)
def test_wrong_lines_are_named(texts, tmp_path, content, words):
    (tmp_path / "lines.txt").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        texts.read_lines(tmp_path / "lines.txt")


@pytest.mark.tensorflow
def test_the_penalty_is_the_norm_of_the_rows_products(texts):
    """Rows of one common word each have products of 1, and the penalty is the number of pairs of rows."""
    model = kapps.families.self_attentive_embedding(
        vocabulary=9, embedding=2, units=2, attention_units=2, hops=3, hidden=2, classes=2
    )
    tokens = np.array([[3, 0], [4, 0], [5, 0]])
    assert texts.measure_rows(model, tokens) == pytest.approx((6, 1), rel=1e-5)
    pool = model.get_layer("pool")
    model(tokens, training=True)
    assert float(keras.ops.sum(pool.losses)) == pytest.approx(6, rel=1e-5)


@pytest.mark.long
@pytest.mark.tensorflow
def test_small_run_has_a_table_and_images_and_resumes(tmp_path):
    (tmp_path / "lines.txt").write_text(LINES, encoding="utf-8")
    arguments = [
        f"{SMALL} --penalties=0,0.5",
        f"{SMALL} --penalties=0,0.5",
        "--model_dir=no",
        "--data=lines.txt --penalties=x --model_dir=no",
    ]
    output, errors = recipe_process.run_small("self_attentive", tmp_path, arguments)
    with open(tmp_path / "run" / "table.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["network"] for row in rows] == ["mean of all states", "penalty 0", "penalty 0.5"]
    assert [bool(row["penalty"]) for row in rows] == [False, True, True]
    assert output.count("penalty_0.5: step 2,") == 1  # the second run resumes
    for name in ("curves", "sentence1"):
        assert (tmp_path / "run" / f"{name}.png").stat().st_size > 3000
    for words, error in zip(("--data", "--penalties=x"), errors, strict=True):
        assert words in error
    assert not (tmp_path / "no").exists()
