"""multi_task.py with small settings, and its tasks."""

import csv

import module_files
import numpy as np
import pytest
import recipe_process

SMALL = (
    "--steps=1 --batch_size=2 --images=8 --d_model=4 --experts=4 --hidden=2 --encoder_blocks=1 --decoder_blocks=1 "
    "--model_dir=run"
)


@pytest.fixture(scope="module")
def cases():
    return module_files.load("recipes/common/multi_task_cases.py")


@pytest.fixture(scope="module")
def tasks(cases):
    return cases.make_tasks(0, 50)


@pytest.mark.tensorflow
def test_texts_start_with_a_command_and_end(cases, tasks):
    words = np.array(cases.WORDS)
    images, target, labels = tasks["digits"].train
    assert images.shape == (50, 8, 8, 1) and images.min() == 0 and images.max() == 1
    assert set(words[target[:, 0]]) == {cases.NAME_IMAGE} and set(words[labels[:, 1]]) == {"<end>"}
    source, target, labels = tasks["numbers"].test
    row = [str(n) for n in range(10_000)].index("".join(words[source[0]]))
    text = [word for word in words[labels[0]] if word]
    assert text == [*cases.number_words.spell_english(row), "<end>"]
    assert [word for word in words[target[0]] if word] == [cases.SPELL_NUMBER, *text[:-1]]
    numbers = {tuple(row) for part in ("train", "test") for row in getattr(tasks["numbers"], part)[0]}  # fmt: skip
    assert len(numbers) == 10_000 and len(source) == 500
    inputs, targets, _ = cases.sample_batch(list(tasks.values()), np.random.default_rng(0), 3)
    assert [len(x) for x in (*inputs, *targets)] == [3] * 6


class Predictor:
    """A network that knows the labels, except the second word of every second text."""

    def __init__(self, task):
        self.task = task

    def predict(self, inputs, **_):
        labels = self.task.test[2].copy()
        labels[::2, 1] += 1
        return np.eye(labels.max() + 1)[labels]


@pytest.mark.tensorflow
def test_a_text_is_correct_if_all_its_words_are(cases, tasks):
    task = tasks["numbers"]
    ((loss, accuracy),) = cases.evaluate(Predictor(task), [task])
    assert accuracy == pytest.approx(50, abs=3) and 0 < loss < 9


@pytest.mark.long
@pytest.mark.tensorflow
def test_small_run_has_a_table_and_curves_and_resumes(tmp_path):
    arguments = [SMALL, SMALL, "--networks=digit --model_dir=no", "--d_model=6 --model_dir=no"]
    output, errors = recipe_process.run_small("multi_task", tmp_path, arguments)
    with open(tmp_path / "run" / "table.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["network"] for row in rows] == ["this task"] * 2 + ["both tasks"] * 2
    assert rows[0]["parameters"] == rows[2]["parameters"] > rows[1]["parameters"]
    assert all(float(row["chance"]) > 0 for row in rows)
    assert output.count("both: step 1,") == 1  # the second run resumes
    for name in ("digits", "numbers"):
        assert (tmp_path / "run" / f"{name}.png").stat().st_size > 3000
    for words, error in zip(("digits", "--d_model=6"), errors, strict=True):
        assert words in error
    assert not (tmp_path / "no").exists()
