r"""Trains a recurrent language model on a text file, generates text, and exports a model from text to text.

    python recipes/language_model.py --text=timemachine.txt
    python recipes/language_model.py --text=book.txt --tokens=words --vocabulary=5000 --embedding=200 --units=200
    python recipes/language_model.py --text=book.txt --tokens=subwords --embedding=128 --units=256 --top_k=20

The text is any file in UTF-8, or in UTF-16 with a byte order mark: The Time Machine is
https://www.gutenberg.org/ebooks/35, tiny Shakespeare is in
https://github.com/karpathy/char-rnn/tree/master/data/tinyshakespeare. The defaults are char-rnn's: two LSTM layers
of 128 units on one-hot characters, batches of 50 x 50, RMSprop, 2e-3. The end of the text is the validation split.
The recipe prints the perplexity of the network next to those of n-gram models with the smoothing of https://d2l.ai,
whose constants are chosen on the training text. States are carried from batch to batch; with --nocarry subsequences
come in random order.

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

The recipe writes `model.keras`, `history.csv`, `curves.png`, `perplexity.png`, `text.txt` and `run.json` to
--model_dir, and to --export_dir a SavedModel that continues text, a .tflite file of one decoding step for
`kapps.export.TFLiteStepModel`, and the tokens by index, `vocabulary.json`.
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
flags.DEFINE_enum(
    "cell", "lstm", ["rnn", "gru", "lstm", "multiplicative"], "cell of the recurrent layers"
)
flags.DEFINE_multi_integer(
    "units", [128, 128], "units of a layer; repeat the flag for more layers", 1, 8192
)
flags.DEFINE_integer("embedding", None, "width of the embedding [one-hot tokens]", 1, 8192)
flags.DEFINE_float("dropout", 0.0, "dropout rate of the non-recurrent connections", 0, 0.95)
flags.DEFINE_bool("carry", True, "carry the states from batch to batch")
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
    "text", "tokens", "only_letters", "vocabulary", "first", "validation", "cell", "units", "embedding", "dropout",
    "carry", "batch_size", "length", "epochs", "every", "optimizer", "learning_rate", "decay", "decay_after", "clip",
    "precision", "seed", "deterministic",
)  # fmt: skip
"""Flags that must not change when a run is resumed."""


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


def build_model(vocabulary, **options):
    return kapps.families.rnn_lm(
        units=tuple(FLAGS.units), embedding=FLAGS.embedding, cell=FLAGS.cell, dropout=FLAGS.dropout,
        vocabulary=vocabulary.size, **options,
    )  # fmt: skip


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


def export_files(model, vocabulary, tokens):
    """Writes a SavedModel and .tflite files of the decoding step. Returns their verification reports."""
    tokenizer = None if FLAGS.tokens == "subwords" else vocabulary.text_vectorization()
    path = export.saved_model(model, FLAGS.export_dir, tokenizer=tokenizer, new_tokens=FLAGS.new)
    reports = [export.verify(model, path, tokens, timed=True)]
    with _files.write_atomically(pathlib.Path(FLAGS.export_dir, "vocabulary.json")) as file:
        file.write_text(vocabulary.to_json(), encoding="utf-8")
    step_model = step_models.step_model(model, batch=1)
    inputs = {"tokens": tokens[:, :1], **step_models.initial_states(step_model, len(tokens))}
    for precision in FLAGS.tflite:
        path = pathlib.Path(FLAGS.export_dir, f"{step_model.name}_{precision}.tflite")
        export.tflite(step_model, path, precision=precision)
        reports.append(export.verify(step_model, path, inputs, timed=True))
    return reports


def main(_):
    strategy = training.make_strategy(FLAGS.strategy, worker_timeout=FLAGS.worker_timeout)
    training.set_seed(FLAGS.seed, FLAGS.deterministic)
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
    shape = FLAGS.batch_size, FLAGS.length
    training.require_memory(
        training.recurrent_memory(*shape, tuple(FLAGS.units), vocabulary.size),
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
        options = {}
        if FLAGS.carry:
            tokens = keras.Input(batch_shape=shape, dtype="int32", name="tokens")
            options = {"stateful": True, "input_tensor": tokens}
        model = build_model(vocabulary, **options)
        trained = keras.Model(model.input, model.get_layer("head_logits").output, name=model.name)
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
    model = build_model(vocabulary)
    model.set_weights(trained.get_weights())
    model = run.save(model)
    history = [(FLAGS.every * row["epoch"], row["val_perplexity"]) for row in run.history]
    visualize.plot_lines(
        {"network": tuple(zip(*history, strict=True))}, pathlib.Path(FLAGS.model_dir, "perplexity.png"),
        "training epochs", "perplexity", logarithmic=True, levels=baselines,
    )  # fmt: skip
    prompt = FLAGS.prompt or vocabulary.decode(train[: 5 if FLAGS.tokens != "characters" else 20])
    texts = generate_texts(model, vocabulary, prompt)
    with _files.write_atomically(pathlib.Path(FLAGS.model_dir, "text.txt")) as path:
        sections = (f"{method}:\n{generated}\n" for method, generated in texts.items())
        path.write_text("\n".join(sections), encoding="utf-8")
    rows = (len(validation) - 1) // FLAGS.length
    tokens = validation[: min(rows, 32) * FLAGS.length].reshape(-1, FLAGS.length)
    reports = export_files(model, vocabulary, tokens.astype("int32"))
    run.finish(before, after, reports, flags=training.get_flag_values())
    print()
    training.print_table(
        (f"perplexity of {FLAGS.tokens}", "validation" if FLAGS.validation else "training text"),
        *((name, f"{value:.3f}") for name, value in baselines.items()),
        (f"{FLAGS.cell} {' + '.join(map(str, FLAGS.units))}", f"{after['perplexity']:.3f}"),
    )
    for method, generated in texts.items():
        print(f"\n{method}:\n{generated}")


if __name__ == "__main__":
    training.run_main(main)
