"""Curves and the record of a run, read back."""

import csv
import json

import keras
import numpy as np
import pytest
from PIL import Image

from kapps import training


def test_curves_grow_by_a_row_an_epoch(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
    model.compile(
        keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    x, y = np.eye(2, dtype="float32"), np.arange(2)
    callback = training.Curves(tmp_path / "run")
    history = model.fit(
        x, y, epochs=3, validation_data=(x, y), callbacks=[callback], verbose=0
    ).history
    with (tmp_path / "run" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for key in ("loss", "val_accuracy"):
        assert [float(row[key]) for row in rows] == history[key]
    assert float(rows[0]["learning_rate"]) == 0.5
    with Image.open(tmp_path / "run" / "curves.png") as image:
        assert image.format == "PNG" and image.width > image.height
        assert len(np.unique(np.asarray(image.convert("L")))) > 10  # something is drawn


def test_the_record_holds_flags_versions_and_results(tmp_path):
    training.write_run_record(tmp_path / "run.json", {"seed": 3}, {"after": {"accuracy": 0.5}})
    content = json.loads((tmp_path / "run.json").read_text())
    assert content["flags"] == {"seed": 3}
    assert content["results"]["after"]["accuracy"] == 0.5
    assert content["versions"]["keras"] == keras.__version__
    assert "commit" in content


@pytest.mark.parametrize(
    ("call", "allowed"), [(training.set_precision, "float32"), (training.make_strategy, "mirrored")]
)
def test_unknown_names_are_refused_in_one_line(call, allowed):
    with pytest.raises(ValueError, match=allowed) as error:
        call("fast")
    assert "\n" not in str(error.value)


def test_precision_sets_the_policy():
    before = keras.config.dtype_policy()
    try:
        assert training.set_precision("mixed_bfloat16") == "mixed_bfloat16"
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)
