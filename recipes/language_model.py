r"""Trains a language model on a text file, generates text, and exports a model from text to text.

    python recipes/language_model.py --text=timemachine.txt
    python recipes/language_model.py --text=book.txt --tokens=words --vocabulary=5000 --embedding=200 --units=200
    python recipes/language_model.py --text=book.txt --tokens=subwords --embedding=128 --units=256 --top_k=20
    python recipes/language_model.py --text=book.txt --model=reformer --option=layers=2 --option=d_model=128 \
        --option=ffn=512 --option=heads=4 --option=key_dim=32 --option=positions=16,32 --option=position_widths=64,64 \
        --length=256 --batch_size=16 --optimizer=adam

The text is any file in UTF-8, or in UTF-16 with a byte order mark: The Time Machine is
https://www.gutenberg.org/ebooks/35, tiny Shakespeare is in
https://github.com/karpathy/char-rnn/tree/master/data/tinyshakespeare. The defaults are char-rnn's: two LSTM layers
of 128 units on one-hot characters, batches of 50 x 50, RMSprop, 2e-3. The end of the text is the validation split.
The recipe prints the perplexity of the network next to those of n-gram models with the smoothing of https://d2l.ai,
whose constants are chosen on the training text. States are carried from batch to batch; with --nocarry subsequences
come in random order.

--model takes every language model of kapps by the name of its family or its builder: rnn_lm, of --units and --cell,
mixtures of experts, gated convolutions, Transformer decoders and their descendants. The published ones are far too
large for a CPU; --option makes them smaller (an unknown option is answered with those that there are). They train on
windows of --length tokens, without carried states. --cutoffs puts an adaptive softmax over the words in place of the
model's own. Losses that layers add, such as the ponder cost of halting and the penalty of spans, are reported apart,
as `added_loss`. docs/language_models.md compares eleven models.

Run log:
- The Time Machine. d2l.ai has a training perplexity of 1.1 for one GRU layer of 256 units on the first 10,000
  characters after 500 epochs (https://c.d2l.ai/zh-v2, recurrent-modern/gru; 1.3 for a plain RNN). The command below
  reaches 1.040 in training as the book computes it, and 1.269 with zero states at the start of each stream, in 20
  minutes of two cores; n-gram models have 17.07, 9.46 and 5.42.

    python recipes/language_model.py --text=timemachine.txt --only_letters --first=10000 --validation=0 --cell=gru \
        --units=256 --batch_size=32 --length=35 --epochs=500 --every=25 --optimizer=sgd --learning_rate=1 --decay=1 \
        --clip=1 --prompt="time traveller" --new=50

- Tiny Shakespeare, default flags, 28 seconds per epoch on two cores: 2.320, 2.057, 1.673, 1.623 and 1.619 nats per
  character on the validation split after epochs 1, 2, 10, 20 and 25; the last is a perplexity of 5.047 (3-grams:
  8.030). char-rnn has no published final figure (https://github.com/karpathy/char-rnn/issues/167); its README has a
  checkpoint of a network of unstated size with 2.0681 nats after 0.95 epochs.

The recipe writes `model.keras`, `history.csv`, `curves.png`, `perplexity.png`, `text.txt`, `run.json` and the tokens
by index, `vocabulary.json`, to --model_dir, and to --export_dir a SavedModel that continues text, a .tflite file of
one decoding step for `kapps.export.TFLiteStepModel`, and `vocabulary.json` again.
"""

import functools
import pathlib

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
from absl import flags
from common import language_models, model_options
from common.language_texts import (
    check_outputs,
    choose_prompt,
    export_files,
    generate_texts,
    load_tokens,
    write_vocabulary,
)

from kapps import _files, data, training, visualize
from kapps.data import text
from kapps.generation import step_models

