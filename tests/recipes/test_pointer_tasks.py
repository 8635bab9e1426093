"""pointer_tasks.py with small settings, and the data of its tasks."""

import csv

import module_files
import numpy as np
import pytest
import recipe_process

SMALL = (
    "--points=4 --units=4 --steps=2 --batch_size=4 --examples=8 --test=6 --beam=2 --model_dir=run"
)


@pytest.fixture(scope="module")
def cases():
    return module_files.load("recipes/common/pointer_cases.py")


@pytest.mark.tensorflow
def test_sets_have_their_answers_and_measures(cases):
    random = np.random.default_rng(0)
    x, answers = cases.sorting_sets(random, 20, 5)
    assert (np.diff(np.take_along_axis(x[..., 0], answers - 1, axis=1), axis=1) > 0).all()
    ended = np.pad(answers, ((0, 0), (0, 1)))
    assert cases.evaluate_sorting(x, answers, ended)[0] == 100
    ended[0, [0, 1]] = ended[0, [1, 0]]
    assert cases.evaluate_sorting(x, answers, ended) == (95.0, "98.0 % of the places")
    points, hulls = cases.hull_sets(random, 20, 6)
    turned = np.array([[*np.roll(row[row > 0], 1), *row[row == 0], 0] for row in hulls])
    right, detail = cases.evaluate_hulls(points, hulls, turned)
    assert right == 100 and detail == "area 100.0 %, 0.0 % no simple polygon"
    turned[0] = 0
    right, detail = cases.evaluate_hulls(points, hulls, turned)
    assert right == pytest.approx(95) and detail.endswith("5.0 % no simple polygon")
    points, tours = cases.tour_sets(random, 20, 5)
    length, detail = cases.evaluate_tours(points, tours, tours)
    assert f"100.0 % shortest, exact {length:.3f}" == detail
    assert cases.random_tours(points, tours) > length


@pytest.mark.tensorflow
def test_teacher_forcing_shifts_the_answers_and_weighs_one_end(cases):
    answers = np.array([[2, 1, 0], [3, 2, 1]])
    (_, target), labels, weights = cases.teacher_forcing(None, answers)
    assert target.tolist() == [[0, 2, 1, 0], [0, 3, 2, 1]]
    assert labels.tolist() == [[2, 1, 0, 0], [3, 2, 1, 0]]
    assert weights.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


@pytest.mark.long
@pytest.mark.tensorflow
def test_small_run_has_a_table_and_images_and_resumes(tmp_path):
    arguments = [
        SMALL,
        SMALL,
        "--points=14 --model_dir=no",
        "--tasks=sortin --model_dir=no",
        "--tasks=sorting --points=1000 --units=8192 --batch_size=1000000 --model_dir=no",
    ]
    output, errors = recipe_process.run_small("pointer_tasks", tmp_path, arguments)
    with open(tmp_path / "run" / "table.csv", newline="", encoding="utf-8") as file:
        rows = [(row["task"], row["decoding"]) for row in csv.DictReader(file)]
    tasks = ("sorting 4 numbers", "convex hull of 4", "tour of 4 points")
    assert rows == [(task, decoding) for task in tasks for decoding in ("greedy", "beam 2")]
    assert output.count("tours: step 1,") == 1  # the second run resumes
    for name in ("hulls", "tours", "curves"):
        assert (tmp_path / "run" / f"{name}.png").stat().st_size > 5000
    for words, error in zip(("--points=14", "sorting", "GB of memory"), errors, strict=True):
        assert words in error
    assert not (tmp_path / "no").exists()
