"""Trains LSTM and GRU on the counting languages a^n b^n and a^n b^n c^n (Weiss 2018, arXiv:1805.04908).

    python recipes/counting.py                                  # both languages, both networks
    python recipes/counting.py --languages=ab --networks=lstm --steps=300

Networks with 10 units read a string and predict at each letter which letters may follow, or that the string may end
(Gers 2001, LSTM recurrent networks learn simple context-free and context-sensitive languages). A string is correct
if every prediction is. Each training step uses all n up to 100 (a^n b^n c^n: up to 50). The recipe writes to
--model_dir: the results table, results.json, one model per network, and counters.png as in the paper's Figure 1:
the state of each unit (c of LSTM, h of GRU) along one long string. The paper's LSTMs are correct up to n = 256 and
n = 100.

Run log:
- no flags, six minutes of one core (docs/counting.md): LSTM is correct for all n up to 483 (a^n b^n) and 107 (a^n
  b^n c^n). The first n beyond the training lengths at which GRU is wrong is 109 and 51; it is also wrong for 1 %
  and 2 % of the training lengths.
"""

import pathlib

import common.environment  # noqa: F401  # before TensorFlow

import numpy as np
from absl import flags
from common import results as _results
from common.counting_strings import make_strings, train_network

from kapps import tables, training, visualize
from kapps._files import write_atomically
from kapps.layers import recurrent_stack

FLAGS = flags.FLAGS
flags.DEFINE_list("languages", ["ab", "abc"], "languages: ab for a^n b^n, abc for a^n b^n c^n")
flags.DEFINE_list("networks", ["lstm", "gru"], "networks to train: lstm, gru, rnn")
flags.DEFINE_integer("units", 10, "units of the recurrent layer", 1, 8192)
flags.DEFINE_integer(
    "longest", 100, "largest n of the training strings; half of it for three letters", 2, 10**5
)
flags.DEFINE_integer(
    "limit", 1000, "largest n of the test strings; half of it for three letters", 2, 10**5
)
flags.DEFINE_integer("steps", 4000, "training steps", 1, 10**9)
training.define_positive("learning_rate", 0.01, "peak learning rate of Adam")
flags.DEFINE_integer("seed", 0, "random seed", lower_bound=0)
training.define_path("model_dir", "runs/counting", "output folder", "output")

RUN_FLAGS = ("units", "longest", "limit", "steps", "learning_rate", "seed")
"""Flags that are the same for all rows of a table."""
COLUMNS = (
    tables.Column("language", "language"),
    tables.Column("network", "network"),
    tables.Column("parameters", "parameters", ",.0f"),
    tables.Column("longest", "training n up to", ",.0f"),
    tables.Column("loss", "loss", ".1e"),
    tables.Column("training_accuracy", "accuracy on those (%)", ".1f"),
    tables.Column("first_wrong", "first wrong n beyond", ",.0f"),
    tables.Column("accuracy", "accuracy on all (%)", ".1f"),
    tables.Column("seconds", "seconds", ".0f"),
)


def find_correct(model, letters, limit):
    """Returns a bool array [limit]: whether every prediction is correct on the string of n = 1 ... limit."""
    correct = []
    for counts in np.array_split(np.arange(1, limit + 1), -(-limit // 100)):
        x, y, mask = make_strings(counts.tolist(), letters)
        predictions = model.predict(x, batch_size=100, verbose=0) > 0.5
        correct += list(((predictions == y).all(axis=-1) | (mask == 0)).all(axis=-1))
    return np.array(correct)


def compute_states(model, letters, n):
    """Returns the state of each unit after each step of one string, (steps, units): c of LSTM, h of the other cells."""
    cell, (x, _, _) = model.get_layer("layer1").cell, make_strings([n], letters)
    trace, states = [], cell.get_initial_state(1)
    for step in x[0]:
        _, states = cell(step[None], states)
        trace.append(np.array(states[-1][0]))
    return np.array(trace)


def train(name, letters, longest, limit):
    """Trains one network. Returns the model and its row of the table."""
    model, loss, seconds = train_network(
        name, letters, longest, units=FLAGS.units, steps=FLAGS.steps, learning_rate=FLAGS.learning_rate,
        seed=FLAGS.seed,
    )  # fmt: skip
    correct = find_correct(model, letters, limit)
    wrong = np.flatnonzero(~correct[longest:])
    return model, {
        "language": " ".join(f"{letter}^n" for letter in letters),
        "network": name.upper(),
        "parameters": model.count_params(),
        "longest": longest,
        "loss": loss,
        "training_accuracy": 100 * float(correct[:longest].mean()),
        "first_wrong": longest + 1 + int(wrong[0]) if len(wrong) else None,
        "accuracy": 100 * float(correct.mean()),
        "seconds": seconds,
    }


def plot_states(traces, path):
    """Plots the state of each unit along the longest string, one panel per network."""
    figure = visualize.new_figure(figsize=(11, 2.6 * len(traces)))
    panels = figure.subplots(len(traces), squeeze=False)[:, 0]
    for panel, (title, (letters, states)) in zip(panels, traces.items(), strict=True):
        panel.plot(states, linewidth=0.9)
        for i in range(1, len(letters)):
            panel.axvline(i * len(states) / len(letters), color=visualize.GREY, linestyle=":")
        panel.set_title(title, fontsize=visualize.FONT_SIZE + 1)
        panel.grid(alpha=0.25)
        panel.margins(x=0)
        panel.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("letters read", fontsize=visualize.FONT_SIZE + 1)
    visualize.save_figure(figure, path)


def main(_):
    training.names_of_list("networks", recurrent_stack.KERAS_LAYERS)
    training.names_of_list("languages", ("ab", "abc"))
    if FLAGS.limit <= FLAGS.longest:
        raise ValueError(
            f"--limit={FLAGS.limit} is not above --longest={FLAGS.longest}: the tests need longer strings"
        )
    for strings, n in ((FLAGS.longest, FLAGS.longest), (100, FLAGS.limit)):
        size = training.recurrent_memory(strings, 2 * n, (FLAGS.units,))
        training.require_memory(size, "lower --longest, --limit or --units")
    identity = {name: FLAGS[name].value for name in RUN_FLAGS}
    results = _results.Results(FLAGS.model_dir, identity)
    traces = {}
    for letters in FLAGS.languages:
        divisor = len(letters) - 1  # half the lengths for three letters
        longest, limit = FLAGS.longest // divisor, FLAGS.limit // divisor
        for name in FLAGS.networks:
            path = pathlib.Path(FLAGS.model_dir, f"{name}_{letters}.keras")
            if f"{name}_{letters}" in results.rows:
                model = training.load_model(path)
            else:
                model, row = train(name, letters, longest, limit)
                with write_atomically(path) as written:
                    model.save(written)
                results.add(model.name, row)
            state = "c" if name == "lstm" else "h"
            string = " ".join(f"{letter}^{limit}" for letter in letters)
            title = f"{state} of {name.upper()} along {string}"
            traces[title] = letters, compute_states(model, letters, limit)
    plot_states(traces, pathlib.Path(FLAGS.model_dir, "counters.png"))
    note = (
        f"{FLAGS.units} units; {FLAGS.steps:,} steps of Adam, each on all training strings; test on every n up to "
        f"{FLAGS.limit:,} (half for three letters); - means that no n is wrong."
    )
    results.table("Counting with recurrent networks", COLUMNS, note, ["counters.png"])


if __name__ == "__main__":
    training.run_main(main)
