r"""Trains a translator on pairs of sentences, scores it, images what it looks at, and translates what one types.

    python recipes/translation.py
    python recipes/translation.py --data=multi30k --pair=en-de --model=transformer_tiny --vocabulary=6000 --epochs=30
    python recipes/translation.py --model_dir=runs/translation --translate=zweihunderteins
    python recipes/translation.py --tfds=wmt14_translate/de-en --pair=en-de --model=transformer_base

Without --data it translates numbers below 10,000 from German to English words, a minute's work. Else --data is a folder
of parallel texts such as Multi30k's (https://github.com/multi30k/dataset, data/task1/raw), a sentence a line:
train.en.gz, train.de.gz, val.en.gz and so on; or --tfds names a data set of TFDS.

Adam and the learning rate are the Transformer paper's (arXiv:1706.03762, 5.3), or rise to --learning_rate; labels are
smoothed; the weights that are kept are the mean of the last --average epochs'. BLEU is sacreBLEU's of plain text; below
it that without case, which stands nearer to figures of tokens in lower case, as those for Multi30k mostly are.

Reached on two cores that did other work besides, seed 0, Multi30k from English to German, with

    --model=transformer_tiny --vocabulary=3000 --tokens=2048 --learning_rate=0.002 --warmup=2000 --dropout=0.1

after 4,093 steps, 6.5 epochs, perhaps 25 minutes of idle cores: BLEU 27.7 of test_2016_flickr (28.0 without case) and
still rising, 25.1 after 5.4 epochs, where arXiv:2105.14462 has 41.02 after 8,000 steps of 8,192
tokens a side, on GPUs. With a peak of 0.003 after 500 steps the encoder came to give the same at every word: 8.2.
From English to French, --pair=en-fr --model=bahdanau_small --warmup=200 --average=1 --epochs=6 and else the same flags,
23 minutes of one core: perplexity 5.1, BLEU 43.4 (43.5 without case), where that paper's Transformer has 61.80.

It leaves `model.keras`, `vocabulary.json`, `history.csv`, `curves.png`, `translations.tsv`, `alignment.png` and
`run.json` in --model_dir; under --export_dir a SavedModel whose signature `translate` takes text and gives text, where
both languages share subwords, and a folder a precision of `encoder.tflite` and `step.tflite`, for
`kapps.export.load_tflite_encoder_and_step`, with the subwords by number, `vocabulary.json`.
"""

import functools
import pathlib
import sys
import time

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from common import (
    translation_corpus,
)

from kapps import _files, data, export, training
from kapps.data import translation
from kapps.generation import text_generation

FLAGS = flags.FLAGS
flags.DEFINE_string("data", None, "folder of the texts, or TFDS's [numbers in words]")
flags.DEFINE_string("tfds", None, "name of a translation data set of TFDS")
flags.DEFINE_string("pair", "de-en", "the source's language and the target's")
flags.DEFINE_string("train", "train", "name of the files, or the split, to train on")
flags.DEFINE_string("validation", "val", "name of the files, or the split, to validate on")
flags.DEFINE_string(
    "test", translation_corpus.MULTI30K, "name of the files, or the split, to score"
)
flags.DEFINE_enum("model", "transformer_small", list(translation_corpus.MODELS), "what is trained")
flags.DEFINE_integer("vocabulary", 400, "subwords of both languages, or of each", lower_bound=258)
flags.DEFINE_bool("joint", True, "whether both languages share subwords")
flags.DEFINE_integer(
    "longest", 100, "subwords of a sentence; longer pairs are left out", lower_bound=1
)
flags.DEFINE_bool("cut", False, "whether longer pairs are cut instead")
flags.DEFINE_integer("tokens", 2048, "of a batch, both sides and padding included", lower_bound=1)
flags.DEFINE_integer("epochs", 15, "passes over the pairs", lower_bound=1)
flags.DEFINE_float("learning_rate", None, "the peak [the paper's, by the model's width]")
flags.DEFINE_integer("warmup", 400, "steps that the rate rises for", lower_bound=1)
flags.DEFINE_float("label_smoothing", 0.1, "share of the target that is spread over all", 0, 0.9)
flags.DEFINE_float("dropout", None, "[the model's]", 0, 0.9)
flags.DEFINE_integer("average", 3, "epochs whose weights' mean is kept", lower_bound=1)
flags.DEFINE_bool("xla", False, "whether a step is compiled by XLA")
flags.DEFINE_integer(
    "beam", 4, "translations that the search keeps; 1: the likeliest word each time", lower_bound=1
)
flags.DEFINE_float("alpha", 0.6, "of the search's length penalty", 0)
flags.DEFINE_multi_string("translate", None, "a sentence; the run in --model_dir translates it")
flags.DEFINE_bool(
    "interactive", False, "translate lines of the standard input by the run in --model_dir"
)
training.define_flags(model_dir="runs/translation")

