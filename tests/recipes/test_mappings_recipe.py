"""mappings.py as a user runs it, on series that the test writes, and the parts of its tasks."""

import functools
import json

import keras
import module_files
import numpy as np
import pytest
import recipe_process

pytestmark = pytest.mark.tensorflow


run = functools.partial(recipe_process.run, "mappings.py", folders=("model_dir",))


@pytest.fixture(scope="module")
def tasks():
    return module_files.load("recipes/common/mapping_tasks.py")


def write_series(folder, split, count, random):
    """Writes series of five to nine steps that rise or fall."""
    lines = ["@classLabel true up down", "@data"]
    for i in range(count):
        steps = np.linspace(-1, 1, random.integers(5, 10)) * (-1 if i % 2 else 1)
        steps = steps + random.normal(0, 0.1, len(steps))
        lines.append(",".join(f"{value:.4f}" for value in steps) + (":down" if i % 2 else ":up"))
    (folder / f"Slopes_{split}.ts").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.long
def test_many_to_one_learns_and_writes_its_result(tmp_path):
    random = np.random.default_rng(0)
    for split, count in (("TRAIN", 40), ("TEST", 20)):
        write_series(tmp_path, split, count, random)
    process = run(
        tmp_path, "--data=Slopes_TRAIN.ts", "--units=4", "--epochs=15", "--learning_rate=0.03"
    )
    assert process.returncode == 0, process.stderr
    result = json.loads((tmp_path / "run/result.json").read_text(encoding="utf-8"))
    assert result["accuracy"] > 0.9 and result["loss"] < result["loss before"]
    assert result["baselines"] == {"accuracy of the most common class": 0.5}
    assert f"many_to_one: accuracy {result['accuracy']:.3g}; loss" in process.stdout
    loaded = keras.saving.load_model(tmp_path / "run/model.keras", safe_mode=True)
    assert loaded.output_shape == (None, 2)


def test_spell_returns_english_words(tasks):
    for number, words in [
        (0, "zero"), (13, "thirteen"), (40, "forty"), (85, "eighty five"), (100, "one hundred"),
        (207, "two hundred and seven"), (1000, "one thousand"), (1_005, "one thousand and five"),
        (9_919, "nine thousand nine hundred and nineteen"),
        (7_777, "seven thousand seven hundred and seventy seven"),
    ]:  # fmt: skip
        assert tasks.number_words.spell_english(number) == words.split()
        assert set(words.split()) <= set(tasks.WORDS)
    assert len(set(tasks.WORDS)) == len(tasks.WORDS)
    assert max(len(tasks.number_words.spell_english(number)) for number in range(10_000)) + 1 <= 9


def test_digit_rows_consist_of_whole_digits(tasks):
    values, row_labels = tasks.make_digit_rows("validation", 5, np.random.default_rng(0), gap=4)
    images, numbers = tasks.load_digits("validation")
    assert images.min() == -1 and images.max() == 1 and np.bincount(numbers).min() > 30
    for row, labels in zip(values, row_labels, strict=True):
        steps = int(np.any(row != 0, axis=-1).sum())
        assert not row[steps:].any() and 3 <= len(labels) <= 6
        assert 8 * len(labels) <= steps <= 12 * len(labels)
        first = row[:8].T
        assert any((first == image).all() for image in images[numbers == labels[0]])


def test_errors_name_the_flag_and_the_value(tasks, tmp_path):
    text = tmp_path / "lines.txt"
    text.write_text("good film\n", encoding="utf-8")
    for task, path, words in [
        ("many_to_one", None, ("many_to_one", "--data")),
        ("many_to_one", "Slopes_TEST.ts", ("--data", "Slopes_TEST.ts", "GunPoint_TRAIN.ts")),
        ("many_to_one", "Slopes_TRAIN.ts", ("Slopes_TRAIN.ts", "no file")),
        ("embeddings", None, ("embeddings", "--data")),
        ("embeddings", text, (str(text), "label 0 or 1")),
        ("temporal", "x", ("--data=x",)),
    ]:
        with pytest.raises(ValueError) as error:
            tasks.TASKS[task](path, 4, "lstm", np.random.default_rng(0))
        assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "train, test, words",
    [
        ("@classLabel true a b\n@data\n1:a\n", "@classLabel true b a\n@data\n1:a\n", "classes"),
        (
            "@classLabel true a b\n@data\n1:a\n",
            "@classLabel true a b\n@data\n1:2:a\n",
            "dimensions",
        ),
    ],
)
def test_series_for_training_and_testing_have_the_same_classes(tasks, tmp_path, train, test, words):
    for split, content in (("TRAIN", train), ("TEST", test)):
        (tmp_path / f"X_{split}.ts").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        tasks.many_to_one(tmp_path / "X_TRAIN.ts", 4, "lstm", None)
