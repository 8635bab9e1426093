"""search.py with small settings: methods, resuming, plots and errors."""

import csv
import json

import pytest
import recipe_process

SMALL = "--images=64 --test=32 --filters=2 --batch_size=16 --epochs=1 --budget=3 --final_epochs=1 --model_dir"


@pytest.mark.long
@pytest.mark.tensorflow
def test_small_run_of_trials_and_of_shared_weights(tmp_path):
    (tmp_path / "text.zip").write_text("text", encoding="utf-8")
    arguments = [
        f"{SMALL}=run --methods=evolution,darts",
        f"{SMALL}=run --methods=evolution,darts",
        f"{SMALL}=no --methods=evolutoin",
        f"{SMALL}=no --methods=darts,darts",
        f"{SMALL}=no --budget=1 --epochs=2",
        f"{SMALL}=no --batch_size=100",
        f"{SMALL}=no --data=text.zip",
    ]
    output, errors = recipe_process.run_small("search", tmp_path, arguments)
    with open(tmp_path / "run" / "table.csv", newline="", encoding="utf-8") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"evolution", "darts"} and len(rows["darts"]["cells"]) == 6
    assert output.count("evolution, seed 0: 3 of 3") == 1  # the second run resumes
    assert output.count("darts, seed 0: epoch 1 of 1") == 1
    for name in ("cells", "evaluations", "skips"):
        assert (tmp_path / "run" / f"{name}.png").stat().st_size > 5000
    state = json.loads((tmp_path / "run" / "evolution_seed0.json").read_text(encoding="utf-8"))
    assert len(state["history"]) == 3 and not state["pending"]
    assert {cell for cell, _ in state["history"]} <= set(
        json.loads((tmp_path / "run" / "cells.json").read_text(encoding="utf-8"))
    )
    for words, error in zip(
        ("evolution", "once", "--epochs=2", "batch_size=100", "text.zip"), errors, strict=True
    ):
        assert words in error, errors