SETTLING = (
    "data", "tfds", "pair", "train", "validation", "model", "vocabulary", "joint", "longest", "cut", "tokens",
    "learning_rate", "warmup", "label_smoothing", "dropout", "precision", "seed", "deterministic",
)  # fmt: skip
"""Flags that a run which goes on must have as it began; not its epochs, for the rate does not know the end."""
FILED = 64
"""Tokens of a source and of a target that the exported files have room for."""
CALIBRATED, COMPARED = 200, 20
"""Sentences that int8 is calibrated with, and that files are compared on."""


def vocabularies(corpus, run):
    """Returns the subwords that a run began with, or learns and keeps them beside it."""
    path = pathlib.Path(FLAGS.model_dir, "vocabulary.json")
    if run and path.is_file():
        return translation.VocabularyPair.load(path)
    tokens = translation.learn_vocabularies(*corpus.train, FLAGS.vocabulary, joint=FLAGS.joint)
    tokens.save(path)
    return tokens


def optimizer(model):
    """Returns Adam as the paper has it."""
    if FLAGS.learning_rate:
        rate = training.InverseSquareRoot(FLAGS.learning_rate, FLAGS.warmup)
    else:
        # Of the embeddings' width, which in a Transformer is d_model.
        widths = [x.output_dim for x in model.layers if isinstance(x, keras.layers.Embedding)]
        rate = training.transformer_schedule(widths[-1], FLAGS.warmup)
    return keras.optimizers.Adam(rate, beta_2=0.98, epsilon=1e-9)


def averaged(model, test, checkpoints, last):
    """Gives a model the mean of its last epochs' weights where that is better, and returns the better one's metrics."""
    weights = model.get_weights()
    training.average_checkpoints(model, checkpoints)
    mean = model.evaluate(test, verbose=0, return_dict=True)
    better = mean["perplexity"] < last["perplexity"]
    print(
        f"perplexity of validation: {last['perplexity']:.3f}, and {mean['perplexity']:.3f} by the mean of the last "
        f"{len(checkpoints)} epochs' weights; kept is the {'mean' if better else 'last'}"
    )
    if not better:
        model.set_weights(weights)
    return mean if better else last


