"""nowcasting.py, counting.py, sequence_tasks.py and gradients.py at their smallest, and what they refuse.

All in one process: their mains, one after the other, by flags of their own.
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
    for given in runs:
        for flag in recipe.FLAGS.get_key_flags_for_module(recipe):
            flag.unparse()
        recipe.FLAGS([name, *given.split()])
        try:
            recipe.main(None)
        except ValueError as error:
            print("REFUSED", name, error)
    recipe.FLAGS([name])
    if name == "counting":
        found = [each.tolist() for each in recipe.strings([1, 2], "abc")]
    elif name == "sequence_tasks":
        task = recipe.TASKS["adding"](recipe.FLAGS)
        found = [recipe.build(each, task)[0].count_params() for each in ("tcn", "lstm", "gru", "rnn")]
    elif name == "gradients":
        x = keras.Input((4, 2))
        layer = keras.layers.SimpleRNN(2, "linear", return_sequences=True, name="layer1")
        y = keras.layers.Dense(1, name="predictions")(layer(x)[:, -1])
        model = keras.Model(x, y)
        model.set_weights([np.eye(2), 0.5 * np.eye(2), np.zeros(2), np.ones((2, 1)), np.zeros(1)])
        found = recipe.through_time(model, np.ones((3, 4, 2), "float32"), np.ones((3, 1), "float32"))
    else:
        found = None
    print("FOUND", name, json.dumps(found))
    for flag in recipe.FLAGS.get_key_flags_for_module(recipe):
        delattr(recipe.FLAGS, flag.name)
"""
COUNT = (
    "--languages=ab,abc --networks=lstm --longest=4 --limit=8 --steps=3 --units=3 --model_dir=count"
)
TASKS = "--tasks=music,pixels --networks=rnn --music=rolls.mat --steps=2 --test=8 --side=3 --batch_size=4"
SMALL = {
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
def ran(tmp_path_factory):
    """The folder that all ran in, and what they printed."""
    io = pytest.importorskip("scipy.io", reason="scipy reads .mat files")
    folder, draw, rolls = tmp_path_factory.mktemp("recipes"), np.random.default_rng(0), {}
    for key in ("traindata", "testdata"):
        rolls[key] = np.empty((1, 4), object)
        for i in range(4):
            rolls[key][0, i] = (draw.random((6, 88)) < 0.1).astype("uint8")
    io.savemat(folder / "rolls.mat", rolls)
    path = os.pathsep.join([str(RECIPES.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(SMALL), str(RECIPES)], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path}, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stdout


def computed(printed, recipe):
    (line,) = (each for each in printed.splitlines() if each.startswith(f"FOUND {recipe} "))
    return json.loads(line.split(" ", 2)[2])


def table(folder, name):
    with open(folder / name / "table.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_nowcasting_forecasts_and_says_what_nothing_learnt_costs(ran):
    folder, printed = ran
    told = json.loads((folder / "now" / "run.json").read_text())["results"]["frame_cross_entropy"]
    assert len(told) == 3 and all(value > 0 for value in told.values())
    assert all(f"{value:.1f} nats a frame" in printed for value in told.values())
    assert (folder / "now" / "forecast.png").stat().st_size > 10_000
    assert (folder / "now" / "model.keras").exists()


def test_counting_tables_each_language_once(ran):
    folder, printed = ran
    rows = table(folder, "count")
    assert [row["language"] for row in rows] == ["a^n b^n", "a^n b^n c^n"]
    assert [row["longest"] for row in rows] == ["4", "2"]
    assert printed.count("lstm_ab: step 1,") == 1  # the second run finds it finished
    assert (folder / "count" / "counters.png").exists()
    assert "REFUSED counting --languages: 'abcd' is none of ab, abc" in printed


def test_counting_asks_for_what_may_follow(ran):
    x, y, there = computed(ran[1], "counting")
    _, b, c, end = np.eye(4).tolist()
    either = [1, 1, 0, 0]  # nobody knows which a is the last
    assert y[1] == [either, either, b, c, c, end] and there[1] == [1] * 6
    assert y[0] == [either, c, end] + [[0] * 4] * 3 and there[0] == [1] * 3 + [0] * 3
    assert [row.index(1) for row in x[1]] == [0, 0, 1, 1, 2, 2]


def test_networks_of_a_task_are_about_as_large(ran):
    tcn, *others = computed(ran[1], "sequence_tasks")
    assert tcn == 70_369 and all(0.98 * tcn < each <= tcn for each in others)


def test_gradients_halve_where_the_weights_are_halves(ran):
    """dL/dh_T = 2 (sum of h_T - 1) (1, 1), h_T = 1 + 1/2 + 1/4 + 1/8, and half of it a step earlier."""
    (norms,) = computed(ran[1], "gradients")
    last = 2 * (2 * 1.875 - 1) * 2**0.5
    np.testing.assert_allclose(norms, [last / 8, last / 4, last / 2, last], rtol=1e-5)


def test_tasks_keep_lines_beside_the_papers(ran):
    folder, printed = ran
    rows = {row["task"]: row for row in table(folder, "tasks")}
    assert list(rows) == ["next chord", "pixels, 3x3"]
    assert rows["next chord"]["paper"] == "8.91" and rows["pixels, 3x3"]["paper"] == "21.5"
    assert int(rows["next chord"]["parameters"]) <= 269_938
    assert "REFUSED sequence_tasks tasks/results.json is of a run with music=rolls.mat" in printed
    assert "REFUSED sequence_tasks music needs --music=JSB_Chorales.mat" in printed
    assert "REFUSED sequence_tasks --networks: 'mlp' is none of lstm, gru, rnn, tcn" in printed
    assert (folder / "tasks" / "music.png").exists() and not (folder / "no").exists()


def test_gradients_are_measured_at_each_step(ran):
    folder, _ = ran
    rows = json.loads((folder / "fade" / "results.json").read_text())["networks"]
    assert [len(rows[name]["norms"]["after"]) for name in ("rnn_omega", "lstm_clipped")] == [1, 2]
    assert all(len(norms) == 5 for norms in rows["lstm_clipped"]["norms"]["before"])
    assert rows["lstm_clipped"]["norms"]["before"] != rows["lstm_clipped"]["norms"]["after"]
    assert (folder / "fade" / "gradients.png").exists()
