"""Classifies sentences by the structured self-attentive embedding, with and without its penalty.

    python recipes/self_attentive.py --data=TREC.train.all
    python recipes/self_attentive.py --data=rt-polarity.all --steps=1200

The sentence embedding is a matrix whose rows are weighted means of the states of a bidirectional LSTM (Lin 2017,
arXiv:1703.03130). The penalty is on rows that attend to the same words. The network "mean" has the mean of all states
in place of the matrix. --data is a file with a number of a class, a space and a text in each line, such as TREC's
question types and the sentences of rt-polarity (https://github.com/harvardnlp/sent-conv-torch, folder data); a random
tenth of the lines is the test split.

The recipe draws the weights of each row on some sentences of the test. Finished networks are saved to results.json; the
same command resumes an interrupted run. Results: docs/self_attentive.md.
"""

import functools
import gc
import pathlib

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from common import labelled_texts, task_training
from common import results as _results

import kapps
from kapps import data, families, heads, tables, training, visualize
from kapps.layers import recurrent_stack
from kapps.layers.token_embedding import embed_tokens

FLAGS = flags.FLAGS
training.define_path("data", None, "file with a number of a class and a text in each line", "file")
flags.DEFINE_list("penalties", ["0", "1"], "weights of the penalty, one network each, 0 to 1000")
flags.DEFINE_integer("steps", 600, "training steps", 1, 10**9)
flags.DEFINE_integer("batch_size", 50, "sentences per step", 1, 2**16)
flags.DEFINE_integer("longest", 40, "words of a sentence; further ones are left out", 1, 1000)
flags.DEFINE_integer("embedding", 64, "width of the word vectors", 1, 4096)
flags.DEFINE_integer("units", 64, "units of the LSTM in each direction", 1, 4096)
flags.DEFINE_integer("attention_units", 64, "hidden units of the attention", 1, 4096)
flags.DEFINE_integer("hops", 8, "rows of the embedding", 2, 100)
flags.DEFINE_integer("hidden", 128, "hidden units of the classifier", 1, 2**16)
flags.DEFINE_float("dropout", 0.5, "fraction that training drops around the hidden layer", 0, 0.9)
training.define_positive("learning_rate", 2e-3, "peak learning rate of Adam")
flags.DEFINE_integer("seed", 0, "random seed", lower_bound=0)
training.define_path("model_dir", "runs/self_attentive", "output folder", "output")

RUN_FLAGS = (
    "data", "steps", "batch_size", "longest", "embedding", "units", "attention_units", "hops", "hidden", "dropout",
    "learning_rate", "seed",
)  # fmt: skip
"""Flags that are the same for all rows of a table."""
PLOTTED = 3
"""Number of sentences of a plot each."""
COLUMNS = (
    tables.Column("network", "network"),
    tables.Column("parameters", "parameters", ",.0f"),
    tables.Column("steps", "steps", ",.0f"),
    tables.Column("seconds", "seconds", ".0f"),
    tables.Column("loss", "loss", ".3f"),
    tables.Column("result", "accuracy (%)", ".1f"),
    tables.Column("chance", "chance (%)", ".1f"),
    tables.Column("penalty", "penalty", ".3f"),
    tables.Column("product", "product of two rows", ".3f"),
)


def build(penalty, sentences):
    """Returns a network of a penalty, or for None the one of the mean of all states."""
    if penalty is not None:
        return families.self_attentive_embedding(
            vocabulary=sentences.vocabulary, classes=sentences.classes, embedding=FLAGS.embedding, units=FLAGS.units,
            attention_units=FLAGS.attention_units, hops=FLAGS.hops, penalty=penalty, hidden=FLAGS.hidden,
            dropout=FLAGS.dropout,
        )  # fmt: skip
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = embed_tokens(tokens, sentences.vocabulary, FLAGS.embedding)
    x = recurrent_stack.stack(x, FLAGS.units, merge="concat")
    x = keras.layers.GlobalAveragePooling1D(name="pool")(x)
    x = keras.layers.Dropout(FLAGS.dropout, name="dense_dropout")(x)
    x = keras.layers.Dense(FLAGS.hidden, activation="relu", name="dense")(x)
    x = keras.layers.Dropout(FLAGS.dropout, name="dropout")(x)
    return keras.Model(tokens, heads.classifier(x, sentences.classes, "softmax"), name="mean")