def fit(strategy):
    """Trains, and returns the model with the mean of its last epochs' weights, its vocabularies, corpus and run."""
    corpus = translation_corpus.load(FLAGS)
    began = bool(training.list_checkpoints(pathlib.Path(FLAGS.model_dir, "checkpoints")))
    tokens = vocabularies(corpus, began)
    train = tokens.encode(*corpus.train, max_length=FLAGS.longest, truncate=FLAGS.cut)
    held = tokens.encode(*corpus.validation, max_length=FLAGS.longest, truncate=True)
    replicas = strategy.num_replicas_in_sync
    plan = translation.TokenBatches(train, FLAGS.tokens, multiple=replicas)
    test = translation.TokenBatches(held, FLAGS.tokens, multiple=replicas)

    FLAGS.precision = training.set_precision(FLAGS.precision)
    with strategy.scope():
        model = translation_corpus.build(FLAGS.model, tokens, FLAGS.dropout)
        trained = keras.Model(model.input, model.get_layer("head_logits").output, name=model.name)
        trained.compile(
            optimizer(model), training.SmoothedSparseCrossentropy(FLAGS.label_smoothing),
            weighted_metrics=[training.Perplexity()], jit_compile=FLAGS.xla,
        )  # fmt: skip
    run = training.Run(
        FLAGS.model_dir, strategy, epochs=FLAGS.epochs, steps_per_epoch=plan.steps_per_epoch,
        batch_size=plan.tokens / plan.steps_per_epoch,
        identity={name: FLAGS[name].value for name in SETTLING}, checkpoint_interval=FLAGS.checkpoint_every,
        epoch_ends=FLAGS.average, unit="tokens",
    )  # fmt: skip
    if run.is_chief:
        count = sum(int(np.prod(weight.shape)) for weight in trained.trainable_weights)
        long = "cut" if FLAGS.cut else "left out"
        print(
            f"{model.name}: {count:,} trainable parameters, {tokens.vocabulary:,} tokens; {corpus.name}: "
            f"{train.pairs:,} pairs, {train.empty:,} empty ones left out, {train.long:,} long ones {long}; "
            f"{FLAGS.epochs} epochs of {plan.steps_per_epoch} steps of {FLAGS.tokens:,} tokens,"
            f" {plan.padding:.0%} padding, in "
            f"{len(plan.shapes)} shapes"
        )
    with data.explain_errors():
        before, after = run.fit(
            trained, functools.partial(plan.train_dataset, seed=FLAGS.seed), test.eval_dataset()
        )
    if run.is_chief:
        after = averaged(trained, test.eval_dataset(), run.checkpoints.epoch_files(), after)
    return model, tokens, corpus, run, before, after


def main(_):
    if FLAGS.translate or FLAGS.interactive:
        translate()
        return
    strategy = training.make_strategy(FLAGS.strategy, worker_timeout=FLAGS.worker_timeout)
    training.set_seed(FLAGS.seed, FLAGS.deterministic)
    model, tokens, corpus, run, before, after = fit(strategy)
    if not run.is_chief:
        return

    # Save, translate, score, export
    model = run.save(model)
    folder = pathlib.Path(FLAGS.model_dir)
    sources, right = corpus.test
    began = time.monotonic()
    found = translation_corpus.translations(writer(model, tokens), tokens, sources, FLAGS.longest)
    seconds = time.monotonic() - began
    rows = list(zip(sources, found, right, strict=True))
    with _files.write_atomically(folder / "translations.tsv") as path:
        lines = ("\t".join(each.replace("\t", " ") for each in row) for row in rows)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    scores = translation_corpus.bleu(found, right)
    translation_corpus.image(model, tokens, sources[0], found[0], folder / "alignment.png")
    run.finish(before, after, [], flags=training.get_flag_values())
    delivered = [deliver(model, tokens, corpus.validation, precision) for precision in FLAGS.tflite]
    if tokens.joint:  # the graph has one vocabulary
        delivered.insert(0, serve(model, tokens, corpus.validation))
    print()
    training.print_table(
        ("exported", "precision", "size", "translations as the model's"), *delivered
    )

    # What came of it
    known = FLAGS.data and not FLAGS.tfds and FLAGS.test == translation_corpus.MULTI30K
    published = translation_corpus.PUBLISHED.get(corpus.languages, {}) if known else {}
    print()
    training.print_table(
        (f"BLEU of {len(right):,} sentences", ""),
        *((f"{how}: {FLAGS.model}", f"{score:.2f}") for how, score, _ in scores),
        *((f"published, of tokens in lower case: {name}", f"{score:.2f}") for name, score in published.items()),
    )  # fmt: skip
    for how, _, signature in scores:
        print(f"{how}: {signature}")
    same = sum(one == other for _, one, other in rows)
    print(
        f"{same:,} of {len(right):,} are word for word the reference; translated in {seconds:.0f} seconds"
    )
    for source, one, other in rows[:3]:
        print(f"\n{source}\n  {one}\n  {other} (reference)")


