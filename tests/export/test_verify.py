"""`verify` runs the file itself, and reports a file of another model."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import kapps.export
from kapps.cards import Preprocessing
from kapps.export import _worker
from kapps.export.runtime._tensorflow import PROGRAM
from kapps.export.verify import Report, largest_difference, top1_agreement

PIXELS = Preprocessing(size=(12, 12))
IMAGES = np.random.default_rng(0).integers(0, 256, (35, 12, 12, 3)).astype("uint8")


def network(classes=6, seed=0, name="net"):
    """A small network whose outputs differ from image to image."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((12, 12, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, activation="relu")(image))
    x = keras.layers.Dense(classes, "softmax")(keras.layers.Flatten()(x))
    return keras.Model(image, x, name=name)


@pytest.fixture(scope="module")
def model():
    """The model that `files` were exported from."""
    return network()


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """A SavedModel and a .tflite file with the preprocessing inside."""
    folder = tmp_path_factory.mktemp("files")
    return {
        "saved_model": kapps.export.saved_model(model, folder, preprocessing=PIXELS),
        "tflite": kapps.export.tflite(
            model, folder / "net.tflite", preprocessing=PIXELS, batch_size=4
        ),
    }


@pytest.mark.parametrize("kind", ["saved_model", "tflite"])
def test_a_correct_file(files, model, kind):
    report = kapps.export.verify(model, files[kind], IMAGES, preprocessing=PIXELS)
    assert (report.path, report.kind, report.examples) == (files[kind], kind, 35)
    assert report.largest_difference < 1e-5
    assert report.top1_agreement == 1
    sizes = [p.stat().st_size for p in files["saved_model"].rglob("*") if p.is_file()]
    assert report.bytes == (files[kind].stat().st_size if kind == "tflite" else sum(sizes))
    assert "\n" not in str(report)
    assert "top-1 agreement 100.0%" in str(report)


@pytest.mark.parametrize("kind", ["saved_model", "tflite"])
def test_a_file_of_other_weights(files, kind):
    report = kapps.export.verify(network(seed=1), files[kind], IMAGES, preprocessing=PIXELS)
    assert report.largest_difference > 0.01
    assert report.top1_agreement < 0.9
    assert str(files[kind]) in report.failure() and "\n" not in report.failure()


def test_missing_preprocessing(files, model):
    assert kapps.export.verify(model, files["tflite"], IMAGES).largest_difference > 0.01


def test_a_model_trained_in_half_precision_is_measured_in_float32(files, model):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = network()
    finally:
        keras.config.set_dtype_policy("float32")
    half.set_weights(model.get_weights())
    report = kapps.export.verify(half, files["tflite"], IMAGES, preprocessing=PIXELS)
    assert report.largest_difference < 1e-5


def test_one_wrong_output_of_several(tmp_path):
    image = keras.Input((12, 12, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    make = lambda factor: keras.Model(image, {"correct": x, "wrong": factor * x})  # noqa: E731
    file = kapps.export.tflite(make(1.0), tmp_path / "two.tflite")
    report = kapps.export.verify(make(2.0), file, IMAGES)
    assert report.top1_agreement == 1
    assert report.largest_difference == pytest.approx(IMAGES.mean((1, 2)).max(), rel=1e-5)
    allowed = report.largest_difference / report.largest_value
    assert str(file) in report.failure(max_difference=0.99 * allowed)
    assert report.failure(max_difference=1.01 * allowed) is None


def test_nan_agrees_with_nothing():
    correct = np.array([[1.0, 2.0], [2.0, 1.0]])
    wrong = np.array([[1.0, np.nan], [2.0, 1.0]])
    assert largest_difference(wrong, correct) == np.inf
    assert top1_agreement(wrong, correct, 0.5) == 0.5
    assert top1_agreement(wrong, wrong, 0.5) == 0.5


def test_an_output_of_width_one_is_compared_with_a_threshold():
    outputs, expected = np.array([[0.4], [0.6]]), np.array([[0.6], [0.9]])
    assert top1_agreement(outputs, expected, 0.5) == 0.5


def test_no_keras_in_the_process_that_runs_a_saved_model(files, tmp_path):
    np.savez(tmp_path / "inputs.npz", only=IMAGES.astype("float32"))
    job = {"path": str(files["saved_model"]), "inputs": str(tmp_path / "inputs.npz")}
    job |= {"outputs": str(tmp_path / "outputs.npz"), "threads": 0, "rounds": 0, "allowed": None}
    command = [sys.executable, "-X", "importtime", _worker.__file__, str(PROGRAM)]
    env = os.environ | {"PYTHONSAFEPATH": "1"}
    process = subprocess.run(
        command,
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=True,
        env=env,
        encoding="utf-8",
    )
    assert process.stdout == "ready\n{}\n"
    modules = {line.split("|")[-1].strip() for line in process.stderr.splitlines() if "|" in line}
    assert "tensorflow" in modules
    assert not [name for name in modules if name.split(".")[0] in ("keras", "kapps")]
    with np.load(tmp_path / "outputs.npz") as arrays:
        assert {k: v.shape for k, v in arrays.items()} == {
            "output_probabilities": (35, 6),
            "output_classes": (35, 5),
        }


def test_errors_of_one_line(files, model, tmp_path):
    corrupt = tmp_path / "corrupt.tflite"
    corrupt.write_bytes(b"not a model")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "saved_model.pb").write_bytes(b"")
    saved, lite = files["saved_model"], files["tflite"]
    small = IMAGES[:2]
    image = keras.Input((8, 8, 3))
    other = keras.Model(image, keras.layers.Dense(6)(image))
    for words, path, other_model, images in [
        ("does not exist", tmp_path / "nothing", model, small),
        ("is neither", tmp_path, model, small),
        ("is neither", pathlib.Path(__file__), model, small),
        ("does not run", corrupt, model, small),
        ("does not run", empty, model, small),
        (r"net takes image \[n, 12, 12, 3\]", lite, model, small[0]),
        (r"net takes image \[n, 12, 12, 3\]", lite, model, small[:0]),
        (r"net takes image \[n, 12, 12, 3\]", lite, model, small[:, :8]),
        (r"net takes image \[n, 12, 12, 3\]", lite, model, small.astype(str)),
        ("a keras.Model", lite, "resnet50", small),
        ("it takes .*12, 12, 3.*not .*8, 8, 3", saved, other, small[:, :8, :8]),
        ("it takes .*12, 12, 3.*not .*8, 8, 3", lite, other, small[:, :8, :8]),
        (r"gives .*\(6,\).* an example, net .*\(7,\)", lite, network(classes=7), small),
    ]:
        with pytest.raises(ValueError, match=words) as error:
            kapps.export.verify(other_model, path, images)
        assert "\n" not in str(error.value)


def test_binary_inputs_need_agreement_and_not_the_difference():
    """The file is right where rounding changes a sign."""
    values = dict(
        path=pathlib.Path("net"), kind="tflite", precision="float32", examples=100, largest_difference=0.02,
        largest_value=1.0, bytes=1, milliseconds={},
    )  # fmt: skip
    assert Report(**values, top1_agreement=1.0).failure()
    assert Report(**values, top1_agreement=1.0, binary_inputs=True).failure() is None
    assert "agreement" in Report(**values, top1_agreement=0.9, binary_inputs=True).failure()
