"""segmentation.py in a process of its own, with a small network, and its errors."""

import csv
import functools
import json
import pathlib

import module_files
import numpy as np
import pytest
import recipe_process
import tensorflow as tf
from PIL import Image

from kapps.data.segmentation import VOID
from kapps.preprocessing import INCEPTION

RECIPE = pathlib.Path(__file__).parents[2] / "recipes" / "segmentation.py"
run = functools.partial(recipe_process.run, "segmentation.py")


def write_pairs(folder, count=12):
    """Writes images of 32 x 40 pixels whose masks are 1 where they are light, in a train and a val split."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (folder / split / kind).mkdir(parents=True)
        for number in range(count):
            mask = np.zeros((32, 40), np.uint8)
            y, x = random.integers(0, 16, 2)
            mask[y : y + 16, x : x + 20] = 1
            image = np.where(mask == 1, 200, 40)[..., None] + random.integers(0, 40, (32, 40, 3))
            Image.fromarray(image.astype(np.uint8)).save(
                folder / split / "images" / f"{number}.png"
            )
            Image.fromarray(mask).save(folder / split / "masks" / f"{number}.png")
    text = "name,r,g,b\ndark,0,0,0\nlight,255,255,0\n"
    (folder / "classes.csv").write_text(text, encoding="utf-8")


class Columns:
    """A network whose scores are those of the pixel, and of the column."""

    columns = np.random.default_rng(1).normal(size=(6, 3))

    def predict_on_batch(self, images):
        return images + self.columns


def test_the_scores_of_mirror_images_are_added_in_place():
    results, random = (
        module_files.load("recipes/common/segmentation_results.py"),
        np.random.default_rng(0),
    )
    images, labels = random.normal(size=(5, 4, 6, 3)), random.integers(0, 3, (5, 4, 6))
    labels[0] = VOID
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(2)
    columns = Columns.columns
    for mirrored, scores in (
        (False, images + columns),
        (True, 2 * images + columns + columns[::-1]),
    ):
        expected = np.zeros((3, 3), int)
        np.add.at(expected, (labels[1:], scores[1:].argmax(-1)), 1)
        confusion = results.count_confusion(Columns(), dataset, 3, mirrored)
        np.testing.assert_array_equal(confusion, expected)


@pytest.mark.parametrize(
    "body, width, filters",
    [("small", None, 8), ("resnet20_cifar", None, 16), ("resnet20_cifar", 4, 4)],
)
def test_width_is_that_of_the_decoder(body, width, filters):
    models = module_files.load("recipes/common/segmentation_models.py")
    network = models.build_network("unet", body, None, (32, 32, 3), 3, INCEPTION, width)
    convolutions = [x for x in network.layers if x.name.startswith("head_level0_conv")]
    assert convolutions[0].filters == filters


def test_the_body_sees_an_enlarged_image_and_the_decoder_ends_at_the_resolution_of_the_image():
    models = module_files.load("recipes/common/segmentation_models.py")
    build = functools.partial(
        models.build_network, "unet", "resnet20_cifar", None, (32, 48, 3), 3, INCEPTION, 4
    )
    plain, enlarged = build(), build(enlarge=2)
    assert enlarged.input_shape == plain.input_shape
    assert enlarged.output_shape == plain.output_shape == (None, 32, 48, 3)
    assert enlarged.get_layer("stem_conv").output.shape[1:3] == (64, 96)
    levels = {
        layer.name.split("_")[1] for layer in enlarged.layers if layer.name.startswith("head_level")
    }
    assert levels == {"level1"}  # of the levels 0, 1 and 2
    assert enlarged.get_layer("head_level1_conv1").output.shape[1:3] == (32, 48)
    image = np.random.default_rng(0).random((1, 32, 48, 3), "float32")
    twice = np.asarray(tf.image.resize(image, (64, 96)))  # bilinear interpolation
    np.testing.assert_allclose(enlarged.get_layer("enlarge")(image), twice, atol=1e-6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("unet", "small", "w.h5", None, 1), "--body"),
        (("unet", "small", None, None, 2), "--enlarge=2"),
        (("fcn", "resnet18", None, 4, 1), "--width=4"),
        (("segnet", "resnet18", None, None, 1), "leave out --body"),
        (("segnet", "small", "w.h5", None, 1), "leave out --weights"),
        (("segnet", "small", None, None, 2), "leave out --enlarge"),
        (("unnet", "small", None, None, 1), "unet"),
    ],
)
def test_flags_without_effect_raise(arguments, message):
    models = module_files.load("recipes/common/segmentation_models.py")
    models.check_network("fcn", "small", None, 4, 1)
    models.check_network("unet", "resnet18", "w.h5", 4, 2)
    with pytest.raises(ValueError, match=message):
        models.check_network(*arguments)


@pytest.mark.long
def test_a_network_starts_from_the_weights_of_an_earlier_run(tmp_path):
    models, path = (
        module_files.load("recipes/common/segmentation_models.py"),
        tmp_path / "model.keras",
    )
    build = functools.partial(
        models.build_network, "unet", "small", None, (32, 32, 3), preprocessing=INCEPTION
    )
    earlier, model = build(classes=3, width=4), build(classes=3, width=4)
    earlier.save(path)
    models.copy_weights(path, model)
    for weight, other in zip(earlier.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)
    with pytest.raises(ValueError, match="is another network than unet_small"):
        models.copy_weights(path, build(classes=2, width=4))


@pytest.mark.long
def test_from_images_and_masks_to_verified_files(tmp_path):
    write_pairs(tmp_path / "pairs")
    done = run(
        tmp_path, "--data_dir=pairs", "--epochs=6", "--passes=2", "--batch_size=4", "--width=4",
        "--jaccard=0.5", "--ema=0.05",
        "--class_weights=median", "--augmentation=none", "--tflite=int8",
        "--learning_rate=0.01",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    results = content["results"]
    assert results["after"]["mean_iou"] > max(0.6, results["before"]["mean_iou"])
    assert content["flags"]["image_size"] == ["32", "40"]
    with (tmp_path / "run" / "classes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["dark", "light"]
    mean = np.mean([float(row["iou"]) for row in rows])
    assert mean == pytest.approx(results["after"]["mean_iou"], abs=1e-4)
    assert sum(int(row["pixels"]) for row in rows) == 12 * 32 * 40
    names = [pathlib.Path(file["path"]).name for file in results["exported"]]
    assert names == ["1", "1.int8.tflite"]
    assert all(file["miou_agreement"] > 0.9 for file in results["exported"])
    assert "mIoU agreement" in done.stdout
    for name in ("grid.png", "curves.png"):
        with Image.open(tmp_path / "run" / name) as image:
            assert image.width > 300


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model=unett"], "Did you mean unet"),
        (["--data_dir=nowhere", "--classes=3"], "nowhere"),
        (["--image_size=32"], "--image_size=32"),
        (["--data_dir=pairs", "--train_split=train+val"], "--train_split=train+val"),
    ],
)
def test_an_error_of_the_user_is_one_line(tmp_path, mistaken, flags, message):
    write_pairs(tmp_path / "pairs", 1)
    line = mistaken(RECIPE, tmp_path, "--model_dir=run", "--export_dir=exported", *flags)
    assert line.startswith("segmentation.py: ") and message in line
    assert not (tmp_path / "run").exists() and not (tmp_path / "exported").exists()
