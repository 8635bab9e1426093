"""gan.py with small settings: both networks, samples, exports, and errors in flags."""

import csv

import numpy as np
import pytest
import recipe_process

SMALL = "--image_size=16 --filters=2 --noise=4 --batch_size=8 --epochs=2 --steps=3 --test=16 --classifier_steps=4"


@pytest.mark.long
@pytest.mark.tensorflow
def test_a_small_run_writes_samples_a_table_and_files_that_agree_with_the_generator(tmp_path):
    import keras

    process = recipe_process.run("gan.py", tmp_path, *SMALL.split(), "--networks=attention")
    assert process.returncode == 0, process.stdout + process.stderr
    with open(tmp_path / "run" / "table.csv", newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["network"] == "attention" and float(row["distance"]) > 0
    for epoch in (1, 2):
        grid = keras.utils.load_img(
            tmp_path / "run" / "attention" / "samples" / f"epoch0{epoch}.png"
        )
        assert grid.size == (8 * 16, 10 * 16)
    generator = keras.saving.load_model(tmp_path / "run" / "attention" / "model.keras")
    noise, label = np.zeros((3, 4), "float32"), np.array([0, 9, 4], "int32")
    assert generator([noise, label]).shape == (3, 16, 16, 1)
    with open(tmp_path / "run" / "attention" / "history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 and float(rows[1]["val_feature_distance"]) == float(row["distance"])
    exported = sorted(path.name for path in (tmp_path / "exported").rglob("*.tflite"))
    assert exported == ["1.tflite"] and "largest difference" in process.stdout
    assert "It is not FID" in process.stdout


@pytest.mark.long
@pytest.mark.tensorflow
def test_flags_that_do_not_fit_are_errors(tmp_path):
    cases = {
        "--networks=attention,other": "--networks=attention,other",
        "--networks=plain,plain": "--networks=plain,plain",
        "--strategy=multi_worker": "multi_worker",
        "--precision=mixed_float16": "mixed_bfloat16",
        "--image_size=24": "--image_size=24",
        "--attention=16": "--attention=16",
        "--batch_size=2000": "1437",
    }
    lines = [f"{SMALL} {flags} --model_dir=run --export_dir=exported" for flags in cases]
    _, errors = recipe_process.run_small("gan", tmp_path, lines)
    assert len(errors) == len(cases)
    for words, error in zip(cases.values(), errors, strict=True):
        assert words in error