def train(run, penalty, sentences):
    """Trains one network. Returns its row of the table."""
    keras.utils.set_random_seed(FLAGS.seed)
    model = build(penalty, sentences)
    loss, rate = "sparse_categorical_crossentropy", FLAGS.learning_rate
    metrics = [keras.metrics.SparseCategoricalAccuracy("accuracy")]
    task_training.compile_model(model, loss, rate, FLAGS.steps, clipnorm=1.0, metrics=metrics)
    random = np.random.default_rng([FLAGS.seed, 1])
    make_batch = functools.partial(sentences.batch, random, FLAGS.batch_size)
    points, seconds = task_training.train(
        run, model, make_batch, lambda _: task_training.measure_accuracy(model, sentences.test, 100), FLAGS.steps
    )  # fmt: skip
    last, weights = points[-1][1], {}
    of_rows = product = None
    if penalty is not None:
        of_rows, product = labelled_texts.measure_rows(model, sentences.test[0])
        for i in labelled_texts.choose_texts(sentences, PLOTTED):
            words = sentences.texts[i]
            (a,) = kapps.attention_weights(model, sentences.test[0][i : i + 1]).values()
            weights[" ".join(words)] = np.round(a[0, :, : len(words)], 4).tolist()
    most = np.bincount(sentences.test[1]).max() / len(sentences.test[1])
    return {
        "network": "mean of all states" if penalty is None else f"penalty {penalty:g}",
        "parameters": model.count_params(),
        "steps": FLAGS.steps,
        "seconds": seconds,
        "loss": last["loss"],
        "result": last["accuracy"],
        "chance": 100 * float(most),
        "penalty": of_rows,
        "product": product,
        "curve": [(step, values["accuracy"]) for step, values in points],
        "weights": weights,
    }


def check_flags():
    """Returns the weights of the penalty, after a check of the flags and of the memory that they need."""
    if FLAGS.data is None:
        raise ValueError("--data is missing: pass a file of labelled lines, such as TREC.train.all")
    penalties = []
    for value in FLAGS.penalties:
        try:
            penalties.append(float(value))
        except ValueError:
            penalties.append(-1.0)
        if not 0 <= penalties[-1] <= 1000:
            raise ValueError(
                f"--penalties={','.join(FLAGS.penalties)}: {value!r} is not a number from 0 to 1000"
            )
    size = training.recurrent_memory(
        max(FLAGS.batch_size, 100), FLAGS.longest, (2 * FLAGS.units, FLAGS.embedding)
    )
    size += 16 * 2 * FLAGS.units * FLAGS.hops * FLAGS.hidden + 16 * 10_000 * FLAGS.embedding
    training.require_memory(size, "lower --batch_size, --longest, --units, --hops or --hidden")
    return penalties


def main(_):
    penalties = check_flags()
    tf.get_logger().setLevel("ERROR")  # it warns about retracing for each network after the first
    sentences = labelled_texts.read_sentences(FLAGS.data, FLAGS.longest, FLAGS.seed)
    identity = {name: FLAGS[name].value for name in RUN_FLAGS}
    results = _results.Results(
        FLAGS.model_dir, identity, {"data": data.file_identity(FLAGS.data)}
    )  # fmt: skip
    networks = {"mean": None} | {f"penalty_{penalty:g}": penalty for penalty in penalties}
    for run, penalty in networks.items():
        if run not in results.rows:
            results.add(run, train(run, penalty, sentences))
            keras.backend.clear_session()
            gc.collect()
        row = results.rows[run]
        detail = "" if row["product"] is None else f", product of two rows {row['product']:.3f}"
        print(
            f"{run}: {row['result']:.1f} % (chance {row['chance']:.1f}){detail}, {row['seconds']:.0f} seconds",
            flush=True,
        )
    files = [results.curves("curve", "curves.png", "steps", "accuracy (%)")]
    with_weights = {
        row["network"]: row["weights"] for row in results.rows.values() if row["weights"]
    }
    for number, words in enumerate(next(iter(with_weights.values()), {}), start=1):
        files.append(f"sentence{number}.png")
        rows = [f"row {hop}" for hop in range(1, FLAGS.hops + 1)]
        weights = {name: np.array(of_texts[words]) for name, of_texts in with_weights.items()}
        visualize.plot_attention(
            weights, words.split(), rows, pathlib.Path(FLAGS.model_dir, files[-1])
        )
    note = (
        f"{len(sentences.train[1]):,} sentences for training and {len(sentences.test[1]):,} for the test. The loss is "
        "that of the test without the penalty. The penalty is the mean of |A A^T - I|^2 over the test, without its "
        "weight; the product is that of two different rows of A. Chance is the most common class."
    )
    results.table("Sentences by the self-attentive embedding", COLUMNS, note, files)


if __name__ == "__main__":
    training.run_main(main)
