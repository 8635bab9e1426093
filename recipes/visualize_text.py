"""Shows what is inside networks of sequences: cells found by a search, similar states, attention weights.

    python recipes/visualize_text.py                                              # trains small networks itself
    python recipes/visualize_text.py --text=tinyshakespeare.txt                   # characters of another text
    python recipes/visualize_text.py --model_dir=runs/counting
    python recipes/visualize_text.py --model_dir=runs/language_model --text=tinyshakespeare.txt
    python recipes/visualize_text.py --model_dir=runs/translation --sentence=zweihunderteins

Without --model_dir the recipe trains an LSTM and a GRU on a^n b^n, and an LSTM on the characters of a text: --text, or
generated lines of English numbers, with German ones in quotes. With it, it takes the networks that counting.py,
language_model.py (characters) or translation.py left there. For each mark of a sequence, such as the position in the
line, it searches all cells of all recurrent layers for the one with the largest correlation on one part of the
sequences, and reports its correlation on another part, next to that of the best cell of the same network with random
weights. It writes to --output_dir:

- counting.png: strings a^n b^n with the cell that follows the number of a less the number of b (Weiss 2018,
  arXiv:1805.04908).
- cells.png: the characters whose marks vary most, with the marks and the cells that follow them (Karpathy 2015,
  arXiv:1506.02078).
- similar.txt: the places of the text whose states are most like that of one place.
- attention.png: attention weights of each head of a language model. alignment.png: those of a translation.
- results.json: the cells and their correlations.

Results: docs/visualize.md.
"""

import json
import pathlib

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
from absl import flags
from common import counting_strings, number_words, text_cells, translation_corpus

import kapps
from kapps import _interrupts, families, training, visualize
from kapps._files import write_atomically
from kapps.data import text, translation
from kapps.generation import text_generation

FLAGS = flags.FLAGS
training.define_path("model_dir", None, "folder of a finished run", "folder")
training.define_path("text", None, "text file [the run's, or generated]", "file")
flags.DEFINE_string("sentence", None, "sentence to translate, for a run of translation.py")
flags.DEFINE_integer("tokens", 10000, "characters of each part of the search", 60, 10**7)
flags.DEFINE_integer("row", 250, "characters of a sequence of the search", 60, 10**5)
flags.DEFINE_integer(
    "longest", 20, "largest n of the trained strings; up to twice this in the search", 2, 10**4
)
flags.DEFINE_integer(
    "counting_steps", 1500, "training steps of the networks that count; 0 for none", 0, 10**9
)
flags.DEFINE_integer("first", 600_000, "characters of the text to train on", 1000, 10**9)
flags.DEFINE_integer(
    "steps", 1500, "training steps of the network of characters; 0 for none", 0, 10**9
)
flags.DEFINE_integer("units", 64, "units of the network of characters", 1, 8192)
flags.DEFINE_integer("seed", 0, "random seed", lower_bound=0)
training.define_path("output_dir", "runs/visualize_text", "output folder", "output")

TRAINED = ("longest", "counting_steps", "first", "steps", "units")
"""Flags of the networks that the recipe trains."""
UNITS, COUNTING_RATE = 10, 0.01
BATCH, LENGTH, RATE = 32, 100, 5e-3
"""Training of the network of characters: subsequences per step, their length, peak learning rate of Adam."""
GENERATED = 400_000
"""Characters of the generated text; the first nine tenths are for the training."""
FIRST_STEPS = 50
"""First steps of a sequence of the search, which do not count: the states start at zeros."""
HEADS, QUERIES = 8, 40
"""Attention heads in a plot, and tokens of it."""


def counting_split(letters, counts):
    """Returns strings of a language; the mark is the number of a less the number of b that were read."""
    x, _, mask = counting_strings.make_strings(list(counts), letters)
    mark = (x[..., 0] - x[..., 1]).cumsum(axis=1)
    return text_cells.Split(x, mask > 0, {"number of a less b": mark})


def draw_counting(models, longest, folder, results):
    """Writes counting.png: the cells of networks {(name, letters): model} along one string of each."""
    panels = {}
    for (name, letters), model in models.items():
        split = counting_split(letters, range(1, longest + 1))
        held_out = counting_split(letters, range(longest + 1, 2 * longest + 1))
        title = f"{name.upper()} on {' '.join(f'{letter}^n' for letter in letters)}"
        for cell in text_cells.compare(title, model, split, held_out, FLAGS.seed, results).values():
            n = 3 * longest // 2
            inputs, _, _ = counting_strings.make_strings([n], letters)
            values = text_cells.read_states(model, inputs)[cell.state][0, :, cell.cell]
            panel = f"{title}, n = {n}: {cell.state}[{cell.cell}], r {cell.held_out_r:.3f}"
            panels.setdefault(letters, {})[panel] = text_cells.scaled(values, cell)
    files = []
    for letters, values in panels.items():
        n = len(next(iter(values.values()))) // len(letters)
        files.append(f"counting{'' if letters == 'ab' else f'_{letters}'}.png")
        visualize.plot_text("".join(letter * n for letter in letters), values, folder / files[-1])
    return files


