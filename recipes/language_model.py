r"""Trains a recurrent language model on a text file, has it write, and exports it: text in, text out.

    python recipes/language_model.py --text=timemachine.txt
    python recipes/language_model.py --text=book.txt --tokens=words --vocabulary=5000 --embedding=200 --units=200
    python recipes/language_model.py --text=book.txt --tokens=subwords --embedding=128 --units=256 --top_k=20

A text is any file in UTF-8: The Time Machine is https://www.gutenberg.org/ebooks/35, tiny Shakespeare lies in
https://github.com/karpathy/char-rnn/tree/master/data/tinyshakespeare. The defaults are char-rnn's: 2 x 128 units of
LSTM on one-hot characters, batches of 50 x 50, RMSprop, 2e-3. The end of the text is held out; beside the network's
perplexity on it stand those of n-grams that are smoothed as https://d2l.ai has it, their constants chosen on the
training text. States are carried from batch to batch, or with --nocarry subsequences come in random order.

Published: d2l.ai prints a training perplexity of 1.1 for one GRU of 256 units on the first 10,000 characters of The
Time Machine after 500 passes (https://c.d2l.ai/zh-v2, recurrent-modern/gru; 1.3 for a plain RNN). Here, 2 shared CPU
cores, 20 minutes: 1.040 in training as the book counts it, and 1.269 where every stream begins with zeros, by

    python recipes/language_model.py --text=timemachine.txt --only_letters --first=10000 --validation=0 --cell=gru \
        --units=256 --batch_size=32 --length=35 --epochs=500 --every=25 --optimizer=sgd --learning_rate=1 --decay=1 \
        --clip=1 --prompt="time traveller" --new=50

beside 17.07, 9.46 and 5.42 of 1-, 2- and 3-grams on the same text. For char-rnn at its defaults nobody gives a final
figure (https://github.com/karpathy/char-rnn/issues/167 asks for one); its README has a checkpoint of a network whose
size it does not say, with 2.0681 nats a character of the text held out after 0.95 passes. Of the fifty passes over tiny
Shakespeare, `--text=tinyshakespeare.txt`, 28 seconds each on two cores, the first, second, tenth, twentieth and
twenty-fifth end at 2.320, 2.057, 1.673, 1.623 and 1.619 nats, the last a perplexity of 5.047 where 3-grams have 8.030.

It leaves `model.keras`, `history.csv`, `curves.png`, `perplexity.png`, `text.txt` and `run.json` in --model_dir, and
under --export_dir a SavedModel, which continues text, a .tflite file of one step for `kapps.export.TFLiteStepModel`, and
the tokens by number, `vocabulary.json`.
"""

import functools
import pathlib

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
from absl import flags

import kapps
from kapps import _files, data, export, training, visualize
from kapps.data import text
from kapps.generation import step_models, text_generation

FLAGS = flags.FLAGS
flags.DEFINE_string("text", None, "the file")
flags.DEFINE_enum("tokens", "characters", ["characters", "words", "subwords"], "what is predicted")
flags.DEFINE_bool("only_letters", False, "of characters and words: lower case, nothing but a to z")
flags.DEFINE_integer("vocabulary", None, "how many tokens at most [words 10000, subwords 1000]")
flags.DEFINE_integer("first", None, "tokens of the text that are used [all]", lower_bound=100)
flags.DEFINE_float("validation", 0.05, "share held out; 0 evaluates on the training text", 0, 0.5)
flags.DEFINE_enum("cell", "lstm", ["rnn", "gru", "lstm", "multiplicative"], "of the layers")
flags.DEFINE_multi_integer("units", [128, 128], "of a layer; give it again for another layer")
flags.DEFINE_integer("embedding", None, "width of the embedding [one-hot tokens]", lower_bound=1)
flags.DEFINE_float("dropout", 0.0, "of what is not recurrent", 0, 0.95)
flags.DEFINE_bool("carry", True, "whether batches go on from the states of those before")
flags.DEFINE_integer("batch_size", 50, "streams, or subsequences a step", lower_bound=1)
flags.DEFINE_integer("length", 50, "tokens of each", lower_bound=1)
flags.DEFINE_integer("epochs", 50, "passes over the text", lower_bound=1)
flags.DEFINE_integer(
    "every", 1, "passes between two evaluations; it divides --epochs", lower_bound=1
)
flags.DEFINE_enum("optimizer", "rmsprop", ["sgd", "rmsprop", "adam"], "RMSprop has rho = 0.95")
flags.DEFINE_float("learning_rate", 2e-3, "at first", lower_bound=0)
flags.DEFINE_float("decay", 0.97, "of the learning rate, each epoch after --decay_after", 0, 1)
flags.DEFINE_integer("decay_after", 10, "epochs at the first rate", lower_bound=0)
flags.DEFINE_float("clip", 5.0, "norm to which all gradients together are clipped", lower_bound=0)
flags.DEFINE_string("prompt", None, "what generated texts go on from [the text's first words]")
flags.DEFINE_integer("new", 200, "tokens that are generated", lower_bound=1)
flags.DEFINE_float("temperature", 0.8, "of the text that is drawn", lower_bound=0)
flags.DEFINE_integer("top_k", None, "how many of the likeliest are drawn from [all]", lower_bound=1)
flags.DEFINE_integer("beam", 4, "texts that beam search keeps", lower_bound=1)
training.define_flags(model_dir="runs/language_model")

