"""LSTM counts, GRU does not (Weiss 2018, arXiv:1805.04908): both learn a^n b^n and a^n b^n c^n, and are tested beyond.

    python recipes/counting.py                                  # both languages, both networks
    python recipes/counting.py --languages=ab --networks=lstm --steps=300

Networks of ten units read a string and say at each letter which may come next, or that the string may end (Gers 2001,
LSTM recurrent networks learn simple context-free and context-sensitive languages). A string counts as right where
every answer is. Training has all n up to 100, of a^n b^n c^n up to 50, in every step. In --model_dir: the table,
results.json, a model each, and counters.png, the paper's Figure 1: what each unit holds, c of LSTM and h of GRU, along
one long string. The paper's LSTMs are right up to n = 256 and n = 100.

Reached with defaults in six minutes of one core, docs/counting.md: LSTM is right for all n up to 483 and 107; GRU is
wrong for the first time beyond its training at n = 109 and 51, and for 1 % and 2 % of what it was trained on.
"""

import pathlib
import time

import keras
import numpy as np
from absl import flags
from common import environment  # noqa: F401  # before TensorFlow
from common import results as _results

from kapps import tables, training, visualize
from kapps._files import write_atomically
from kapps.layers import recurrent_stack

FLAGS = flags.FLAGS
flags.DEFINE_list("languages", ["ab", "abc"], "letters of a^n b^n and of a^n b^n c^n")
flags.DEFINE_list("networks", ["lstm", "gru"], "of lstm, gru, rnn")
flags.DEFINE_integer("units", 10, "of the network", lower_bound=1)
flags.DEFINE_integer("longest", 100, "n of training; of three letters half of it", lower_bound=2)
flags.DEFINE_integer("limit", 1000, "n of the test; of three letters half of it", lower_bound=2)
flags.DEFINE_integer("steps", 4000, "of training", lower_bound=1)
flags.DEFINE_float("learning_rate", 0.01, "of Adam, at its height", lower_bound=0)
flags.DEFINE_integer("seed", 0, "of the weights")
flags.DEFINE_string("model_dir", "runs/counting", "where everything goes")

SETTLING = ("units", "longest", "limit", "steps", "learning_rate", "seed")
"""Flags that all lines of a table have in common."""
COLUMNS = (
    tables.Column("language", "language"),
    tables.Column("network", "network"),
    tables.Column("parameters", "parameters", ",.0f"),
    tables.Column("longest", "trained to n", ",.0f"),
    tables.Column("loss", "loss", ".1e"),
    tables.Column("known", "right of those (%)", ".1f"),
    tables.Column("first_wrong", "first n wrong beyond", ",.0f"),
    tables.Column("all", "right of all (%)", ".1f"),
    tables.Column("seconds", "seconds", ".0f"),
)


def strings(counts, letters):
    """Strings of n of each letter, for each n of `counts`, padded on the right.

    Returns:
        letters, (strings, steps, letters), one hot; what may follow, (strings, steps, letters + 1), the end last;
        1 where a string has a step, (strings, steps); all float32.
    """
    kinds, steps = len(letters), len(letters) * max(counts)
    x = np.zeros((len(counts), steps, kinds), "float32")
    y = np.zeros((len(counts), steps, kinds + 1), "float32")
    for i, n in enumerate(counts):
        for kind in range(kinds):
            its = slice(kind * n, (kind + 1) * n)
            x[i, its, kind] = y[i, its, kind] = 1
            y[i, its.stop - 1, kind] = kind == 0  # nobody knows which a is the last
            y[i, its if kind == 0 else its.stop - 1, kind + 1] = 1
    return x, y, x.max(axis=-1)


