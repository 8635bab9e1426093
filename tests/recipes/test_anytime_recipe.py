"""anytime.py in a process of its own, on images that the test generates, and the images that it holds out."""

import csv
import json
import pathlib
import sys

import numpy as np
import pytest
import recipe_process

from kapps import data

RECIPES = pathlib.Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """`squares.npz`: a bright square in one of two corners."""
    folder = tmp_path_factory.mktemp("anytime")
    draw, arrays = np.random.default_rng(0), {}
    for split, count in (("train", 120), ("test", 40)):
        images = draw.integers(0, 90, (count, 8, 8, 3))
        labels = np.arange(count) % 2
        for image, label in zip(images, labels, strict=True):
            image[:4, 4 * label : 4 * label + 4] += 150
        arrays |= {f"x_{split}": images.astype("uint8"), f"y_{split}": labels}
    np.savez(folder / "squares.npz", **arrays)
    return folder


def test_held_out_images_are_not_trained_on(squares, monkeypatch):
    monkeypatch.syspath_prepend(RECIPES)
    sys.modules.pop("common", None)
    from common import held_out

    source = data.open_source(None, squares / "squares.npz", split="train")
    training_part, rest = held_out.hold_out(source, 0.1)
    assert (training_part.examples, rest.examples) == (108, 12)
    names = [[name.numpy() for name, *_ in part.images()] for part in (training_part, rest, source)]
    assert sorted(names[0] + names[1]) == sorted(names[2]) and len(set(names[2])) == 120
    shards = data.open_source("digits", None, split="train")
    training_part, rest = held_out.hold_out(shards, 0.2)
    counts = [sum(1 for _ in part.images()) for part in (training_part, rest)]
    assert counts == [training_part.examples, rest.examples] and sum(counts) == shards.examples
    with pytest.raises(data.DataError, match="change --held_out"):
        held_out.hold_out(source, 0.001)


@pytest.mark.long
def test_exits_and_resnets_are_compared(squares):
    flags = (
        "--data=squares.npz", "--image_size=8", "--seconds=1", "--batch_size=8", "--model_dir=out",
        "--option=depths=1,1", "--learning_rate=0.1", "--budgets=3", "--compared=4", "--augmentation=none",
    )  # fmt: skip
    done = recipe_process.run("anytime.py", squares, *flags, folders=("model_dir",))
    assert done.returncode == 0, done.stderr
    folder = squares / "out"
    networks = json.loads((folder / "results.json").read_text(encoding="utf-8"))["networks"]
    row = networks["msdnet_budget5_cifar"]
    costs = [point["macs"] for point in row["anytime"]]
    assert costs == sorted(costs) and len(costs) == 2 and costs[-1] == row["macs"]
    for point in row["budgeted"]:
        assert costs[0] <= point["validation_macs"] <= point["budget"]
        assert sum(point["images"]) == 40
    assert row["budgeted"][-1]["images"] == [0, 40]
    assert row["files"]["difference"] < 1e-4
    with (folder / "table.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    uses = [line["use"] for line in lines]
    assert uses == ["anytime"] * 2 + ["budgeted"] * 3 + ["separate"] * (len(networks) - 1)
    assert len(networks) == 3 and (folder / "accuracy.png").stat().st_size > 1000
    assert sorted(x.name for x in (folder / "exits").iterdir()) == [
        f"exit{i}.tflite" for i in (1, 2)
    ]
    assert (folder / "table.txt").read_text(encoding="utf-8").strip() in done.stdout
    again = recipe_process.run("anytime.py", squares, *flags, folders=("model_dir",))
    assert again.returncode == 0 and "msdnet_budget5_cifar: already finished" in again.stdout


@pytest.mark.long
def test_mistakes_are_one_line(squares, mistaken):
    recipe = RECIPES / "anytime.py"
    line = mistaken(recipe, squares, "--data=squares.npz", "--model=resnet20_cifar")
    assert "resnet20_cifar has no output called exit1_predictions" in line
    line = mistaken(recipe, squares, "--data=squares.npz", "--model=lenet5,resnet18")
    assert "give one network with several exits" in line
    line = mistaken(recipe, squares, "--data=squares.npz", "--option=depth=1")
    assert "--option=depth=1" in line and "depths" in line
