"""The text of language_model.py, the texts that its model generates, and its exported files."""

import pathlib

import numpy as np
from absl import flags

from kapps import _files, export
from kapps._errors import main_sentence
from kapps.data import text
from kapps.generation import step_models, text_generation

FLAGS = flags.FLAGS


def load_tokens():
    """Returns the vocabulary, the training tokens and the validation tokens."""
    if not FLAGS.text:
        raise ValueError(
            "--text is missing: pass a UTF-8 file, such as https://www.gutenberg.org/ebooks/35"
        )
    corpus = text.read_text(FLAGS.text)
    # Characters come from the whole text; words and subwords are learned from the training text only.
    cut = len(corpus) - int(FLAGS.validation * len(corpus))
    if FLAGS.tokens == "characters":
        vocabulary = text.characters(corpus, only_letters=FLAGS.only_letters)
    elif FLAGS.tokens == "words":
        size = FLAGS.vocabulary or 10_000
        vocabulary = text.words(corpus[:cut], size=size, only_letters=FLAGS.only_letters)
    else:
        vocabulary = text.subwords(corpus[:cut], FLAGS.vocabulary or 1000)
    tokens = vocabulary.encode(corpus)[: FLAGS.first]
    validation_size = int(FLAGS.validation * len(tokens))
    if not validation_size:
        return vocabulary, tokens, tokens
    return vocabulary, tokens[:-validation_size], tokens[-validation_size:]


def check_outputs(vocabulary, train, validation):
    """Raises ValueError for what would fail after the training: the generated texts, verification and export."""
    if len(np.unique(train)) < 2:
        raise ValueError(f"--text={FLAGS.text}: {len(train):,} training tokens are all equal")
    if len(validation) <= FLAGS.length:
        raise ValueError(
            f"{len(validation):,} validation tokens are too few for --length={FLAGS.length}: pass a longer text, a "
            "smaller --length or a larger --validation"
        )
    calibrated = [precision for precision in FLAGS.tflite if precision in ("int8", "int16")]
    if calibrated:
        raise ValueError(
            f"--tflite={calibrated[0]} is for image models; a decoding step is written in float32, float16 or dynamic"
        )
    prompt = FLAGS.prompt or ""
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise ValueError(f"--prompt={prompt!a} is not UTF-8") from None
    if prompt and not vocabulary.encode(prompt).size:
        raise ValueError(f"--prompt={prompt!r} holds no {FLAGS.tokens}")
    if FLAGS.tokens != "subwords":  # the tokenizer of the SavedModel
        vocabulary.text_vectorization()


def choose_prompt(vocabulary, train):
    """Returns the start of the generated texts: --prompt, or the start of the training text."""
    return FLAGS.prompt or vocabulary.decode(train[: 5 if FLAGS.tokens != "characters" else 20])


def generate_texts(model, vocabulary, prompt):
    """Returns the generated texts: {method: text}."""
    tokens = vocabulary.encode(prompt)
    methods = {
        "greedy decoding": {"temperature": 0},
        f"temperature {FLAGS.temperature}" + (f", top {FLAGS.top_k}" if FLAGS.top_k else ""): {
            "temperature": FLAGS.temperature, "top_k": FLAGS.top_k, "seed": FLAGS.seed,
        },
        f"beam search, width {FLAGS.beam}": {"beam": FLAGS.beam},
    }  # fmt: skip
    step_model = step_models.step_model(model)
    return {
        method: prompt
        + (" " if FLAGS.tokens == "words" else "")
        + vocabulary.decode(text_generation.generate(step_model, tokens, FLAGS.new, **options)[0])
        for method, options in methods.items()
    }


def write_vocabulary(vocabulary, folder):
    """Writes the tokens by index to `vocabulary.json` in a folder."""
    with _files.write_atomically(pathlib.Path(folder, "vocabulary.json")) as path:
        path.write_text(vocabulary.to_json(), encoding="utf-8")


def export_files(model, vocabulary, tokens, steps):
    """Writes a SavedModel and .tflite files of the decoding step. Returns their verification reports.

    A step that cannot be a .tflite file is reported on one line.

    Args:
        model: the language model.
        vocabulary: its vocabulary.
        tokens: texts for the verification, int32 [n, time].
        steps: number of tokens of a text that the decoding step of a file has caches for.
    """
    tokenizer = None if FLAGS.tokens == "subwords" else vocabulary.text_vectorization()
    path = export.saved_model(model, FLAGS.export_dir, tokenizer=tokenizer, new_tokens=FLAGS.new)
    reports = [export.verify(model, path, tokens, timed=True)]
    write_vocabulary(vocabulary, FLAGS.export_dir)
    step_model = step_models.step_model(model, batch=1, length=steps)
    inputs = {"tokens": tokens[:, :1], **step_models.initial_states(step_model, len(tokens))}
    for precision in FLAGS.tflite:
        path = pathlib.Path(FLAGS.export_dir, f"{step_model.name}_{precision}.tflite")
        try:
            export.tflite(step_model, path, precision=precision)
        except ValueError as error:
            print(f"{path} is not written: {main_sentence(str(error))}", flush=True)
        else:
            reports.append(export.verify(step_model, path, inputs, timed=True))
    return reports
