"""Marks of texts and the search for cells; visualize_text.py with small settings and on the runs of other recipes."""

import json

import keras
import module_files
import numpy as np
import pytest
import recipe_process
from keras import layers

import kapps
from kapps.data import translation

text_cells = module_files.load("recipes/common/text_cells.py")


def test_marks_of_a_text():
    text = 'ab "cd\ne" f(\ng[1])"x\n\n)y"""q"q"""z'
    quoted = "".join(np.where(text_cells.inside_quotes(text), list(text.replace("\n", "n")), "."))
    assert quoted == '..."cdne.........."xn..."""q"q""..'
    assert text_cells.position_in_line("ab\n\nc").tolist() == [0, 1, 2, 0, 0]
    assert text_cells.bracket_depth("a(b[c])d)({\n\n(").tolist() == [
        0, 1, 1, 2, 2, 1, 0, 0, 0, 1, 2, 0, 0, 1,
    ]  # fmt: skip


def counter():
    """A network whose second cell has 0.1 times the number of ones that it read; other weights are random."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, 2))
    layer = layers.SimpleRNN(3, "linear", return_sequences=True, use_bias=False, name="count")
    model = keras.Model(inputs, layers.Dense(1)(layer(inputs)))
    kernel, recurrent = (0.3 * w for w in layer.get_weights())
    kernel[:, 1], recurrent[:, 1], recurrent[1] = [0, 0.1], 0, 0
    recurrent[1, 1] = 1
    layer.set_weights([kernel, recurrent])
    return model


def split(seed):
    bits = np.random.default_rng(seed).integers(0, 2, (4, 30))
    used = np.broadcast_to(np.arange(30) >= 2, bits.shape)
    count = bits.cumsum(axis=1)
    marks = {"count": count, "many": count > 7, "constant": 0 * bits}
    return text_cells.Split(np.eye(2, dtype="float32")[bits], used, marks)


def test_the_search_finds_the_cell_that_counts_and_reports_other_sequences():
    cells = text_cells.search(counter(), split(0), split(1))
    assert set(cells) == {"count", "many"}  # a constant has no correlation
    for cell in cells.values():
        assert (cell.state, cell.cell) == ("count h", 1)
    assert cells["count"].r > 0.9999 and cells["count"].held_out_r > 0.9999
    assert cells["count"].accuracy is None and cells["many"].accuracy == 1
    other = keras.models.clone_model(counter())
    assert text_cells.search(other, split(0), split(1))["count"].held_out_r < 0.9


def test_the_accuracy_of_a_threshold_is_one_half_by_chance():
    values, mark = np.arange(10.0), np.arange(10) >= 8
    assert text_cells.accuracy_of(values, mark, 7.5) == 1
    assert (
        text_cells.accuracy_of(values, mark, 100) == text_cells.accuracy_of(values, mark, -1) == 0.5
    )
    assert 7 <= text_cells.best_threshold(values, mark) < 8


def write_runs(folder):
    """Writes a text, and what counting.py, language_model.py and translation.py leave, with random weights."""
    text = 'a "quoted part" (of\na text) with "lines"\nand more (of them)\n' * 80
    (folder / "text.txt").write_text(text, encoding="utf-8")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, 2))
    lstm = keras.Model(inputs, layers.Dense(3)(layers.LSTM(3, return_sequences=True)(inputs)))
    size = len(set(text)) + 2
    recurrent = kapps.families.rnn_lm(units=(3,), vocabulary=size)
    heads = kapps.families.transformer_decoder(
        vocabulary=size, layers=1, d_model=8, ffn=8, heads=2, input_shape=(50,)
    )
    pairs = translation.learn_vocabularies(["eins zwei"], ["one two"], 262)
    translator = kapps.families.transformer(
        vocabulary=pairs.vocabulary, layers=1, d_model=8, ffn=8, heads=2
    )
    models = {
        "counting/lstm_ab": lstm, "recurrent/model": recurrent, "heads/model": heads, "pairs/model": translator,
    }  # fmt: skip
    for path, model in models.items():
        (folder / path).parent.mkdir()
        model.save(folder / f"{path}.keras")
    pairs.save(folder / "pairs" / "vocabulary.json")
    run = {"flags": {"text": "text.txt", "tokens": "characters", "only_letters": False, "validation": 0.5}}  # fmt: skip
    for name in ("recurrent", "heads"):
        (folder / name / "run.json").write_text(json.dumps(run), encoding="utf-8")
    rows = {"identity": {"longest": 4}, "networks": {"lstm_ab": {}}}
    (folder / "counting" / "results.json").write_text(json.dumps(rows), encoding="utf-8")


@pytest.mark.long
@pytest.mark.tensorflow
def test_own_networks_and_those_of_other_recipes(tmp_path):
    write_runs(tmp_path)
    own = "--text=text.txt --first=3500 --steps=2 --units=3 --longest=3 --counting_steps=2 --tokens=120 --row=60"
    runs = {
        own: ("counting", "cells"),
        "--model_dir=counting": ("counting",),
        "--model_dir=recurrent --tokens=120 --row=60": ("cells",),
        "--model_dir=heads": ("attention",),
        "--model_dir=pairs --sentence=eins": ("alignment",),
    }
    flags = [f"{line} --output_dir=out{i}" for i, line in enumerate(runs)]
    mistakes = (
        "--model_dir=heads --steps=3",
        "--model_dir=pairs",
        "--model_dir=nothing",
        "--sentence=eins",
    )
    flags += [f"{line} --output_dir=no" for line in mistakes]
    printed, errors = recipe_process.run_small("visualize_text", tmp_path, flags)
    for i, names in enumerate(runs.values()):
        for name in names:
            assert (tmp_path / f"out{i}" / f"{name}.png").stat().st_size > 1000, printed
    results = json.loads((tmp_path / "out0" / "results.json").read_text(encoding="utf-8"))
    assert set(results) == {"LSTM on a^n b^n", "GRU on a^n b^n", "characters"}
    for networks in results["characters"].values():
        assert set(networks) == {"trained", "random weights"}
    assert len((tmp_path / "out2" / "similar.txt").read_text(encoding="utf-8").splitlines()) == 11
    for words, error in zip(("steps", "--sentence", "nothing", "sentence"), errors, strict=True):
        assert words in error
    assert not (tmp_path / "no").exists()