def deliver(model, tokens, known, precision):
    """Writes `encoder.tflite` and `step.tflite`, and returns a row of how large they are, and how often they agree.

    Args:
        model: the translator.
        tokens: its vocabularies.
        known: sentences and their translations.
        precision: of the files.
    """
    folder = pathlib.Path(FLAGS.export_dir, f"{model.name}_{precision}")
    known = [side[:CALIBRATED] for side in known]
    x = tokens.encode_sources(known[0], FILED)
    calibration = None
    if precision == "int8":
        rows = [np.append(tokens.start, one)[:FILED] for one in tokens.target.encode_all(known[1])]
        calibration = x, keras.utils.pad_sequences(rows, FILED, padding="post")
    export.tflite_encoder_and_step(
        model,
        folder,
        source_length=FILED,
        length=FILED,
        precision=precision,
        calibration=calibration,
    )
    with _files.write_atomically(folder / "vocabulary.json") as path:
        path.write_text(tokens.target.to_json(), encoding="utf-8")
    told = [
        text_generation.translate(
            each, x[:COMPARED], start=tokens.start, end=tokens.end, beam=1, steps=FILED
        )
        for each in (model, export.load_tflite_encoder_and_step(folder))
    ]
    width = max(each.shape[1] for each in told)
    one, other = (np.pad(each, ((0, 0), (0, width - each.shape[1]))) for each in told)
    size = sum(file.stat().st_size for file in folder.glob("*.tflite")) / 1e6
    return str(folder), precision, f"{size:.1f} MB", f"{(one == other).all(axis=1).mean():.0%}"


def serve(model, tokens, known):
    """Writes the SavedModel, text in and text out, and returns a row of it as `deliver` does."""
    path = export.saved_model(
        model, FLAGS.export_dir, tokenizer=tokens.target, beam=FLAGS.beam, length_penalty=FLAGS.alpha
    )  # fmt: skip
    sentences = [sentence for sentence in known[0] if sentence][:COMPARED]
    asked = tf.saved_model.load(path).signatures["translate"](text=tf.constant(sentences))["text"]
    answers = [answer.decode().strip() for answer in asked.numpy()]
    expected = translation_corpus.translations(
        writer(model, tokens), tokens, sentences, longest=256
    )
    same = sum(one == other for one, other in zip(answers, expected, strict=True)) / len(answers)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6
    return str(path), "float32", f"{size:.1f} MB", f"{same:.0%}"


def writer(model, tokens):
    """Returns what writes translations, by --beam and --alpha."""
    return text_generation.translator(
        model, end=tokens.end, beam=FLAGS.beam, length_penalty=FLAGS.alpha, never=(1, tokens.start)
    )


def translate():
    """Prints the translations of what is typed, by the model that a run has kept."""
    folder = pathlib.Path(FLAGS.model_dir)
    if not (folder / "model.keras").is_file():
        raise ValueError(
            f"{folder} holds no trained model: leave out --translate and --interactive to train one"
        )
    tokens = translation.VocabularyPair.load(folder / "vocabulary.json")
    model = keras.saving.load_model(folder / "model.keras", safe_mode=True)
    one = writer(model, tokens)
    for sentence in FLAGS.translate or ():
        print(*translation_corpus.translations(one, tokens, [sentence.strip()], FLAGS.longest))
    if FLAGS.interactive:
        if sys.stdin.isatty():
            print("a sentence a line; Ctrl-D ends")
        for line in sys.stdin:
            print(
                *translation_corpus.translations(one, tokens, [line.strip()], FLAGS.longest),
                flush=True,
            )


if __name__ == "__main__":
    training.run_main(main)