def right_for(model, letters, limit):
    """Returns for n from 1 to `limit` whether every answer of a string is right."""
    right = []
    for part in np.array_split(np.arange(1, limit + 1), -(-limit // 100)):
        x, y, there = strings(part.tolist(), letters)
        answers = model.predict(x, batch_size=100, verbose=0) > 0.5
        right += list(((answers == y).all(axis=-1) | (there == 0)).all(axis=-1))
    return np.array(right)


def states(model, letters, n):
    """Returns what each unit holds after each step of one string: c of LSTM, h of the others, (steps, units)."""
    cell, (x, _, _) = model.get_layer("layer1").cell, strings([n], letters)
    held, now = [], cell.get_initial_state(1)
    for step in x[0]:
        _, now = cell(step[None], now)
        held.append(np.array(now[-1][0]))
    return np.array(held)


def train(name, letters, longest, limit):
    """Trains one network; returns it and its line of the table."""
    keras.utils.set_random_seed(FLAGS.seed)
    given = keras.Input((None, len(letters)), name="sequence")
    h = recurrent_stack.recurrent_layer(FLAGS.units, cell=name, name="layer1")(given)
    may_follow = keras.layers.Dense(len(letters) + 1, activation="sigmoid", name="predictions")(h)
    model = keras.Model(given, may_follow, name=f"{name}_{letters}")
    schedule = keras.optimizers.schedules.CosineDecay(FLAGS.learning_rate, FLAGS.steps)
    optimizer = keras.optimizers.Adam(schedule, clipnorm=1.0)
    model.compile(optimizer, "binary_crossentropy", jit_compile=False)
    batch, began = strings(list(range(1, longest + 1)), letters), time.monotonic()
    for step in range(FLAGS.steps):
        loss = model.train_on_batch(*batch)
        if step % max(1, FLAGS.steps // 5) == 0 or step == FLAGS.steps - 1:
            print(f"  {model.name}: step {step + 1:,}, loss {loss:.5f}", flush=True)
    took = time.monotonic() - began
    right = right_for(model, letters, limit)
    wrong = np.flatnonzero(~right[longest:])
    return model, {
        "language": " ".join(f"{letter}^n" for letter in letters),
        "network": name.upper(),
        "parameters": model.count_params(),
        "longest": longest,
        "loss": float(loss),
        "known": 100 * float(right[:longest].mean()),
        "first_wrong": longest + 1 + int(wrong[0]) if len(wrong) else None,
        "all": 100 * float(right.mean()),
        "seconds": took,
    }


def draw(traces, path):
    """Draws what each unit holds along the longest string, a panel a network."""
    figure = visualize.new_figure(figsize=(11, 2.6 * len(traces)))
    panels = figure.subplots(len(traces), squeeze=False)[:, 0]
    for panel, (name, (letters, held)) in zip(panels, traces.items(), strict=True):
        panel.plot(held, linewidth=0.9)
        for i in range(1, len(letters)):
            panel.axvline(i * len(held) / len(letters), color=visualize.GREY, linestyle=":")
        panel.set_title(name, fontsize=visualize.FONT_SIZE + 1)
        panel.grid(alpha=0.25)
        panel.margins(x=0)
        panel.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("letters read", fontsize=visualize.FONT_SIZE + 1)
    visualize.save_figure(figure, path)


def main(_):
    for flag, allowed in (("networks", recurrent_stack.KERAS), ("languages", ("ab", "abc"))):
        for each in FLAGS[flag].value:
            if each not in allowed:
                raise ValueError(f"--{flag}: {each!r} is none of {', '.join(allowed)}")
    identity = {name: FLAGS[name].value for name in SETTLING}
    results = _results.Results(FLAGS.model_dir, identity)
    traces = {}
    for letters in FLAGS.languages:
        share = len(letters) - 1  # of three letters, half as many
        longest, limit = FLAGS.longest // share, FLAGS.limit // share
        for name in FLAGS.networks:
            path = pathlib.Path(FLAGS.model_dir, f"{name}_{letters}.keras")
            if f"{name}_{letters}" in results.rows:
                model = keras.saving.load_model(path)
            else:
                model, row = train(name, letters, longest, limit)
                with write_atomically(path) as written:
                    model.save(written)
                results.add(model.name, row)
            held = "c" if name == "lstm" else "h"
            title = (
                f"{held} of {name.upper()} along {' '.join(f'{each}^{limit}' for each in letters)}"
            )
            traces[title] = letters, states(model, letters, limit)
    draw(traces, pathlib.Path(FLAGS.model_dir, "counters.png"))
    note = (
        f"{FLAGS.units} units, {FLAGS.steps:,} steps of Adam, each on all n trained on; tested on every n up to "
        f"{FLAGS.limit:,}, of three letters half of that; - where none is wrong."
    )
    results.table("How far networks count", COLUMNS, note, ["counters.png"])


if __name__ == "__main__":
    training.run_main(main)