SETTLING = (
    "text", "tokens", "only_letters", "vocabulary", "first", "validation", "cell", "units", "embedding", "dropout",
    "carry", "batch_size", "length", "epochs", "every", "optimizer", "learning_rate", "decay", "decay_after", "clip",
    "precision", "seed", "deterministic",
)  # fmt: skip
"""Flags that a run which goes on must have as it began."""


def load():
    """Returns the vocabulary, and the tokens to train and to evaluate on."""
    if not FLAGS.text:
        raise ValueError(
            "no text: give --text, any UTF-8 file, such as https://www.gutenberg.org/ebooks/35"
        )
    whole = text.read_text(FLAGS.text)
    # Of characters all are known; words and byte pairs are learned from the training text alone.
    cut = len(whole) - int(FLAGS.validation * len(whole))
    if FLAGS.tokens == "characters":
        vocabulary = text.characters(whole, only_letters=FLAGS.only_letters)
    elif FLAGS.tokens == "words":
        size = FLAGS.vocabulary or 10_000
        vocabulary = text.words(whole[:cut], size=size, only_letters=FLAGS.only_letters)
    else:
        vocabulary = text.subwords(whole[:cut], FLAGS.vocabulary or 1000)
    tokens = vocabulary.encode(whole)[: FLAGS.first]
    held = int(FLAGS.validation * len(tokens))
    if not held:
        return vocabulary, tokens, tokens
    return vocabulary, tokens[:-held], tokens[-held:]


def build(vocabulary, **options):
    return kapps.families.rnn_lm(
        units=tuple(FLAGS.units), embedding=FLAGS.embedding, cell=FLAGS.cell, dropout=FLAGS.dropout,
        vocabulary=vocabulary.size, **options,
    )  # fmt: skip


def optimizer(steps):
    """Returns the optimizer, its rate falling after --decay_after epochs."""
    kind = {
        "sgd": keras.optimizers.SGD,
        "rmsprop": functools.partial(keras.optimizers.RMSprop, rho=0.95),
        "adam": keras.optimizers.Adam,
    }[FLAGS.optimizer]
    bounds = [steps * epoch for epoch in range(FLAGS.decay_after, FLAGS.epochs)]
    rates = [FLAGS.learning_rate * FLAGS.decay**i for i in range(len(bounds) + 1)]
    constant = FLAGS.decay == 1 or not bounds
    rate = (
        FLAGS.learning_rate
        if constant
        else keras.optimizers.schedules.PiecewiseConstantDecay(bounds, rates)
    )
    return kind(rate, global_clipnorm=FLAGS.clip or None)


def write(model, vocabulary, prompt):
    """Returns texts that the model wrote, by how."""
    given = vocabulary.encode(prompt)
    ways = {
        "the likeliest token each time": {"temperature": 0},
        f"temperature {FLAGS.temperature}" + (f", top {FLAGS.top_k}" if FLAGS.top_k else ""): {
            "temperature": FLAGS.temperature, "top_k": FLAGS.top_k, "seed": FLAGS.seed,
        },
        f"beam search, {FLAGS.beam} kept": {"beam": FLAGS.beam},
    }  # fmt: skip
    one = step_models.step_model(model)
    return {
        how: prompt
        + (" " if FLAGS.tokens == "words" else "")
        + vocabulary.decode(text_generation.generate(one, given, FLAGS.new, **options)[0])
        for how, options in ways.items()
    }


def deliver(model, vocabulary, given):
    """Writes a SavedModel and the step's .tflite files, and returns the report of each."""
    tokenizer = None if FLAGS.tokens == "subwords" else vocabulary.text_vectorization()
    path = export.saved_model(model, FLAGS.export_dir, tokenizer=tokenizer, new_tokens=FLAGS.new)
    reports = [export.verify(model, path, given, timed=True)]
    with _files.write_atomically(pathlib.Path(FLAGS.export_dir, "vocabulary.json")) as listed:
        listed.write_text(vocabulary.to_json(), encoding="utf-8")
    one = step_models.step_model(model, batch=1)
    rows = {"tokens": given[:, :1], **step_models.initial_states(one, len(given))}
    for precision in FLAGS.tflite:
        path = pathlib.Path(FLAGS.export_dir, f"{one.name}_{precision}.tflite")
        export.tflite(one, path, precision=precision)
        reports.append(export.verify(one, path, rows, timed=True))
    return reports


