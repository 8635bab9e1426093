r"""Trains a translation model on pairs of sentences, computes BLEU, plots attention weights, and translates input text.

    python recipes/translation.py
    python recipes/translation.py --data=multi30k --pair=en-de --model=transformer_tiny --vocabulary=6000 --epochs=30
    python recipes/translation.py --model_dir=runs/translation --translate=zweihunderteins
    python recipes/translation.py --tfds=wmt14_translate/de-en --pair=en-de --model=transformer_base
    python recipes/translation.py --model=lightconv_iwslt --option=d_model=64 --option=ffn=128 --option=heads=4 \
        --option=encoder_kernels=3,7 --option=decoder_kernels=3,7

Without --data the recipe translates numbers below 10,000 from German to English words, which takes a minute. With
--data it reads a folder of parallel texts such as Multi30k (https://github.com/multi30k/dataset, data/task1/raw),
one sentence per line: train.en.gz, train.de.gz, val.en.gz and so on. --tfds names a TFDS dataset.

--model is any network of kapps with a source and a target. --option changes an option of its family; a wrong name is an
error with the allowed ones. docs/translation_models.md compares small members. The training of a depth-adaptive
Transformer is that of all exits. What layers add to the loss is the column `added_loss` of the history.

Optimizer and learning rate are those of the Transformer paper (arXiv:1706.03762, 5.3), or rise to --learning_rate.
Training uses label smoothing, and the final weights are the mean over the last --average epochs. BLEU is sacreBLEU
on plain text, with and without case; published figures for Multi30k are mostly computed on lower-case tokens.

Run log (two cores that ran other jobs, seed 0, Multi30k):
- English to German, --model=transformer_tiny --vocabulary=3000 --tokens=2048 --learning_rate=0.002 --warmup=2000
  --dropout=0.1: BLEU 27.7 on test_2016_flickr (28.0 without case) after 4,093 steps (6.5 epochs, about 25 minutes
  of idle cores), 25.1 after 5.4 epochs. arXiv:2105.14462 has 41.02 after 8,000 steps of 8,192 tokens per side on
  GPUs. With a peak of 0.003 after 500 steps the encoder collapsed to one output for every word (8.2).
- English to French, --pair=en-fr --model=bahdanau_small --warmup=200 --average=1 --epochs=6, other flags as above,
  23 minutes of one core: perplexity 5.1, BLEU 43.4 (43.5 without case). The paper's Transformer has 61.80.

The recipe writes `model.keras`, `vocabulary.json`, `history.csv`, `curves.png`, `translations.tsv`, `attention.png`
and `run.json` to --model_dir. It writes to --export_dir a SavedModel with the signature `translate` from text to
text (if the languages share subwords), and for each precision a folder with `encoder.tflite`, `step.tflite` and
`vocabulary.json`, for `kapps.export.load_tflite_encoder_and_step`.
"""

import functools
import pathlib
import re
import sys
import time

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
from absl import flags
from common import model_options, translation_corpus, translation_exports, translation_models

from kapps import _files, data, training
from kapps.data import translation
from kapps.generation import text_generation

FLAGS = flags.FLAGS
training.define_path(
    "data", None, "folder of parallel texts, or data folder of TFDS [numbers in words]"
)
flags.DEFINE_string("tfds", None, "name of a TFDS translation dataset")
flags.DEFINE_string("pair", "de-en", "source and target language")
flags.DEFINE_string("train", "train", "file name or split for training")
flags.DEFINE_string("validation", "val", "file name or split for validation")
flags.DEFINE_string("test", translation_corpus.MULTI30K, "file name or split for BLEU")
flags.DEFINE_enum("model", "transformer_small", translation_models.MODELS, "model to train")
model_options.define_option_flag()
flags.DEFINE_integer(
    "vocabulary", 400, "number of subwords, of both languages or of each", 258, 10**6
)
flags.DEFINE_bool("joint", True, "whether both languages share subwords")
flags.DEFINE_integer(
    "longest", 100, "maximum subwords of a sentence; longer pairs are skipped", 1, 10**5
)
flags.DEFINE_bool("cut", False, "truncate longer pairs instead of skipping them")
flags.DEFINE_integer(
    "tokens", 2048, "tokens of a batch, including both sides and padding", 1, 2**22
)
flags.DEFINE_integer("epochs", 15, "training epochs", 1, 10**6)
training.define_positive("learning_rate", None, "peak learning rate [the paper's rule]")
flags.DEFINE_integer("warmup", 400, "warm-up steps", lower_bound=1)
flags.DEFINE_float("label_smoothing", 0.1, "label smoothing", 0, 0.9)
flags.DEFINE_float("dropout", None, "dropout rate [the model's]", 0, 0.9)
flags.DEFINE_integer("average", 3, "number of last epochs whose weights are averaged", 1, 1000)
flags.DEFINE_bool("xla", False, "compile the training step with XLA")
flags.DEFINE_integer(
    "test_sentences", None, "number of test sentences to translate for BLEU [all]", 1, 10**6
)
flags.DEFINE_integer("beam", 4, "beam width; 1 is greedy decoding", 1, 1024)
flags.DEFINE_float("alpha", 0.6, "exponent of the length penalty", 0, 100)
flags.DEFINE_multi_string("translate", None, "sentence to translate with the model in --model_dir")
flags.DEFINE_bool(
    "interactive", False, "translate lines of standard input with the model in --model_dir"
)
training.define_flags(model_dir="runs/translation")

