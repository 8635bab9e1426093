"""language_model.py end to end on a generated text: perplexities, generated texts, exported files."""

import csv
import functools
import json
import pathlib
import random
import re

import keras
import numpy as np
import pytest
import recipe_process
from absl import flags

import kapps
from kapps import export
from kapps.generation import step_models, text_generation

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
    for file in ("curves.png", "perplexity.png", "history.csv", "text.txt", "vocabulary.json"):
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


SMALL = ("layers=1", "d_model=16", "ffn=16", "heads=2")


@pytest.mark.long
def test_an_attention_model_trains_generates_and_is_exported(tmp_path, folder):
    """The adaptive spans: their loss is apart, and file and model continue a text in the same way."""
    options = (*SMALL, "span=16", "span_loss=0.001", "initial_span=0.5")
    process = run(
        tmp_path, f"--text={folder / 'text.txt'}", "--model=adaptive_span_transformer",
        *(f"--option={option}" for option in options), "--batch_size=4", "--length=10", "--epochs=2",
        "--learning_rate=0.02", "--new=12", "--prompt=the time",
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-3000:]
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["results"]
    assert record["after"]["perplexity"] < 0.5 * record["before"]["perplexity"]
    with (tmp_path / "run" / "history.csv").open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    assert float(row["added_loss"]) > 0
    assert np.exp(float(row["loss"])) == pytest.approx(float(row["perplexity"]), rel=1e-4)
    assert float(np.log2(record["after"]["perplexity"])) == pytest.approx(
        float(re.search(r"^adaptive_span_transformer .* (\S+)$", process.stdout, re.MULTILINE)[1]),
        abs=1e-3,
    )
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    (file,) = (tmp_path / "exported").glob("*.tflite")
    tokens = json.loads((tmp_path / "exported" / "vocabulary.json").read_text(encoding="utf-8"))
    prompt = [tokens.index(character) for character in "the time"]
    expected = text_generation.generate(model, prompt, 12, temperature=0)
    step = export.TFLiteStepModel(file)
    np.testing.assert_array_equal(
        text_generation.generate(step, prompt, 12, temperature=0), expected
    )
    loaded = export.runtime.load_saved_model(
        tmp_path / "exported" / "adaptive_span_transformer" / "1"
    )
    continued = loaded.signatures["continue_text"](text=keras.ops.convert_to_tensor(["the time"]))
    text = "the time" + "".join(tokens[number] for number in expected[0])
    assert continued["text"].numpy()[0].decode() == text


MISTAKES = {  # (flags, words of the message)
    "no model": (["--model=reformr"], ["--model=reformr", "Did you mean reformer"]),
    "translator": (["--model=transformer_base"], ["translation.py", "transformer_decoder"]),
    "not causal": (["--model=transformer_encoder"], ["not a language model"]),
    "units": (["--model=reformer", "--units=4"], ["--units", "--model=rnn_lm"]),
    "carry": (["--model=reformer", "--carry"], ["--carry", "rnn_lm"]),
    "twice": (["--units=4", "--option=units=5"], ["--units", "--option=units"]),
    "no option": (["--model=reformer", "--option=widht=4"], ["widht", "layers", "chunk"]),
    "reserved": (["--option=stateful=True"], ["stateful", "set by the recipe"]),
    "kind": (["--model=reformer", "--option=layers=two"], ["layers='two'", "integer"]),
    "cutoffs": (["--cutoffs=20"], ["--cutoffs", "--tokens=words"]),
    "order": (["--tokens=words", "--cutoffs=20,10"], ["--cutoffs=20,10", "increasing"]),
}


@pytest.fixture
def language_models(monkeypatch):
    """`common.language_models`, with flags of the recipe in place of those of other programs."""
    values = flags.FlagValues()
    for name, default in {"model": "rnn_lm", "tokens": "characters", "cell": "lstm"}.items():
        flags.DEFINE_string(name, default, "", flag_values=values)
    flags.DEFINE_multi_string("option", [], "", flag_values=values)
    flags.DEFINE_multi_integer("units", [128], "", flag_values=values)
    flags.DEFINE_integer("embedding", None, "", flag_values=values)
    flags.DEFINE_float("dropout", 0.0, "", flag_values=values)
    flags.DEFINE_bool("carry", True, "", flag_values=values)
    flags.DEFINE_list("cutoffs", None, "", flag_values=values)
    monkeypatch.syspath_prepend(RECIPE.parent)
    from common import language_models

    monkeypatch.setattr(flags, "FLAGS", values)
    monkeypatch.setattr(language_models, "FLAGS", values)
    return language_models


@pytest.mark.parametrize("case", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_the_flags_of_the_model_is_one_line(language_models, case):
    arguments, words = case
    values = language_models.FLAGS
    values(["language_model.py", *arguments])
    with pytest.raises(ValueError) as error:
        language_models.set_flags()
        language_models.read_cutoffs(values.model, values.cutoffs)
    line = str(error.value)
    assert all(word in line for word in words) and "\n" not in line, line


def test_flags_set_the_options_of_the_model(language_models):
    values = language_models.FLAGS
    values(["language_model.py", "--units=4", "--units=5", "--option=cell=gru"])
    assert language_models.set_flags() == {
        "units": (4, 5), "embedding": None, "cell": "gru", "dropout": 0.0,
    }  # fmt: skip
    assert values.carry


def test_the_options_of_a_builder_replace_those_of_its_row(language_models):
    values = language_models.FLAGS
    values(["language_model.py", "--model=gcnn14_wikitext103", "--option=embedding=8"])
    assert language_models.set_flags() == {"embedding": 8} and not values.carry
    assert language_models.read_cutoffs(values.model, None) == (10_000, 20_000, 200_000)
    assert language_models.read_cutoffs(values.model, ["10", "20"]) == (10, 20)


def test_every_family_from_tokens_to_the_next_token_is_a_language_model(language_models):
    """A network of tokens that scores all tokens at each step is one, except for the encoder, which reads ahead.

    A memory network scores all tokens once, as the answer to a question.
    """
    others = {"transformer_encoder", "memory_network"}
    for name in kapps.families.__all__:
        defaults = getattr(kapps.families, name).builder.defaults
        scores_tokens = defaults.get("vocabulary") and defaults["classes"] is None
        is_one = scores_tokens and len(defaults["inputs"]) == 1 and name not in others
        assert is_one == (name in language_models.FAMILIES) or not scores_tokens, name


def test_words_have_an_adaptive_softmax_and_positions_an_end(language_models):
    options = dict(layers=1, d_model=16, ffn=16, heads=2, key_dim=8, positions=(4, 8))
    model = language_models.build_model("sparse_transformer", options, 50, (10, 20))
    layer = model.get_layer("head_logits")
    assert (layer.classes, layer.cutoffs) == (50, (10, 20))
    probabilities = model.predict_on_batch(np.ones((1, 3), "int32"))
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    assert step_models.longest_sequence(model) == 32
    flags.DEFINE_integer("new", 30, "", flag_values=language_models.FLAGS)
    language_models.FLAGS(["language_model.py"])
    language_models.check_length(model, 3)
    with pytest.raises(ValueError, match="need 33 positions"):
        language_models.check_length(model, 4)


@pytest.mark.long
def test_a_missing_text_is_a_one_line_error(tmp_path):
    process = run(tmp_path)
    assert process.returncode == 1
    assert "--text" in process.stderr.splitlines()[-1] and "Traceback" not in process.stderr
