"""The recipe in a process of its own, with a small network."""

import functools
import json
import pathlib

import pytest
import recipe_process

RECIPE = pathlib.Path(__file__).parents[2] / "recipes" / "imagenet.py"


run = functools.partial(recipe_process.run, "imagenet.py")


@pytest.mark.long
def test_from_digits_to_two_exported_files(tmp_path):
    done = run(
        tmp_path, "--model=resnet20_cifar", "--epochs=3", "--image_size=16", "--batch_size=64"
    )
    assert done.returncode == 0, done.stderr
    assert "oneDNN" not in done.stderr and "cudart_stub" not in done.stderr
    assert "no ImageNet on this machine" in done.stdout.splitlines()[0]
    content = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    results = content["results"]
    assert results["after"]["accuracy"] > max(0.5, results["before"]["accuracy"])
    assert content["flags"]["image_size"] == 16 and content["flags"]["dataset"] == "digits"
    assert [pathlib.Path(file["path"]).name for file in results["exported"]] == ["1", "1.tflite"]
    for file in results["exported"]:
        assert file["largest_difference"] < 1e-4 and file["top1_agreement"] == 1.0
        assert (tmp_path / file["path"]).exists() and file["path"] in done.stdout
    for name in ("model.keras", "curves.png", "history.csv"):
        assert (tmp_path / "run" / name).stat().st_size > 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model=resnext5"], "Did you mean resnext50"),
        (["--model=dpn68", "--weights=imagenet"], "dpn68: no weights are published"),
        (["--data_dir=nowhere"], "nowhere"),
        (["--dataset=digits", "--schedule=fast"], "Allowed: paper, modern, cosine"),
        (["--dataset=digits", "--batch_size=5000"], "1437 training images"),
        (["--dataset=digits", "--image_size=16"], "must be at least 32"),
    ],
)
def test_an_error_of_the_user_is_one_line(tmp_path, mistaken, flags, message):
    folders = "--model_dir=run", "--export_dir=exported"
    empty = str(tmp_path / "nothing")
    line = mistaken(RECIPE, tmp_path, *folders, *flags, TFDS_DATA_DIR=empty)
    assert line.startswith("imagenet.py: ") and message in line
    assert not (tmp_path / "run").exists() and not (tmp_path / "exported").exists()