RUN_FLAGS = (
    "data", "tfds", "pair", "train", "validation", "model", "option", "vocabulary", "joint", "longest", "cut", "tokens",
    "learning_rate", "warmup", "label_smoothing", "dropout", "precision", "seed", "deterministic",
)  # fmt: skip
"""Flags that must not change when a run is resumed. --epochs may: the learning rate does not depend on it."""


def load_vocabularies(corpus, resumed):
    """Returns the vocabularies of a resumed run, or learns new ones and saves them to --model_dir."""
    path = pathlib.Path(FLAGS.model_dir, "vocabulary.json")
    if resumed and path.is_file():
        return translation.VocabularyPair.load(path)
    tokens = translation.learn_vocabularies(*corpus.train, FLAGS.vocabulary, joint=FLAGS.joint)
    tokens.save(path)
    return tokens


def make_optimizer(model):
    """Returns Adam with the settings of the Transformer paper."""
    if FLAGS.learning_rate:
        rate = training.InverseSquareRoot(FLAGS.learning_rate, FLAGS.warmup)
    else:
        # d_model of a Transformer is the width of its embeddings.
        widths = [x.output_dim for x in model.layers if isinstance(x, keras.layers.Embedding)]
        rate = training.transformer_schedule(widths[-1], FLAGS.warmup)
    return keras.optimizers.Adam(rate, beta_2=0.98, epsilon=1e-9)


def average_weights(model, test, checkpoints, last):
    """Sets the mean of the last epochs' weights if its validation perplexity is better. Returns the metrics."""
    weights = model.get_weights()
    training.average_checkpoints(model, checkpoints)
    mean = model.evaluate(test, verbose=0, return_dict=True)
    better = mean["perplexity"] < last["perplexity"]
    print(
        f"validation perplexity: {last['perplexity']:.3f} with the last weights, {mean['perplexity']:.3f} with the "
        f"mean of the last {len(checkpoints)} epochs; the model has the {'mean' if better else 'last'} weights"
    )
    if not better:
        model.set_weights(weights)
    return mean if better else last