def main(_):
    strategy = training.make_strategy(FLAGS.strategy, worker_timeout=FLAGS.worker_timeout)
    training.set_seed(FLAGS.seed, FLAGS.deterministic)
    if FLAGS.carry and strategy.num_replicas_in_sync > 1:
        raise ValueError("states are carried on one device: give --nocarry, or --strategy=default")
    if FLAGS.epochs % FLAGS.every:
        raise ValueError(f"--every={FLAGS.every} does not divide --epochs={FLAGS.epochs}")

    # Text
    vocabulary, train, held = load()
    shape = FLAGS.batch_size, FLAGS.length
    steps = (text.stream_steps_per_epoch if FLAGS.carry else text.subsequence_steps_per_epoch)(
        train, *shape[::-1]
    )
    batches = functools.partial(
        text.stream_dataset if FLAGS.carry else text.subsequence_dataset, train, *shape[::-1], seed=FLAGS.seed
    )  # fmt: skip
    test = text.eval_stream_dataset(held, *shape[::-1])
    counts = text.fit_ngram_model(train, vocabulary.size)
    baselines = {f"{n}-grams": text.perplexity(counts.probabilities(held, n)) for n in (1, 2, 3)}

    # Precision, model, optimizer
    FLAGS.precision = training.set_precision(FLAGS.precision)
    with strategy.scope():
        options = {}
        if FLAGS.carry:
            tokens = keras.Input(batch_shape=shape, dtype="int32", name="tokens")
            options = {"stateful": True, "input_tensor": tokens}
        model = build(vocabulary, **options)
        trained = keras.Model(model.input, model.get_layer("head_logits").output, name=model.name)
        trained.compile(
            optimizer(steps), keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            weighted_metrics=[training.Perplexity()], jit_compile=False,
        )  # fmt: skip

    # Fit and evaluate
    run = training.Run(
        FLAGS.model_dir, strategy, epochs=FLAGS.epochs // FLAGS.every, steps_per_epoch=steps * FLAGS.every,
        batch_size=FLAGS.batch_size, identity={name: FLAGS[name].value for name in SETTLING},
        checkpoint_interval=FLAGS.checkpoint_every,
    )  # fmt: skip
    if run.is_chief:
        count = sum(int(np.prod(weight.shape)) for weight in trained.trainable_weights)
        apart = f"{len(held):,} held out" if FLAGS.validation else "none held out"
        print(
            f"{count:,} trainable parameters, {vocabulary.size:,} {FLAGS.tokens}, {len(train):,} to train on, {apart}, "
            f"{FLAGS.epochs} epochs of {steps} steps of {FLAGS.batch_size} x {FLAGS.length}"
        )
    with data.explain_errors():
        before, after = run.fit(trained, batches, test, callbacks=[training.ResetStates(steps)])
    if not run.is_chief:
        return

    # Save, write, export
    whole = build(vocabulary)
    whole.set_weights(trained.get_weights())
    model = run.save(whole)
    history = [(FLAGS.every * row["epoch"], row["val_perplexity"]) for row in run.history]
    visualize.plot_lines(
        {"network": tuple(zip(*history, strict=True))}, pathlib.Path(FLAGS.model_dir, "perplexity.png"),
        "passes over the text", "perplexity", logarithmic=True, levels=baselines,
    )  # fmt: skip
    prompt = FLAGS.prompt or vocabulary.decode(train[: 5 if FLAGS.tokens != "characters" else 20])
    texts = write(model, vocabulary, prompt)
    with _files.write_atomically(pathlib.Path(FLAGS.model_dir, "text.txt")) as path:
        said = (f"{how}:\n{written}\n" for how, written in texts.items())
        path.write_text("\n".join(said), encoding="utf-8")
    rows = (len(held) - 1) // FLAGS.length
    given = held[: min(rows, 32) * FLAGS.length].reshape(-1, FLAGS.length)
    reports = deliver(model, vocabulary, given.astype("int32"))
    run.finish(before, after, reports, flags=training.get_flag_values())
    print()
    training.print_table(
        (f"perplexity of {FLAGS.tokens}", "held out" if FLAGS.validation else "training text"),
        *((name, f"{value:.3f}") for name, value in baselines.items()),
        (f"{FLAGS.cell} {' + '.join(map(str, FLAGS.units))}", f"{after['perplexity']:.3f}"),
    )
    for how, written in texts.items():
        print(f"\n{how}:\n{written}")


if __name__ == "__main__":
    training.run_main(main)
