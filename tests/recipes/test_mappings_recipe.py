"""mappings.py as its user runs it, on series that the test makes, and what its tasks are made of."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow
RECIPES = pathlib.Path(__file__).parents[2] / "recipes"


def run(folder, *flags):
    path = os.pathsep.join([str(RECIPES.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, str(RECIPES / "mappings.py"), "--model_dir=run", *flags], cwd=folder,
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tasks():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(RECIPES)
        patch.setenv(
            "TF_ENABLE_ONEDNN_OPTS", "0"
        )  # recipes set it, and it is not theirs in this process
        from common import mapping_tasks
    return mapping_tasks


def write(folder, split, count, draw):
    """Series that rise or fall, of five to nine steps."""
    lines = ["@classLabel true up down", "@data"]
    for i in range(count):
        steps = np.linspace(-1, 1, draw.integers(5, 10)) * (-1 if i % 2 else 1)
        steps = steps + draw.normal(0, 0.1, len(steps))
        lines.append(",".join(f"{value:.4f}" for value in steps) + (":down" if i % 2 else ":up"))
    (folder / f"Slopes_{split}.ts").write_text("\n".join(lines) + "\n")


@pytest.mark.long
def test_many_to_one_learns_and_leaves_what_it_says(tmp_path):
    draw = np.random.default_rng(0)
    for split, count in (("TRAIN", 40), ("TEST", 20)):
        write(tmp_path, split, count, draw)
    done = run(
        tmp_path, "--data=Slopes_TRAIN.ts", "--units=4", "--epochs=15", "--learning_rate=0.03"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["accuracy"] > 0.9 and result["loss"] < result["loss before"]
    assert result["beside"] == {"accuracy of the commonest class": 0.5}
    assert f"many_to_one: accuracy {result['accuracy']:.3g}; loss" in done.stdout
    loaded = keras.saving.load_model(tmp_path / "run/model.keras", safe_mode=True)
    assert loaded.output_shape == (None, 2)


def test_numbers_are_spelled(tasks):
    for number, words in [
        (0, "zero"), (13, "thirteen"), (40, "forty"), (85, "eighty five"), (100, "one hundred"),
        (207, "two hundred and seven"), (1000, "one thousand"), (1_005, "one thousand and five"),
        (9_919, "nine thousand nine hundred and nineteen"),
        (7_777, "seven thousand seven hundred and seventy seven"),
    ]:  # fmt: skip
        assert tasks.spelled(number) == words.split()
        assert set(words.split()) <= set(tasks.WORDS)
    assert len(set(tasks.WORDS)) == len(tasks.WORDS)
    assert max(len(tasks.spelled(number)) for number in range(10_000)) + 1 <= 9


def test_rows_are_of_whole_digits(tasks):
    values, said = tasks.written_rows("validation", 5, np.random.default_rng(0), gap=4)
    images, numbers = tasks.digits("validation")
    assert images.min() == -1 and images.max() == 1 and np.bincount(numbers).min() > 30
    for row, labels in zip(values, said, strict=True):
        steps = int(np.any(row != 0, axis=-1).sum())
        assert not row[steps:].any() and 3 <= len(labels) <= 6
        assert 8 * len(labels) <= steps <= 12 * len(labels)
        first = row[:8].T
        assert any((first == each).all() for each in images[numbers == labels[0]])


def test_refusals(tasks, tmp_path):
    text = tmp_path / "lines.txt"
    text.write_text("good film\n")
    for task, path, said in [
        ("many_to_one", None, "many_to_one reads series: give --data"),
        (
            "many_to_one",
            "Slopes_TEST.ts",
            "is the file to train on, such as GunPoint_TRAIN.ts, not Sl",
        ),
        ("many_to_one", "Slopes_TRAIN.ts", "Slopes_TRAIN.ts cannot be read: No such file"),
        ("embeddings", None, "embeddings reads labelled lines"),
        ("embeddings", text, "each line is a label 0 or 1, a space and a text"),
        ("temporal", "x", "makes its data from what ships with kapps: leave out --data=x"),
    ]:
        with pytest.raises(ValueError) as refusal:
            tasks.TASKS[task](path, 4, "lstm", np.random.default_rng(0))
        assert said in str(refusal.value) and "\n" not in str(refusal.value)
