"""The recipe in a process of its own: a small classifier is fine-tuned on other classes, at another size."""

import functools
import json
import pathlib

import keras
import numpy as np
import pytest
import recipe_process
from PIL import Image

import kapps
from kapps.cnn import resnet

RECIPE = pathlib.Path(__file__).parents[2] / "recipes" / "finetune.py"
CLASSES = ("zero", "one", "four")
DIGITS = (0, 1, 4)


run = functools.partial(recipe_process.run, "finetune.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, randomise):
    """`flowers/zero/1.jpg`: three of the digits in class folders without splits, and a ResNeXt with seven classes."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("finetune")
    digits = load_digits()
    for name, digit in zip(CLASSES, DIGITS, strict=True):
        (folder / "flowers" / name).mkdir(parents=True)
        for number, pixels in enumerate(digits.images[digits.target == digit][:60]):
            image = Image.fromarray(np.round(pixels * 255 / 16).astype("uint8")).resize((20, 20))
            image.save(folder / "flowers" / name / f"{number}.jpg", quality=95)
    (folder / "one_class").mkdir()
    (folder / "one_class" / "four").symlink_to(folder / "flowers" / "four")
    model = resnet.body(depths=(1,), groups=8, group_width=4, input_shape=(32, 32, 3), classes=7)
    randomise(model).save(folder / "small.keras")
    kapps.resnet20_cifar().save_weights(folder / "twenty.weights.h5")
    for copy in ("small.h5", "own/model.keras"):
        (folder / copy).parent.mkdir(exist_ok=True)
        (folder / copy).write_bytes((folder / "small.keras").read_bytes())
    return folder


def values(path):
    """Returns the values of the layers as bytes: those of the batch norms, and the others."""
    norms, others = {}, {}
    for layer in keras.saving.load_model(path).layers:
        kind = norms if isinstance(layer, keras.layers.BatchNormalization) else others
        kind.update({f"{layer.name} {v.name}": v.numpy().tobytes() for v in layer.weights})
    return norms, others


@pytest.mark.long
def test_other_classes_at_another_size(folder):
    done = run(
        folder, "--model_file=small.keras", "--data_dir=flowers", "--image_size=24", "--epochs=4",
        "--batch_size=16", "--augmentation=none",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))
    results, flags = content["results"], content["flags"]
    assert results["after"]["accuracy"] > max(0.7, results["before"]["accuracy"])
    assert (flags["image_size"], flags["precision"], flags["seed"]) == (24, "float32", 0)
    assert [pathlib.Path(file["path"]).name for file in results["exported"]] == ["1", "1.tflite"]
    for file in results["exported"]:
        assert file["largest_difference"] < 1e-4 and file["top1_agreement"] == 1.0
        assert (folder / file["path"]).exists() and file["path"] in done.stdout
    for name in ("curves.png", "history.csv"):
        assert (folder / "run" / name).stat().st_size > 0
    model = keras.saving.load_model(folder / "run" / "model.keras")
    assert model.input_shape == (None, 24, 24, 3) and model.output_shape == (None, 3)
    (norms, others), (new_norms, new_others) = (
        values(folder / "small.keras"), values(folder / "run" / "model.keras")
    )  # fmt: skip
    assert len(norms) == 4 * 5 and new_norms == norms
    assert others.keys() == new_others.keys()
    assert not [name for name in others if others[name] == new_others[name]]


@pytest.mark.long
def test_only_the_head_at_the_size_of_the_model(folder):
    done = run(
        folder, "--model_file=small.keras", "--data_dir=flowers", "--epochs=1", "--unfreeze=head",
        "--model_dir=head", "--export_dir=head",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "at 32 x 32, 3 classes, 1 epoch of" in done.stdout
    norms, others = values(folder / "small.keras")
    new_norms, new_others = values(folder / "head" / "model.keras")
    changed = [name for name in others if others[name] != new_others[name]]
    assert new_norms == norms and changed == ["head_logits kernel", "head_logits bias"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data_dir=flowers"], "no model: give --model_file"),
        (["--model=dpn68"], "dpn68: no weights are published"),
        (["--model=resnet20_cifar", "--weights=twenty.weights.h5"], "no data"),
        (["--model=resnet20_cifar", "--weights=no.keras"], "no.keras does not exist"),
        (["--model=resnet18", "--model_file=small.keras"], "two models"),
        (["--model_file=nowhere.keras"], "nowhere.keras does not exist"),
        (["--model_file=small.h5", "--data_dir=flowers"], "small.h5 is not a complete .keras file"),
        (["--model_file=small.keras"], "no data"),
        (["--model_file=small.keras", "--data_dir=one_class"], "one_class has images of one class"),
        (
            ["--model_file=small.keras", "--data_dir=flowers", "--unfreeze=level9"],
            "'level9'",
        ),
    ],
)
def test_an_error_of_the_user_is_one_line(folder, mistaken, flags, message):
    line = mistaken(RECIPE, folder, "--model_dir=mistake", "--export_dir=mistake", *flags)
    assert line.startswith("finetune.py: ") and message in line
    assert not (folder / "mistake").exists()


@pytest.mark.long
def test_a_run_does_not_write_over_its_model(folder, mistaken):
    flags = ["--model_dir=own", "--export_dir=mistake", "--model_file=./own/model.keras"]
    assert "would write over" in mistaken(RECIPE, folder, *flags)
