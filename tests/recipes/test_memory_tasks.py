"""memory_tasks.py with small settings, and the data of its tasks."""

import csv
import itertools

import module_files
import numpy as np
import pytest
import recipe_process

SMALL = "--steps=2 --batch_size=2 --test=10 --length=4 --units=4 --rows=5 --width=3 --model_dir=run"


@pytest.fixture(scope="module")
def cases():
    return module_files.load("recipes/common/memory_cases.py")


@pytest.mark.tensorflow
def test_the_answers_are_the_bits_that_were_read(cases):
    random = np.random.default_rng(0)
    x, y, weights = cases.copy_batch(3, 5, random, 4, fixed=True)
    assert x.shape == (4, 11, 4) and weights.sum(axis=1).tolist() == [5] * 4
    np.testing.assert_array_equal(y[:, 6:], x[:, :5, :3])
    assert (x[:, 5, 3] == 1).all() and not x[:, 6:].any()  # the flag, and then no input
    x, y, weights = cases.repeat_batch(3, 4, 2, random, 4, fixed=True)
    for start in (6, 10):
        np.testing.assert_array_equal(y[:, start - 1 : start + 3, :3], x[:, :4, :3])
    assert (y[:, -1, 3] == 1).all() and not y[:, :-1, 3].any()
    x, y, weights = cases.recall_batch(3, 4, random, 8, fixed=True)
    for row, answer in zip(x, y, strict=True):
        items = [row[3 * i + 1 : 3 * i + 3, :3].tolist() for i in range(4)]
        query = row[13:15, :3].tolist()
        following = [b for a, b in itertools.pairwise(items) if a == query]
        assert answer[-2:].tolist() in following


@pytest.mark.long
@pytest.mark.tensorflow
def test_small_run_has_a_table_and_images_and_resumes(tmp_path):
    arguments = [
        SMALL,
        SMALL,
        "--tasks=copi --model_dir=no",
        "--tasks=stories --length=3 --model_dir=no",
        "--tasks=stories --data=nothing --model_dir=no",
    ]
    output, errors = recipe_process.run_small("memory_tasks", tmp_path, arguments)
    with open(tmp_path / "run" / "table.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    hops = ["1 hop", "3 hops", "3 hops, linear start"]
    assert [row["network"] for row in rows] == [*["lstm", "ntm"] * 3, *hops]
    assert all(float(row["chance"]) > 0 for row in rows)
    assert output.count("\ncopy_ntm: step 2,") == 1  # the second run resumes
    for name in ("copy", "weights_copy_ntm", "stories", "weights_stories_3_hops"):
        assert (tmp_path / "run" / f"{name}.png").stat().st_size > 3000
    for words, error in zip(("copy", "--length", "nothing"), errors, strict=True):
        assert words in error
    assert not (tmp_path / "no").exists()
