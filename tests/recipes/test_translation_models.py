"""translation.py takes every network of a source and a target, with options of its family."""

import importlib
import inspect
import types

import keras
import module_files
import numpy as np
import pytest
import recipe_process

import kapps
from kapps.cards import family_modules

TOKENS = types.SimpleNamespace(joint=True, vocabulary=11)


@pytest.fixture(scope="module")
def translation_models():
    return module_files.load("recipes/common/translation_models.py")


def is_translator(builder):
    """Whether a family reads tokens of a source and of a target, each with a vocabulary of its own."""
    options = inspect.signature(builder.body).parameters
    return builder.defaults["inputs"] == ("source", "target") and "source_vocabulary" in options


def test_every_family_of_a_source_and_a_target_can_be_trained(translation_models):
    folders = ("kapps.attention.", "kapps.recurrent.")
    families = [
        name
        for name, module in family_modules().items()
        if module.startswith(folders)
        and is_translator(importlib.import_module(module).body.builder)
    ]
    assert sorted(translation_models.FAMILIES) == sorted(families)
    names = [x for x in kapps.list_models() if kapps.card(x).family in families]
    assert {*translation_models.MODELS} == {*names, *translation_models.SMALL}


def test_options_that_the_recipe_sets_are_not_allowed(translation_models):
    for option in ("source_vocabulary=9", "every_exit=True", "dropout=0.2"):
        with pytest.raises(ValueError, match=r"set by the recipe.*: rule, threshold, layers"):
            translation_models.read_options("depth_adaptive_geometric", [option], dropout=0.1)
    assert translation_models.read_options("nmt_small", ["dropout=0.2"]) == {"dropout": 0.2}


def test_a_depth_adaptive_network_is_trained_at_all_exits(translation_models):
    name = "depth_adaptive_sequence"
    options = translation_models.read_options(
        name, ["layers=2", "d_model=8", "ffn=8", "heads=1"], dropout=0.0
    )
    model = translation_models.build_model(name, TOKENS, options)
    trained = translation_models.compile_model(
        model, TOKENS, options, keras.optimizers.SGD(0.1), label_smoothing=0.1
    )
    assert trained.output_shape == (None, None, 2, 11)
    assert translation_models.find_rule(name, options) == "sequence" and trained.loss.sequence
    assert translation_models.find_rule(name, {"rule": "confidence"}) == "confidence"
    assert translation_models.find_rule("nmt_small", {}) is None
    trained.set_weights([weight + 1 for weight in trained.get_weights()])
    translation_models.take_weights(model, trained)
    expected = dict(zip([x.path for x in trained.weights], trained.get_weights(), strict=True))
    assert model.weights
    for weight, value in zip(model.weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected[weight.path])


@pytest.mark.long
def test_an_adaptive_universal_transformer_from_training_to_files(tmp_path):
    words = {"a": "ein", "dog": "Hund", "cat": "Kater", "old": "alter"}
    for part, count in (("train", 24), ("val", 4), ("test", 4)):
        rows = [[*words][i % 4 :] + [*words][: i % 4] for i in range(count)]
        for side, lines in (("de", [[words[x] for x in row] for row in rows]), ("en", rows)):
            text = "".join(" ".join(line) + "\n" for line in lines)
            (tmp_path / f"{part}.{side}").write_text(text, encoding="utf-8")
    process = recipe_process.run(
        "translation.py", tmp_path, "--model=universal_transformer_adaptive", "--option=steps=2", "--option=d_model=16",
        "--option=ffn=16", "--option=heads=2", "--vocabulary=260", "--tokens=512", "--epochs=2", "--average=1",
        "--beam=1", "--test_sentences=2", "--data=.", "--test=test",
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-3000:]
    header, *rows = (tmp_path / "run/history.csv").read_text(encoding="utf-8").splitlines()
    columns = header.split(",")
    assert "added_loss" in columns and "val_loss" in columns and "val_added_loss" not in columns
    added = [float(row.split(",")[columns.index("added_loss")]) for row in rows]
    # Two networks whose ponder cost, 0.01 (N + R), is from 0.01 to 0.03 for two steps.
    assert len(added) == 2 and all(0.02 < value < 0.06 for value in added)
    assert "added_loss 0.0" in process.stdout and "of 2 translations" in process.stdout
    assert (tmp_path / "exported/universal_transformer_adaptive_float32/step.tflite").is_file()
    assert (
        process.stdout.count("100%") >= 2
    )  # the SavedModel and the .tflite files translate as the model
