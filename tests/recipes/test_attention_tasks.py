"""attention_tasks.py with small settings, and the data of its tasks."""

import csv
import os
import pathlib
import subprocess
import sys

import keras
import module_files
import numpy as np
import pytest
import recipe_process

RECIPES = pathlib.Path(__file__).parents[2] / "recipes"
SMALL = (
    "--steps=2 --batch_size=4 --test=8 --elements=3 --units=5 --most_steps=3 --ponder=0.5 --word=5 --symbols=3 "
    "--chunk=4 --rounds=2 --memory_length=0 --text=text.txt --span=6 --model_dir=run"
)


@pytest.fixture(scope="module")
def cases():
    return module_files.load("recipes/common/attention_cases.py")


@pytest.mark.tensorflow
def test_batches_have_the_answers_of_their_tasks(cases):
    random = np.random.default_rng(0)
    x, parity, _ = cases.parity_batch(5, random, 200)
    assert x.shape == (200, 1, 5) and set(np.unique(x)) == {-1, 0, 1}
    assert (np.count_nonzero(x, axis=-1) > 0).all()
    assert [int(y) for y in parity.ravel()] == [list(row).count(1) % 2 for row in x[:, 0]]
    x, y, weights = cases.duplication_batch(3, 4, random, 10)
    assert x.shape == (10, 8) and (x[:, :4] == x[:, 4:]).all() and (x[:, 0] == 1).all()
    assert (y[weights > 0].reshape(10, 3) == x[:, 1:4]).all() and weights.sum() == 30
    characters = np.arange(50)
    x, y, _ = cases.character_batch(characters, 6, random, 4)
    assert x.shape == (4, 6) and (y == x + 1).all() and y.max() < 50


@pytest.mark.tensorflow
def test_a_network_that_ponders_has_a_loss_of_its_steps_and_remainder(cases):
    adaptive = cases.pondering_network(3, 4, 5, ponder=0.5)
    recurrent, dense, halting = (3 + 1 + 4 + 1) * 4, 5, 5
    assert adaptive.count_params() == recurrent + dense + halting
    # p = 1/4 at each step: sums of 1/4 to 1, so 4 steps, the last with a remainder of 1/4
    adaptive.get_layer("halting").set_weights([np.zeros((4, 1)), np.full(1, -np.log(3))])
    adaptive(np.ones((2, 1, 3), "float32"), training=True)
    assert keras.ops.convert_to_numpy(adaptive.losses[0]) == pytest.approx(0.5 * 4.25, abs=1e-4)


@pytest.mark.long
@pytest.mark.tensorflow
def test_small_run_has_a_table_and_images_and_resumes(tmp_path):
    text = "the small brown fox likes short words. " * 30
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    arguments = [
        SMALL,
        SMALL,
        "--tasks=spans --text=text.txt --span=500 --model_dir=no",
        "--ponder=x --model_dir=no",
        "--rounds=0 --model_dir=no",
        "--tasks=parity --span=8 --model_dir=no",
        "--tasks=parity --units=8192 --most_steps=100 --batch_size=1000000 --model_dir=no",
    ]
    printed, errors = recipe_process.run_small("attention_tasks", tmp_path, arguments)
    with open(tmp_path / "run" / "table.csv", newline="", encoding="utf-8") as file:
        rows = {(row["task"], row["network"]): row for row in csv.DictReader(file)}
    assert list(rows) == [
        ("parity, 3 elements", "one step"), ("parity, 3 elements", "fixed"), ("parity, 3 elements", "act 0.5"),
        ("duplication, 5 symbols", "full"), ("duplication, 5 symbols", "LSH-2"),
        ("next character", "no penalty"), ("next character", "penalty"),
    ]  # fmt: skip
    added = {key[1]: row["added"] for key, row in rows.items() if row["added"]}
    assert 1 < float(added.pop("act 0.5")) / 0.5 < 5  # at most 3 steps and a remainder
    # lambda S mean(v) of 3 layers, whose v was 0.5
    assert float(added.pop("penalty")) == pytest.approx(3 * 2e-4 * 6 * 0.5, rel=0.1)
    assert not added
    assert rows["duplication, 5 symbols", "LSH-2"]["paper"] == "98.1"
    assert printed.count("spans_penalty: step 1,") == 1  # the second run resumes
    assert printed.count("spans_penalty: ") > 2
    for name in ("parity", "duplication", "spans", "learned_spans_penalty"):
        assert (tmp_path / "run" / f"{name}.png").stat().st_size > 5000
    for words, error in zip(
        ("too few for --span=500", "--ponder=x", "--rounds=0", "--span=8 has no effect", "GB of memory"), errors,
        strict=True,
    ):  # fmt: skip
        assert words in error
    assert not (tmp_path / "no").exists()


@pytest.mark.long
@pytest.mark.tensorflow
def test_memory_is_that_of_one_training_step(cases):
    """Four layers with 4 heads keep 4 x 4 x 1,024^2 weights of 4 bytes, 67 MB, for the gradient."""
    measured = []
    for steps in (64, 1024):
        command = f"import attention_cases as a; print(*a.step_memory('full', {steps}, 4))"
        path = os.pathsep.join([str(RECIPES.parent), str(RECIPES / "common")])
        process = subprocess.run(
            [sys.executable, "-c", command], capture_output=True, text=True, timeout=300, encoding="utf-8", check=True,
            env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        measured.append([float(value) for value in process.stdout.split()[-3:]])
    model = cases.kapps.families.transformer_decoder(
        vocabulary=6, layers=4, d_model=128, ffn=256, heads=4, dropout=0.0
    )
    assert measured[1][0] == model.count_params()
    assert 67 < measured[1][2] - measured[0][2] < 1000