def read_counting(folder):
    """Returns the networks of a run of counting.py, {(name, letters): model}, and the largest n of its training."""
    run = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    names = [tuple(name.split("_")) for name in run["networks"]]
    models = {key: training.load_model(folder / f"{'_'.join(key)}.keras") for key in names}
    return models, run["identity"]["longest"] // max(len(letters) - 1 for _, letters in names)


def train_on_characters(vocabulary, tokens):
    """Returns an LSTM that is trained to predict the next character."""
    keras.utils.set_random_seed(FLAGS.seed)
    model = families.rnn_lm(units=(FLAGS.units,), vocabulary=vocabulary.size)
    trained = keras.Model(model.input, model.get_layer("head_logits").output)
    schedule = keras.optimizers.schedules.CosineDecay(RATE, FLAGS.steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam(schedule, clipnorm=1.0)
    trained.compile(optimizer, loss, jit_compile=False)
    optimizer.build(trained.trainable_variables)  # or the first step is traced twice
    dataset = text.subsequence_dataset(tokens, LENGTH, BATCH, seed=FLAGS.seed)
    parts = min(5, FLAGS.steps)
    for part in range(parts):
        steps = FLAGS.steps * (part + 1) // parts - FLAGS.steps * part // parts
        history = trained.fit(dataset, steps_per_epoch=steps, shuffle=False, verbose=0)
        print(f"  {steps} steps, loss {history.history['loss'][-1]:.3f}", flush=True)
    return model


def text_splits(corpus, vocabulary, start):
    """Returns two splits of a text from a character on: every second row of rows at equal distances."""
    pairs = min(FLAGS.tokens, (len(corpus) - start) // 2) // FLAGS.row
    if not pairs:
        left = len(corpus) - start
        raise ValueError(
            f"--row={FLAGS.row} is longer than --tokens={FLAGS.tokens}, or than half of the {left:,} characters "
            "that are left for the search: lower --row, or pass a longer --text"
        )
    firsts = np.linspace(start, len(corpus) - FLAGS.row, 2 * pairs).astype(int)
    places = firsts[:, None] + np.arange(FLAGS.row)
    marks = {name: mark(corpus)[places] for name, mark in text_cells.MARKS.items()}
    tokens = vocabulary.encode(corpus)[places]
    used = np.broadcast_to(np.arange(FLAGS.row) >= FIRST_STEPS, (pairs, FLAGS.row))
    return [
        text_cells.Split(tokens[i::2], used, {name: mark[i::2] for name, mark in marks.items()})
        for i in range(2)
    ]


def draw_cells(model, vocabulary, splits, folder, results):
    """Writes cells.png and similar.txt; returns their names."""
    split, held_out = splits
    cells = text_cells.compare("characters", model, *splits, FLAGS.seed, results)
    # The row whose marks vary most
    spread = sum(mark.std(axis=1) / (mark.std() or 1) for mark in held_out.marks.values())
    row = int(np.argmax(spread))
    states, shown = (
        text_cells.read_states(model, held_out.inputs[[row]]),
        [vocabulary.decode(token[None]) for token in held_out.inputs[row]],
    )
    values = {}
    for name, cell in cells.items():
        mark = held_out.marks[name][row].astype("float64")
        values[name] = 2 * mark / (mark.max() or 1) - 1
        title = f"{cell.state}[{cell.cell}], correlation {cell.held_out_r:.2f}"
        values[title] = text_cells.scaled(states[cell.state][0, :, cell.cell], cell)
    if values:
        visualize.plot_text(shown, values, folder / "cells.png")
    name, query = list(states.items())[-1]
    corpus = text_cells.read_states(model, split.inputs)[name]
    step = FLAGS.row // 2
    every = np.concatenate([corpus.reshape(1, -1, corpus.shape[-1]), query[:, [step]]], axis=1)
    lines = [
        f"       {''.join(shown[max(0, step - 39) : step + 1])!r} ends where {name} is compared"
    ]
    for _, place, cosine in visualize.similar_states(every, 0, every.shape[1] - 1):
        i, j = divmod(place, FLAGS.row)
        lines.append(
            f"{cosine:.3f}  {vocabulary.decode(split.inputs[i, max(0, j - 39) : j + 1])!r}"
        )
    with write_atomically(folder / "similar.txt") as path:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [*["cells.png"] * bool(values), "similar.txt"]


def draw_heads(model, vocabulary, tokens, folder):
    """Writes attention.png, the weights of the first heads for the first tokens of a text; returns its name."""
    tokens = tokens[: model.input_shape[1] or QUERIES]
    weights = visualize_weights(model, tokens[None])
    names = [repr(vocabulary.decode(tokens[i : i + 1]))[1:-1] for i in range(QUERIES)]
    visualize.plot_attention(weights, names, names, folder / "attention.png")
    return ["attention.png"]


def visualize_weights(model, inputs):
    """Returns the weights of the first heads of a model: {layer and head: (queries, keys)}."""
    weights = {}
    for layer, array in kapps.attention_weights(model, inputs).items():
        heads = array[0].reshape(-1, *array.shape[-2:])[:, :QUERIES, :QUERIES]
        weights |= {f"{layer}, head {i + 1}": head for i, head in enumerate(heads)}
    return dict(list(weights.items())[:HEADS])


def draw_language_model(model, folder, results):
    """Draws what is in the model of a run of language_model.py; returns the names of the files."""
    run = pathlib.Path(FLAGS.model_dir, "run.json")
    used = json.loads(run.read_text(encoding="utf-8"))["flags"]
    if used["tokens"] != "characters":
        raise ValueError(f"{run}: --tokens={used['tokens']}; the marks are those of characters")
    corpus = text.read_text(FLAGS.text or used["text"])
    vocabulary = text.characters(corpus, only_letters=used["only_letters"])
    corpus = text.keep_letters(corpus) if used["only_letters"] else corpus
    if vocabulary.size != model.output_shape[-1]:
        raise ValueError(
            f"the text has {vocabulary.size} characters and {model.name} {model.output_shape[-1]}: pass its own --text"
        )
    start = len(corpus) - int(max(0.05, used["validation"]) * len(corpus))
    if not text_cells.recurrent_layers(model):
        return draw_heads(model, vocabulary, vocabulary.encode(corpus)[start:], folder)
    return draw_cells(model, vocabulary, text_splits(corpus, vocabulary, start), folder, results)


def draw_translation(model, folder):
    """Writes alignment.png: the attention weights of a translation by a model of translation.py; returns its name."""
    tokens = translation.VocabularyPair.load(pathlib.Path(FLAGS.model_dir, "vocabulary.json"))
    translator = text_generation.translator(model, end=tokens.end, beam=1, never=(tokens.start,))
    longest = 2 * tokens.encode_sources([FLAGS.sentence]).shape[1] + 10
    (result,) = translation_corpus.translate(translator, tokens, [FLAGS.sentence], longest)
    print(f"{FLAGS.sentence} -> {result}", flush=True)
    path = folder / "alignment.png"
    translation_corpus.plot_attention(model, tokens, FLAGS.sentence, result, path)
    return [path.name] * path.exists()


def draw_own_networks(folder, results):
    """Trains small networks and draws what is in them; returns the names of the files."""
    files = []
    if FLAGS.counting_steps:
        models = {
            (name, "ab"): counting_strings.train_network(
                name, "ab", FLAGS.longest, units=UNITS, steps=FLAGS.counting_steps, learning_rate=COUNTING_RATE,
                seed=FLAGS.seed,
            )[0]
            for name in ("lstm", "gru")
        }  # fmt: skip
        files += draw_counting(models, FLAGS.longest, folder, results)
    if FLAGS.steps:
        corpus = (
            text.read_text(FLAGS.text)
            if FLAGS.text
            else number_words.quoted_text(GENERATED, FLAGS.seed)
        )
        start = min(FLAGS.first, 9 * len(corpus) // 10)
        vocabulary = text.characters(corpus)
        splits = text_splits(corpus, vocabulary, start)
        model = train_on_characters(vocabulary, vocabulary.encode(corpus[:start]))
        files += draw_cells(model, vocabulary, splits, folder, results)
    return files


def main(_):
    folder, results = pathlib.Path(FLAGS.output_dir), {}
    for name in TRAINED:
        training.forbid_without(
            name, "networks of its own: remove --model_dir", not FLAGS.model_dir
        )
    path, is_translation = pathlib.Path(FLAGS.model_dir or "", "model.keras"), False
    # A file that cannot be read is an error before a folder is made.
    if FLAGS.model_dir and pathlib.Path(FLAGS.model_dir, "results.json").exists():
        models, longest = read_counting(pathlib.Path(FLAGS.model_dir))
    elif FLAGS.model_dir:
        models, model = None, training.load_model(path)
        is_translation = len(model.inputs) == 2
        if is_translation and not FLAGS.sentence:
            raise ValueError("--sentence is missing: pass a sentence to translate")
    training.forbid_without("sentence", "the --model_dir of a translation", is_translation)
    training.lock_directory(folder)
    _interrupts.set_description(f"the files that are in {folder} are complete")
    if not FLAGS.model_dir:
        files = draw_own_networks(folder, results)
    elif models:
        files = draw_counting(models, longest, folder, results)
    elif is_translation:
        files = draw_translation(model, folder)
    else:
        files = draw_language_model(model, folder, results)
    with write_atomically(folder / "results.json") as written:
        written.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"written: {', '.join(str(folder / name) for name in [*files, 'results.json'])}")


if __name__ == "__main__":
    training.run_main(main)
