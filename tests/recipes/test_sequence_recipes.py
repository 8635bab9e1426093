"""nowcasting.py, counting.py, sequence_tasks.py and gradients.py with small settings, and their errors.

One process runs the main functions of all recipes, each with its own flags.
"""

import csv
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

pytestmark = [pytest.mark.tensorflow, pytest.mark.long]

RECIPES = pathlib.Path(__file__).parents[2] / "recipes"
RUN = """
import json, sys
sys.path.insert(0, sys.argv[2])
import importlib
import keras, numpy as np
for name, runs in json.loads(sys.argv[1]).items():
    recipe = importlib.import_module(name)
    for arguments in runs:
        for flag in recipe.FLAGS.get_key_flags_for_module(recipe):
            flag.unparse()
        recipe.FLAGS([name, *arguments.split()])
        try:
            recipe.main(None)
        except ValueError as error:
            print("ERROR", name, error)
    recipe.FLAGS([name])
    if name == "counting":
        result = [array.tolist() for array in recipe.make_strings([1, 2], "abc")]
    elif name == "sequence_tasks":
        task = recipe.TASKS["adding"](recipe.FLAGS)
        result = [recipe.build(network, task)[0].count_params() for network in ("tcn", "lstm", "gru", "rnn")]
    elif name == "gradients":
        x = keras.Input((4, 2))
        layer = keras.layers.SimpleRNN(2, "linear", return_sequences=True, name="layer1")
        y = keras.layers.Dense(1, name="predictions")(layer(x)[:, -1])
        model = keras.Model(x, y)
        model.set_weights([np.eye(2), 0.5 * np.eye(2), np.zeros(2), np.ones((2, 1)), np.zeros(1)])
        result = recipe.gradient_norms_by_step(model, np.ones((3, 4, 2), "float32"), np.ones((3, 1), "float32"))
    else:
        result = None
    print("RESULT", name, json.dumps(result))
    for flag in recipe.FLAGS.get_key_flags_for_module(recipe):
        delattr(recipe.FLAGS, flag.name)
"""
COUNT = (
    "--languages=ab,abc --networks=lstm --longest=4 --limit=8 --steps=3 --units=3 --model_dir=count"
)
TASKS = "--tasks=music,pixels --networks=rnn --music=rolls.mat --steps=2 --test=8 --side=3 --batch_size=4"
ARGUMENTS = {
    "nowcasting": [
        "--filters=3 --kernel_size=3 --steps=2 --batch_size=2 --test=3 --rows=2 --model_dir=now"
    ],
    "counting": [COUNT, COUNT, "--languages=abcd --model_dir=no"],
    "sequence_tasks": [
        f"{TASKS} --model_dir=tasks",
        "--tasks=adding --networks=rnn --steps=2 --length=4 --model_dir=tasks",
        "--tasks=music --model_dir=no",
        "--networks=mlp --model_dir=no",
    ],
    "gradients": [
        "--networks=rnn_omega,lstm_clipped --units=3 --length=5 --steps=2 --model_dir=fade"
    ],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of all runs, and their output."""
    io = pytest.importorskip("scipy.io", reason="scipy reads .mat files")
    folder, random, rolls = tmp_path_factory.mktemp("recipes"), np.random.default_rng(0), {}
    for key in ("traindata", "testdata"):
        rolls[key] = np.empty((1, 4), object)
        for i in range(4):
            rolls[key][0, i] = (random.random((6, 88)) < 0.1).astype("uint8")
    io.savemat(folder / "rolls.mat", rolls)
    path = os.pathsep.join([str(RECIPES.parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(ARGUMENTS), str(RECIPES)], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path}, timeout=900, encoding="utf-8"
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-3000:]
    return folder, process.stdout


def computed(printed, recipe):
    (line,) = (line for line in printed.splitlines() if line.startswith(f"RESULT {recipe} "))
    return json.loads(line.split(" ", 2)[2])


def table(folder, name):
    with open(folder / name / "table.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_nowcasting_prints_its_cross_entropy_next_to_the_baselines(runs):
    folder, printed = runs
    losses = json.loads((folder / "now" / "run.json").read_text(encoding="utf-8"))["results"][
        "frame_cross_entropy"
    ]
    assert len(losses) == 3 and all(value > 0 for value in losses.values())
    assert all(f"{value:.1f} nats per frame" in printed for value in losses.values())
    assert (folder / "now" / "forecast.png").stat().st_size > 10_000
    assert (folder / "now" / "model.keras").exists()


def test_counting_trains_each_network_once(runs):
    folder, printed = runs
    rows = table(folder, "count")
    assert [row["language"] for row in rows] == ["a^n b^n", "a^n b^n c^n"]
    assert [row["longest"] for row in rows] == ["4", "2"]
    assert printed.count("lstm_ab: step 1,") == 1  # the second run resumes from the saved results
    assert (folder / "count" / "counters.png").exists()
    assert "ERROR counting --languages=abcd" in printed and "ab, abc" in printed


def test_counting_targets_are_the_letters_that_may_follow(runs):
    x, y, mask = computed(runs[1], "counting")
    _, b, c, end = np.eye(4).tolist()
    either = [1, 1, 0, 0]  # a network cannot predict which a is the last
    assert y[1] == [either, either, b, c, c, end] and mask[1] == [1] * 6
    assert y[0] == [either, c, end] + [[0] * 4] * 3 and mask[0] == [1] * 3 + [0] * 3
    assert [row.index(1) for row in x[1]] == [0, 0, 1, 1, 2, 2]


def test_results_have_what_was_read_of_the_images(runs):
    rows = json.loads((runs[0] / "tasks" / "results.json").read_text(encoding="utf-8"))["networks"]
    assert not rows["music_rnn"]["images"]
    images = rows["pixels_rnn"]["images"]
    assert {role: record["images"] for role, record in images.items()} == {
        "training": 1437, "evaluation": 360,
    }  # fmt: skip
    assert "digits: 10 classes, 1,437 training images" in runs[1]


def test_networks_of_a_task_have_nearly_equal_parameter_counts(runs):
    tcn, *others = computed(runs[1], "sequence_tasks")
    assert tcn == 70_369 and all(0.98 * tcn < count <= tcn for count in others)


def test_gradients_halve_at_each_step_if_the_recurrent_kernel_is_half_the_identity(runs):
    """dL/dh_T = 2 (sum of h_T - 1) (1, 1), h_T = 1 + 1/2 + 1/4 + 1/8, and half as large one step earlier."""
    (norms,) = computed(runs[1], "gradients")
    last = 2 * (2 * 1.875 - 1) * 2**0.5
    np.testing.assert_allclose(norms, [last / 8, last / 4, last / 2, last], rtol=1e-5)


def test_sequence_tasks_table_has_the_results_of_the_paper(runs):
    folder, printed = runs
    rows = {row["task"]: row for row in table(folder, "tasks")}
    assert list(rows) == ["next chord", "pixels, 3x3"]
    assert rows["next chord"]["paper"] == "8.91" and rows["pixels, 3x3"]["paper"] == "21.5"
    assert int(rows["next chord"]["parameters"]) <= 269_938
    for words in (
        ("tasks/results.json", "rolls.mat"),
        ("--music=JSB_Chorales.mat",),
        ("--networks=mlp", "tcn"),
    ):
        assert any(
            all(word in line for word in words)
            for line in printed.splitlines()
            if line.startswith("ERROR sequence_tasks")
        )
    assert (folder / "tasks" / "music.png").exists() and not (folder / "no").exists()


def test_gradient_norms_are_measured_at_each_step(runs):
    folder, _ = runs
    rows = json.loads((folder / "fade" / "results.json").read_text(encoding="utf-8"))["networks"]
    assert [len(rows[name]["norms"]["after"]) for name in ("rnn_omega", "lstm_clipped")] == [1, 2]
    assert all(len(norms) == 5 for norms in rows["lstm_clipped"]["norms"]["before"])
    assert rows["lstm_clipped"]["norms"]["before"] != rows["lstm_clipped"]["norms"]["after"]
    assert (folder / "fade" / "gradients.png").exists()