FLAGS = flags.FLAGS
training.define_path("text", None, "text file", "file")
flags.DEFINE_enum("tokens", "characters", ["characters", "words", "subwords"], "kind of tokens")
flags.DEFINE_bool(
    "only_letters", False, "lower-case the text and keep only a to z (characters and words)"
)
flags.DEFINE_integer(
    "vocabulary", None, "maximum vocabulary size [words 10000, subwords 1000]", 2, 10**6
)
flags.DEFINE_integer("first", None, "number of tokens to use [all]", lower_bound=100)
flags.DEFINE_float(
    "validation", 0.05, "fraction for validation; 0 evaluates on the training text", 0, 0.5
)
flags.DEFINE_string("model", "rnn_lm", "a language model: a family, or a builder of it")
model_options.define_option_flag()
flags.DEFINE_list(
    "cutoffs", None, "first words of the clusters of an adaptive softmax, such as 2000,10000"
)
flags.DEFINE_enum(
    "cell", "lstm", ["rnn", "gru", "lstm", "multiplicative"], "cell of the recurrent layers"
)
flags.DEFINE_multi_integer(
    "units", [128, 128], "units of a layer; repeat the flag for more layers", 1, 8192
)
flags.DEFINE_integer("embedding", None, "width of the embedding [one-hot tokens]", 1, 8192)
flags.DEFINE_float("dropout", 0.0, "dropout rate of the non-recurrent connections", 0, 0.95)
flags.DEFINE_bool("carry", True, "carry the states of rnn_lm from batch to batch")
flags.DEFINE_integer("batch_size", 50, "streams or subsequences per training step", 1, 2**20)
flags.DEFINE_integer("length", 50, "tokens of a subsequence", 1, 2**20)
flags.DEFINE_integer("epochs", 50, "training epochs", 1, 10**6)
flags.DEFINE_integer("every", 1, "epochs between two evaluations; must divide --epochs", 1, 10**6)
flags.DEFINE_enum("optimizer", "rmsprop", ["sgd", "rmsprop", "adam"], "RMSprop has rho = 0.95")
training.define_positive("learning_rate", 2e-3, "initial learning rate")
flags.DEFINE_float(
    "decay", 0.97, "factor of the learning rate per epoch after --decay_after", 0.01, 1
)
flags.DEFINE_integer("decay_after", 10, "epochs with the initial learning rate", lower_bound=0)
flags.DEFINE_float("clip", 5.0, "global gradient norm of clipping; 0 does not clip", 0, 1e6)
flags.DEFINE_string("prompt", None, "start of the generated texts [the start of the text]")
flags.DEFINE_integer("new", 200, "tokens to generate", 1, 10**5)
flags.DEFINE_float("temperature", 0.8, "sampling temperature", 0, 100)
flags.DEFINE_integer("top_k", None, "sample from the k most likely tokens [all]", lower_bound=1)
flags.DEFINE_integer("beam", 4, "beam width", 1, 1024)
training.define_flags(model_dir="runs/language_model")

RUN_FLAGS = (
    "text", "tokens", "only_letters", "vocabulary", "first", "validation", "model", "option", "cutoffs", "cell",
    "units", "embedding", "dropout", "carry", "batch_size", "length", "epochs", "every", "optimizer", "learning_rate",
    "decay", "decay_after", "clip", "precision", "seed", "deterministic",
)  # fmt: skip
"""Flags that must not change when a run is resumed."""


