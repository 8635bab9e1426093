"""Small translators after equal processor time of training: the table of docs/translation_models.md.

    python benchmarks/translation_models.py --data=multi30k

All models read the same batches of one shape, from pairs of at most 24 subwords a side; the validation pairs are also
such pairs. Processor time is that of all threads, so that other programs on the machine change it little. The first
step, which traces the graph, does not count.
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "recipes"))
import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
from _processor_time import ProcessorTime
from common import translation_corpus, translation_models

from kapps import training
from kapps.data import translation
from kapps.generation import text_generation

SIZES = "layers=2 d_model=128 ffn=256 heads=4"
MODELS = {
    "transformer_base": SIZES,
    "nmt_medium": "embedding=72 units=112 decoder_layers=2",
    "lightconv_iwslt": "d_model=128 ffn=320 heads=4 encoder_kernels=3,7 decoder_kernels=3,7",
    "dynamicconv_iwslt": "d_model=128 ffn=320 heads=4 encoder_kernels=3,7 decoder_kernels=3,7",
    "evolved_transformer_tiny": "encoder_cells=1 decoder_cells=1 d_model=112 heads=4",
    "universal_transformer_adaptive": "steps=3 d_model=160 ffn=320 heads=4",
    "depth_adaptive_geometric": SIZES,
    "synthesizer_random_dot_product": f"{SIZES} length=112",
    "area_attention_base": f"{SIZES} area_layers=1",
}
"""{model: options of its family}."""
LONGEST, TOKENS, SUBWORDS = 24, 1024, 3000
"""Maximum subwords of a training sentence, tokens of a batch, and the vocabulary."""


def measure(name, texts, arguments, tokens, plan, validation, test):
    """Returns a row of the table for one model."""
    keras.utils.set_random_seed(arguments.seed)
    options = translation_models.read_options(name, texts.split(), dropout=0.1)
    model = translation_models.build_model(name, tokens, options)
    rate = training.InverseSquareRoot(arguments.learning_rate, arguments.warmup)
    optimizer = keras.optimizers.Adam(rate, beta_2=0.98, epsilon=1e-9)
    trained = translation_models.compile_model(
        model, tokens, options, optimizer, label_smoothing=0.1
    )
    clock = ProcessorTime(arguments.seconds)
    history = trained.fit(
        plan.train_dataset(seed=arguments.seed), steps_per_epoch=10**6, shuffle=False, callbacks=[clock], verbose=0
    ).history  # fmt: skip
    translation_models.take_weights(model, trained)
    perplexity = translation_models.plain_perplexity(model, validation)
    translator = text_generation.translator(
        model, end=tokens.end, beam=arguments.beam, never=(1, tokens.start)
    )
    outputs = translation_corpus.translate(translator, tokens, test[0], LONGEST * 2)
    bleu = translation_corpus.compute_bleu(outputs, test[1])[0][1]
    count = sum(int(np.prod(weight.shape)) for weight in trained.trainable_weights)
    throughput = clock.steps * plan.tokens / plan.steps_per_epoch / clock.elapsed
    added = f"{history['added_loss'][-1]:.3f}" if "added_loss" in history else ""
    options = texts.replace(" ", ", ")
    return (
        f"`{name}`", options, f"{count:,}", f"{clock.steps:,}", f"{throughput:,.0f}", f"{history['loss'][-1]:.3f}",
        added, f"{perplexity:.1f}", f"{bleu:.1f}",
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--data", required=True, help="folder of Multi30k, with train.en.gz and so on"
    )
    parser.add_argument("--seconds", type=float, default=45, help="processor time of each training")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--sentences", type=int, default=200, help="test sentences for BLEU")
    parser.add_argument("--beam", type=int, default=4)
    parser.add_argument("--learning_rate", type=float, default=0.002, help="peak learning rate")
    parser.add_argument("--warmup", type=int, default=100, help="warm-up steps")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    folder = pathlib.Path(arguments.data)
    train, validation, test = (
        translation.read_sentences(*(folder / f"{part}.{side}.gz" for side in ("en", "de")))
        for part in ("train", "val", translation_corpus.MULTI30K)
    )
    tokens = translation.learn_vocabularies(*train, SUBWORDS, joint=True)
    pairs = tokens.encode(*train, max_length=LONGEST)
    plan = translation.TokenBatches(pairs, TOKENS, ranges=(1, 1))
    held_out = tokens.encode(*validation, max_length=LONGEST)
    batches = translation.TokenBatches(held_out, TOKENS, ranges=(1, 1)).eval_dataset()
    test = [side[: arguments.sentences] for side in test]
    print(f"{pairs.pairs:,} pairs, {plan.steps_per_epoch:,} steps an epoch, {plan.shapes[0]}")
    head = (
        "model", "options", "parameters", "steps", "tokens/s", "loss", "added loss", "validation perplexity", "BLEU",
    )  # fmt: skip
    print(f"| {' | '.join(head)} |\n|{'---|' * 2}{'---:|' * (len(head) - 2)}", flush=True)
    for name in arguments.models:
        row = measure(name, MODELS[name], arguments, tokens, plan, batches, test)
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
