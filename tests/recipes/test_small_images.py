"""cifar10.py and fashion_mnist.py in processes of their own, on images that the test generates."""

import csv
import functools
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import recipe_process
from PIL import Image

from kapps import training

RECIPES = pathlib.Path(__file__).parents[2] / "recipes"
# One process for all errors: it calls the main of the recipe once for each.
ERRORS = """
import json, sys
sys.path.insert(0, sys.argv[2])
import cifar10
for flags in json.loads(sys.argv[1]):
    for name in ("model", "seconds", "minutes", "epochs", "dataset", "data", "batch_size", "channels"):
        cifar10.small_images.FLAGS[name].unparse()
    try:
        cifar10.small_images.FLAGS(["cifar10.py", *flags])
        cifar10.small_images.main(None)
    except ValueError as error:
        print("ERROR", json.dumps(str(error)))
"""


command = functools.partial(recipe_process.command, folders=("model_dir",))
environment = recipe_process.environment


def run(folder, recipe, *flags):
    return recipe_process.run(recipe, folder, *flags, folders=("model_dir",))


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    """`bars.npz`: noise with a bright row, a bright column, or neither: three classes that are easy to learn."""
    folder = tmp_path_factory.mktemp("small")
    draw, arrays = np.random.default_rng(0), {}
    for split, count in (("train", 240), ("test", 60)):
        images = draw.integers(0, 80, (count, 12, 12))
        labels = np.arange(count) % 3
        for image, label in zip(images, labels, strict=True):
            place = draw.integers(3, 9)
            if label:
                (image if label == 1 else image.T)[place] += 160
        arrays |= {f"x_{split}": images.astype("uint8"), f"y_{split}": labels}
    np.savez(folder / "bars.npz", **arrays)
    return folder


@pytest.mark.long
def test_a_table_is_written_and_extended(bars):
    flags = (
        "--data=bars.npz",
        "--image_size=12",
        "--seconds=2",
        "--batch_size=16",
        "--model_dir=timed",
    )
    done = run(bars, "fashion_mnist.py", *flags, "--learning_rate=0.2")
    assert done.returncode == 0, done.stderr
    content = json.loads((bars / "timed" / "results.json").read_text(encoding="utf-8"))["networks"]
    row = content["lenet5"]
    assert (row["input"], row["family"]) == ("12x12x1", "lenet")
    # Sides of 12 (padded), 6, 2 (not padded), 1.
    assert row["parameters"] == (25 + 1) * 6 + (150 + 1) * 16 + 17 * 120 + 121 * 84 + 85 * 3
    assert row["macs"] == 144 * 6 * 25 + 4 * 16 * 150 + 16 * 120 + 120 * 84 + 84 * 3
    assert row["top1"] > 60 and 2 <= row["seconds"] < 20
    assert row["epochs"] == row["steps"] * 16 / 240
    assert (
        row["images"]["training"]["images"] == 240 and row["images"]["evaluation"]["images"] == 60
    )
    times = [seconds for seconds, _ in row["curve"]]
    assert times == sorted(times) and row["curve"][-1] == [row["seconds"], row["top1"]]
    model = keras.saving.load_model(bars / "timed" / "lenet5" / "model.keras")
    assert model.output_shape == (None, 3)

    # A second network is added to the table; the first is not trained again.
    done = run(bars, "fashion_mnist.py", *flags, "--learning_rate=0.2", "--model=lenet5,nin_cifar")
    assert done.returncode == 0, done.stderr
    assert "lenet5: already finished" in done.stdout and "lenet5: top 1" not in done.stdout
    after = json.loads((bars / "timed" / "results.json").read_text(encoding="utf-8"))["networks"]
    assert list(after) == ["lenet5", "nin_cifar"] and after["lenet5"] == row
    with (bars / "timed" / "table.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["network"] for line in lines] == list(after)
    assert [float(line["top1"]) for line in lines] == [row["top1"] for row in after.values()]
    table = (bars / "timed" / "table.txt").read_text(encoding="utf-8")
    assert table.strip() in done.stdout and "bars.npz" in table and "60 test images" in table
    markdown = (bars / "timed" / "table.md").read_text(encoding="utf-8")
    assert re.search(r"^\| lenet5 +\| lenet +\| 12x12x1 +\|", markdown, re.MULTILINE)
    with Image.open(bars / "timed" / "curves.png") as image:
        assert image.format == "PNG" and image.width > image.height


@pytest.mark.long
def test_a_training_by_epochs_resumes_after_sigkill(bars):
    flags = (
        "--data=bars.npz",
        "--image_size=12",
        "--learning_rate=0.2",
        "--epochs=3",
        "--checkpoint_every=5",
        "--batch_size=16",
    )
    checkpoints = bars / "run" / "lenet5" / "checkpoints"
    with subprocess.Popen(
        command("fashion_mnist.py", *flags), cwd=bars, env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:  # fmt: skip
        while process.poll() is None and len(training.list_checkpoints(checkpoints)) < 2:
            time.sleep(0.05)
        assert process.poll() is None, process.stderr.read()
        process.send_signal(signal.SIGKILL)
    assert not (bars / "run" / "results.json").exists()
    done = run(bars, "fashion_mnist.py", *flags)
    assert done.returncode == 0, done.stderr
    assert "resumes at step" in done.stdout
    row = json.loads((bars / "run" / "results.json").read_text(encoding="utf-8"))["networks"][
        "lenet5"
    ]
    assert row["steps"] == 3 * 15 and len(row["curve"]) == 4
    assert row["curve"][-1] == [3, row["top1"]] and not checkpoints.exists()


@pytest.mark.long
def test_errors_of_the_user_are_one_line(bars):
    cases = {
        "Did you mean resnet50": ["--model=resnet5"],
        "contradict each other: give one budget": ["--minutes=1", "--epochs=2"],
        "does not exist": ["--data=nowhere"],
        "batch_size=5000 is more than the 240": ["--data=bars.npz", "--batch_size=5000"],
        "lenet5: channels=2: choose 1 or 3; nin_cifar: channels=2": [
            "--data=bars.npz",
            "--model=lenet5,nin_cifar",
            "--channels=2",
            "--batch_size=16",
        ],
        "belongs to a run with": [
            "--dataset=digits",
            "--model_dir=other",
        ],
    }
    (bars / "other").mkdir()
    (bars / "other" / "results.json").write_text(
        json.dumps({"identity": {"data": "bars.npz", "dataset": "digits"}, "networks": {}}),
        encoding="utf-8",
    )
    code = [sys.executable, "-c", ERRORS, json.dumps(list(cases.values())), str(RECIPES)]
    done = subprocess.run(
        code,
        cwd=bars,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
    for line, message in zip(lines, cases, strict=True):
        assert message in line and "\\n" not in line