def fit(strategy):
    """Trains the model. Returns model, vocabularies, corpus, run, and the metrics before and after training."""
    options = translation_models.read_options(FLAGS.model, FLAGS.option, FLAGS.dropout)
    size = training.recurrent_memory(FLAGS.tokens, 1, (1,), FLAGS.vocabulary)
    training.require_memory(size, "lower --tokens or --vocabulary")
    corpus = translation_corpus.load_corpus(FLAGS)
    translation_corpus.check_outputs(corpus, FLAGS.tflite)
    identity = {"sentences": corpus.identity()}
    training.compare_workers(strategy, identity)
    if training.is_chief(strategy):
        training.lock_directory(FLAGS.model_dir)
    resumed = bool(training.list_checkpoints(pathlib.Path(FLAGS.model_dir, "checkpoints")))
    tokens = load_vocabularies(corpus, resumed)
    train = tokens.encode(*corpus.train, max_length=FLAGS.longest, truncate=FLAGS.cut)
    validation = tokens.encode(*corpus.validation, max_length=FLAGS.longest, truncate=True)
    replicas = strategy.num_replicas_in_sync
    plan = translation.TokenBatches(train, FLAGS.tokens, multiple=replicas)
    test = translation.TokenBatches(validation, FLAGS.tokens, multiple=replicas)

    FLAGS.precision = training.set_precision(FLAGS.precision)
    with strategy.scope():
        model = translation_models.build_model(FLAGS.model, tokens, options)
        trained = translation_models.compile_model(
            model, tokens, options, make_optimizer(model), label_smoothing=FLAGS.label_smoothing, jit_compile=FLAGS.xla
        )  # fmt: skip
    run = training.Run(
        FLAGS.model_dir, strategy, epochs=FLAGS.epochs, steps_per_epoch=plan.steps_per_epoch,
        batch_size=plan.tokens / plan.steps_per_epoch,
        identity={name: FLAGS[name].value for name in RUN_FLAGS}, checkpoint_interval=FLAGS.checkpoint_every,
        epoch_ends=FLAGS.average, unit="tokens", data=identity,
    )  # fmt: skip
    if run.is_chief:
        count = sum(int(np.prod(weight.shape)) for weight in trained.trainable_weights)
        long = "truncated" if FLAGS.cut else "skipped"
        print(
            f"{model.name}: {count:,} trainable parameters, {tokens.vocabulary:,} tokens; {corpus.name}: "
            f"{train.pairs:,} pairs, {train.empty:,} empty pairs skipped, {train.long:,} long pairs {long}; "
            f"{FLAGS.epochs} epochs of {plan.steps_per_epoch} steps of {FLAGS.tokens:,} tokens,"
            f" {plan.padding:.0%} padding, in "
            f"{len(plan.shapes)} shapes"
        )
    with data.explain_errors():
        before, after = run.fit(
            trained, functools.partial(plan.train_dataset, seed=FLAGS.seed), test.eval_dataset()
        )
    if run.is_chief:
        after = average_weights(trained, test.eval_dataset(), run.checkpoints.epoch_files(), after)
        translation_models.take_weights(model, trained)
        if translation_models.find_rule(FLAGS.model, options):
            perplexity = translation_models.plain_perplexity(model, test.eval_dataset())
            print(f"validation perplexity with the exits that the tokens choose: {perplexity:.3f}")
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
    sources, references = (side[: FLAGS.test_sentences] for side in corpus.test)
    start = time.monotonic()
    translator = make_translator(model, tokens)
    translations = translation_corpus.translate(translator, tokens, sources, FLAGS.longest)
    seconds = time.monotonic() - start
    rows = list(zip(sources, translations, references, strict=True))
    with _files.write_atomically(folder / "translations.tsv") as path:
        lines = ("\t".join(re.sub(r"[\t\n\r]", " ", text) for text in row) for row in rows)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    scores = translation_corpus.compute_bleu(translations, references)
    example = next(i for i, source in enumerate(sources) if source.strip())
    translation_corpus.plot_attention(
        model, tokens, sources[example], translations[example], folder / "attention.png"
    )
    exports = translation_exports.export_all(
        model, tokens, corpus.validation, FLAGS.export_dir, translator, precisions=FLAGS.tflite, beam=FLAGS.beam,
        length_penalty=FLAGS.alpha,
    )  # fmt: skip
    run.finish(before, after, [], flags=training.get_flag_values())  # deletes the checkpoints
    print()
    training.print_table(("exported", "precision", "size", "equal translations"), *exports)

    # Results
    is_multi30k = FLAGS.data and not FLAGS.tfds and FLAGS.test == translation_corpus.MULTI30K
    published = translation_corpus.PUBLISHED.get(corpus.languages, {}) if is_multi30k else {}
    print()
    training.print_table(
        (f"BLEU of {len(references):,} sentences", ""),
        *((f"{metric}: {FLAGS.model}", f"{score:.2f}") for metric, score, _ in scores),
        *((f"published, lower-case tokens: {name}", f"{score:.2f}") for name, score in published.items()),
    )  # fmt: skip
    for metric, _, signature in scores:
        print(f"{metric}: {signature}")
    equal = sum(output == reference for _, output, reference in rows)
    print(
        f"{equal:,} of {len(references):,} translations equal the reference; translated in {seconds:.0f} seconds"
    )
    for source, output, reference in rows[:3]:
        print(f"\n{source}\n  {output}\n  {reference} (reference)")


def make_translator(model, tokens):
    """Returns the decoding loop of a model, with --beam and --alpha."""
    return text_generation.translator(
        model, end=tokens.end, beam=FLAGS.beam, length_penalty=FLAGS.alpha, never=(1, tokens.start)
    )


def translate():
    """Prints the translations of --translate and of standard input, by the model in --model_dir."""
    folder = pathlib.Path(FLAGS.model_dir)
    if not (folder / "model.keras").is_file():
        raise ValueError(
            f"--model_dir={folder} has no model.keras: train a model first, without --translate and --interactive"
        )
    tokens = translation.VocabularyPair.load(folder / "vocabulary.json")
    model = training.load_model(folder / "model.keras")
    translator = make_translator(model, tokens)
    for sentence in FLAGS.translate or ():
        print(*translation_corpus.translate(translator, tokens, [sentence.strip()], FLAGS.longest))
    if FLAGS.interactive:
        if sys.stdin.isatty():
            print("Type one sentence per line; Ctrl-D ends the program.")
        else:  # a file, which is UTF-8 in every locale
            sys.stdin.reconfigure(encoding="utf-8-sig", errors="replace")
        for line in sys.stdin:
            print(
                *translation_corpus.translate(translator, tokens, [line.strip()], FLAGS.longest),
                flush=True,
            )


if __name__ == "__main__":
    training.run_main(main, writes=lambda: not (FLAGS.translate or FLAGS.interactive))
