"""language_model.py end to end on a generated text: perplexities, generated texts, exported files."""

import functools
import json
import pathlib
import random

import keras
import numpy as np
import pytest
import recipe_process

from kapps import export
from kapps.generation import text_generation

RECIPE = pathlib.Path(__file__).parents[2] / "recipes" / "language_model.py"
WORDS = ["the", "time", "traveller", "for", "so", "it", "will", "be", "convenient", "to", "speak"]


run = functools.partial(recipe_process.run, "language_model.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a short run."""
    folder = tmp_path_factory.mktemp("language_model")
    generator = random.Random(0)
    (folder / "text.txt").write_text(
        " ".join(generator.choice(WORDS) for _ in range(400)), encoding="utf-8"
    )
    process = run(
        folder, "--text=text.txt", "--units=8", "--batch_size=4", "--length=10", "--epochs=2",
        "--learning_rate=0.02", "--new=12", "--prompt=the time", "--top_k=5",
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-3000:]
    (folder / "printed.txt").write_text(process.stdout, encoding="utf-8")
    return folder


@pytest.mark.long
def test_training_lowers_the_perplexity_and_prints_n_gram_models(folder):
    record = json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))["results"]
    assert record["after"]["perplexity"] < 0.8 * record["before"]["perplexity"]
    assert record["after"]["perplexity"] == pytest.approx(np.exp(record["after"]["loss"]), rel=0.1)
    printed = (folder / "printed.txt").read_text(encoding="utf-8")
    for row in ("1-grams", "2-grams", "3-grams", "lstm 8"):
        assert row in printed
    for file in ("curves.png", "perplexity.png", "history.csv", "text.txt"):
        assert (folder / "run" / file).stat().st_size > 100


@pytest.mark.long
def test_the_tflite_step_generates_the_text_of_the_model(folder):
    model = keras.models.load_model(folder / "run" / "model.keras")
    tokens = json.loads((folder / "exported" / "vocabulary.json").read_text(encoding="utf-8"))
    prompt = [tokens.index(character) for character in "the time"]
    (file,) = (folder / "exported").glob("*.tflite")
    step = export.TFLiteStepModel(file)
    expected = text_generation.generate(model, prompt, 12, temperature=0)
    np.testing.assert_array_equal(
        text_generation.generate(step, prompt, 12, temperature=0), expected
    )
    text = "".join(tokens[number] for number in expected[0])
    assert f"greedy decoding:\nthe time{text}\n" in (folder / "run" / "text.txt").read_text(
        encoding="utf-8"
    )
    batch = text_generation.generate(
        step, [prompt, prompt], 3, temperature=0
    )  # the file has batch size 1
    np.testing.assert_array_equal(batch, np.repeat(expected[:, :3], 2, axis=0))


@pytest.mark.long
def test_the_saved_model_continues_text(folder):
    import tensorflow as tf

    loaded = export.runtime.load_saved_model(folder / "exported" / "rnn_lm" / "1")
    output = loaded.signatures["continue_text"](text=tf.constant(["the time"]))["text"]
    continued = output.numpy()[0].decode()
    text = (folder / "run" / "text.txt").read_text(encoding="utf-8")
    assert continued.startswith("the time") and len(continued) == len("the time") + 12
    assert continued in text, "the signature decodes greedily"


def test_a_missing_text_is_a_one_line_error(tmp_path):
    process = run(tmp_path)
    assert process.returncode == 1
    assert "--text" in process.stderr.splitlines()[-1] and "Traceback" not in process.stderr
