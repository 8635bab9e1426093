"""Small language models after equal processor time of training: the table of docs/language_models.md.

    python benchmarks/language_models.py --text=tinyshakespeare.txt --seconds=15

All models read the same batches of windows of characters, in the same order and without carried states, and are
evaluated on the same windows of the end of the text. Each is in a process of its own with one thread. Processor time
does not depend on other programs on the machine; the first step, which traces the graph, does not count. Memory is the
peak of the process less what it had before the model was built.
"""

import argparse
import functools
import math
import multiprocessing
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "recipes"))
import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
import tensorflow as tf
from _processor_time import ProcessorTime
from common import language_models, model_options

from kapps import training
from kapps.data import text

SIZES = "layers=2 d_model=128 ffn=512 heads=4 dropout=0.0"
MODELS = {
    "LSTM": ("rnn_lm", "cell=lstm embedding=64 units=170,170"),
    "GRU": ("rnn_lm", "cell=gru embedding=64 units=200,200"),
    "LSTM memory-network": ("lstmn", "embedding=64 units=228 tape=32"),
    "mixture of experts": ("moe4", "experts=4 k=2 units=104 hidden=240 dropout=0.0"),
    "gated convolutions": ("gated_conv_lm", "embedding=64 convolutions=((128,4,1),(128,4,1),(128,4,1)) dropout=0.0"),
    "Transformer decoder": ("transformer_decoder", SIZES),
    "Sparse Transformer": (
        "sparse_transformer_enwik8", f"{SIZES} stride=16 summary=4 positions=16,16"
    ),
    "Reformer": (
        "reformer_enwik8",
        f"{SIZES} key_dim=32 positions=16,16 position_widths=64,64 chunk=32 rounds=2 kinds=local,lsh",
    ),
    "adaptive spans": (
        "adaptive_span_enwik8_small", f"{SIZES} span=128 initial_span=0.25 ramp=16 block=128"
    ),
    "all-attention": (
        "all_attention_enwik8_small",
        "layers=2 d_model=128 heads=4 persistent=512 span=128 initial_span=0.25 ramp=16 block=128 dropout=0.0",
    ),
    "product-key memory": (
        "product_key_memory12", f"{SIZES} memory_layers=2 sub_keys=32 k=8 memory_heads=2 key_dim=64"
    ),
}  # fmt: skip
"""{label: (model, options of its family)}."""
HEAD = (
    "network", "model", "parameters", "steps", "tokens/s", "loss", "added loss", "validation bits per character",
    "memory (MB)",
)  # fmt: skip


def memory(field):
    """Returns a field of the status of this process, VmHWM for the peak or VmRSS for now, in MB."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith(field)]
    return int(line.split()[1]) / 1024


def measure(label, arguments):
    """Returns a row of the table for one model."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(arguments.seed)
    corpus = text.read_text(arguments.text)
    vocabulary = text.characters(corpus)
    tokens = vocabulary.encode(corpus)
    cut = len(tokens) - int(0.05 * len(tokens))
    shape = arguments.length, arguments.batch_size
    validation = text.eval_stream_dataset(tokens[cut:], *shape)
    batches = text.subsequence_dataset(tokens[:cut], *shape, seed=arguments.seed)

    before, (name, texts) = memory("VmRSS"), MODELS[label]
    options = model_options.read_options(name, texts.split(), rows=language_models.rows())
    build = functools.partial(language_models.build_model, name, options, vocabulary.size)
    trained = language_models.trained_model(build(input_shape=(arguments.length,)))
    rate = training.InverseSquareRoot(arguments.learning_rate, arguments.warmup)
    trained.compile(
        keras.optimizers.Adam(rate, global_clipnorm=1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[training.Perplexity()], jit_compile=False,
    )  # fmt: skip
    clock = ProcessorTime(arguments.seconds)
    history = trained.fit(
        batches, steps_per_epoch=10**6, shuffle=False, callbacks=[clock], verbose=0
    ).history
    peak = memory("VmHWM") - before
    perplexity = trained.evaluate(validation, verbose=0, return_dict=True)["perplexity"]
    count = sum(math.prod(weight.shape) for weight in trained.trainable_weights)
    added = f"{history['added_loss'][-1]:.4f}" if "added_loss" in history else ""
    return (
        label, f"`{name}`", f"{count:,}", f"{clock.steps:,}", f"{clock.steps * math.prod(shape) / clock.elapsed:,.0f}",
        f"{history['loss'][-1]:.3f}", added, f"{np.log2(perplexity):.3f}", f"{peak:,.0f}",
    )  # fmt: skip


def print_row(label, arguments):
    """Prints the row of one model."""
    print(f"| {' | '.join(measure(label, arguments))} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--text", required=True, help="text file in UTF-8")
    parser.add_argument("--seconds", type=float, default=15, help="processor time of each training")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--length", type=int, default=128, help="characters of a window, to 256")
    parser.add_argument("--batch_size", type=int, default=16, help="windows of a step")
    parser.add_argument("--learning_rate", type=float, default=0.003, help="peak learning rate")
    parser.add_argument("--warmup", type=int, default=30, help="warm-up steps")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * 2}{'---:|' * (len(HEAD) - 2)}", flush=True)
    # A fork has imported TensorFlow; this process does not use it, so that forks work.
    context = multiprocessing.get_context("fork")
    for label in arguments.models:
        process = context.Process(target=print_row, args=(label, arguments))
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(f"{label}: exit code {process.exitcode}")


if __name__ == "__main__":
    main()
