"""The files of a training's history, read back."""

import csv

import keras
import numpy as np
from PIL import Image

from kapps import training


def test_a_row_is_added_after_every_epoch(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
    model.compile(
        keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    x, y = np.eye(2, dtype="float32"), np.arange(2)
    callback = training.Curves(tmp_path / "run")
    history = model.fit(
        x, y, epochs=3, validation_data=(x, y), callbacks=[callback], verbose=0
    ).history
    with (tmp_path / "run" / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for key in ("loss", "val_accuracy"):
        assert [float(row[key]) for row in rows] == history[key]
    assert float(rows[0]["learning_rate"]) == 0.5
    with Image.open(tmp_path / "run" / "curves.png") as image:
        assert image.format == "PNG" and image.width > image.height
        assert len(np.unique(np.asarray(image.convert("L")))) > 10  # not one colour