def make_optimizer(steps):
    """Returns the optimizer. Its learning rate decays after --decay_after epochs."""
    optimizer = {
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
    return optimizer(rate, global_clipnorm=FLAGS.clip or None)


def main(_):
    strategy = training.make_strategy(FLAGS.strategy, worker_timeout=FLAGS.worker_timeout)
    training.set_seed(FLAGS.seed, FLAGS.deterministic)
    family, options = language_models.family_of(FLAGS.model), language_models.set_flags()
    cutoffs = language_models.read_cutoffs(FLAGS.model, FLAGS.cutoffs)
    if FLAGS.carry and strategy.num_replicas_in_sync > 1:
        raise ValueError("--carry works on one device only: pass --nocarry or --strategy=default")
    training.forbid_without(
        "vocabulary", "--tokens=words or --tokens=subwords", FLAGS.tokens != "characters"
    )
    training.forbid_without(
        "only_letters", "--tokens=characters or --tokens=words", FLAGS.tokens != "subwords"
    )
    if FLAGS.epochs % FLAGS.every:
        raise ValueError(f"--every={FLAGS.every} does not divide --epochs={FLAGS.epochs}")

    # Text
    vocabulary, train, validation = load_tokens()
    check_outputs(vocabulary, train, validation)
    prompt = choose_prompt(vocabulary, train)
    shape = FLAGS.batch_size, FLAGS.length
    training.require_memory(
        training.recurrent_memory(
            *shape, tuple(FLAGS.units) if family == "rnn_lm" else (), vocabulary.size
        ),
        "lower --batch_size, --length or --units",
    )
    steps = (text.stream_steps_per_epoch if FLAGS.carry else text.subsequence_steps_per_epoch)(
        train, *shape[::-1]
    )
    batches = functools.partial(
        text.stream_dataset if FLAGS.carry else text.subsequence_dataset, train, *shape[::-1], seed=FLAGS.seed
    )  # fmt: skip
    test = text.eval_stream_dataset(validation, *shape[::-1])
    counts = text.fit_ngram_model(train, vocabulary.size)
    baselines = {
        f"{n}-grams": text.perplexity(counts.probabilities(validation, n)) for n in (1, 2, 3)
    }

    identity = {"text": data.file_identity(FLAGS.text)}
    training.compare_workers(strategy, identity)

    # Precision, model, optimizer
    FLAGS.precision = training.set_precision(FLAGS.precision)
    with strategy.scope():
        build = functools.partial(
            language_models.build_model, FLAGS.model, options, vocabulary.size, cutoffs
        )
        if FLAGS.carry:
            tokens = keras.Input(batch_shape=shape, dtype="int32", name="tokens")
            model = build(stateful=True, input_tensor=tokens)
        else:
            model = build() if family == "rnn_lm" else build(input_shape=(FLAGS.length,))
        language_models.check_length(model, len(vocabulary.encode(prompt)))
        trained = language_models.trained_model(model)
        trained.compile(
            make_optimizer(steps), keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            weighted_metrics=[training.Perplexity()], jit_compile=False,
        )  # fmt: skip

    # Fit and evaluate
    run = training.Run(
        FLAGS.model_dir, strategy, epochs=FLAGS.epochs // FLAGS.every, steps_per_epoch=steps * FLAGS.every,
        batch_size=FLAGS.batch_size, identity={name: FLAGS[name].value for name in RUN_FLAGS},
        checkpoint_interval=FLAGS.checkpoint_every,
        data=identity,
    )  # fmt: skip
    if run.is_chief:
        count = sum(int(np.prod(weight.shape)) for weight in trained.trainable_weights)
        split = f"{len(validation):,} for validation" if FLAGS.validation else "none for validation"
        print(
            f"{count:,} trainable parameters, {vocabulary.size:,} {FLAGS.tokens}, {len(train):,} for training, "
            f"{split}, {FLAGS.epochs} epochs of {steps} steps of {FLAGS.batch_size} x {FLAGS.length}"
        )
    with data.explain_errors():
        before, after = run.fit(trained, batches, test, callbacks=[training.ResetStates(steps)])
    if not run.is_chief:
        return

    # Save, write, export
    model = build()
    model.set_weights(trained.get_weights())
    model = run.save(model)
    history = [(FLAGS.every * row["epoch"], row["val_perplexity"]) for row in run.history]
    visualize.plot_lines(
        {"network": tuple(zip(*history, strict=True))}, pathlib.Path(FLAGS.model_dir, "perplexity.png"),
        "training epochs", "perplexity", logarithmic=True, levels=baselines,
    )  # fmt: skip
    write_vocabulary(vocabulary, FLAGS.model_dir)
    texts = generate_texts(model, vocabulary, prompt)
    with _files.write_atomically(pathlib.Path(FLAGS.model_dir, "text.txt")) as path:
        sections = (f"{method}:\n{generated}\n" for method, generated in texts.items())
        path.write_text("\n".join(sections), encoding="utf-8")
    rows = (len(validation) - 1) // FLAGS.length
    tokens = validation[: min(rows, 32) * FLAGS.length].reshape(-1, FLAGS.length)
    steps = max(FLAGS.length, len(vocabulary.encode(prompt)) + FLAGS.new)
    steps = min(steps, step_models.longest_sequence(model) or steps)
    reports = export_files(model, vocabulary, tokens.astype("int32"), steps)
    run.finish(before, after, reports, flags=training.get_flag_values())
    if "added_loss" in run.history[-1]:
        losses = (f"{run.history[-1][name]:.4f}" for name in ("loss", "added_loss"))
        print("loss of the last epoch: {}, and {} that layers add".format(*losses))
    print()
    rows = {**baselines, language_models.label(options): after["perplexity"]}
    training.print_table(
        (f"perplexity of {FLAGS.tokens}", "validation" if FLAGS.validation else "training text",
         f"bits per {FLAGS.tokens[:-1]}"),
        *((name, f"{value:.3f}", f"{np.log2(value):.3f}") for name, value in rows.items()),
    )  # fmt: skip
    for method, generated in texts.items():
        print(f"\n{method}:\n{generated}")


if __name__ == "__main__":
    training.run_main(main)
