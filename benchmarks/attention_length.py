"""Time and peak memory of attention and its gradient by sequence length, and of reversible layers by depth.

    python benchmarks/attention_length.py --plot=memory.png
    python benchmarks/attention_length.py --lengths 512 1024 --depths 2 4 --rounds=1

One causal layer with 2 heads, width 64, float32, TensorFlow without XLA, one sequence. Each measurement has a process
of its own; the seconds are the median of rounds after a first run, which traces. The memory is the peak of the
process, less that of the same layer on 16 steps. The last line of each table has exponents: the slope of a line
through the logarithms of length and measurement, over the longest half of the lengths.

- full: all pairs of steps. chunked: all pairs, 128 queries at a time.
- window: the last 128 steps. strided, fixed: the Sparse Transformer's patterns with a stride near the square root of
  the length, and 4 summary steps.
- hashed: LSH attention in chunks of 64, 2 rounds, and twice as many buckets as chunks.

The table by depth is for a Reformer on 1,024 steps: a training step with and without recomputed inputs.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

HEADS, KEY_DIM, SHORTEST = 2, 32, 16
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
DEPTHS = (4, 8, 16, 32)
KINDS = ("full", "chunked", "window", "strided", "fixed", "hashed")
STACKS = ("ordinary", "reversible")
DEPTH_STEPS = 1024


def square_root(length):
    """Returns the power of two nearest to the square root of a length."""
    return 2 ** round(math.log2(length) / 2)


def attention(kind, length):
    """Returns a function from x (batch, steps, width) to one layer of attention of a kind."""
    from kapps import layers
    from kapps.attention.reformer import bucket_factors

    if kind in ("full", "chunked"):
        layer = layers.MultiHeadAttention(
            HEADS, KEY_DIM, chunk=128 if kind == "chunked" else None, use_bias=False
        )
        return lambda x: layer(x, x, use_causal_mask=True)
    if kind == "hashed":
        return layers.LSHAttention(HEADS, KEY_DIM, buckets=bucket_factors(length, 64), chunk=64)
    stride = 128 if kind == "window" else square_root(length)
    pattern = "local" if kind == "window" else kind
    summary = 4 if kind == "fixed" else None
    return layers.SparseAttention(
        HEADS, KEY_DIM, pattern=pattern, stride=stride, summary=summary, use_bias=False
    )


def attention_step(kind, length):
    """Returns a function that runs attention and its gradient."""
    import tensorflow as tf

    layer = attention(kind, length)
    x = tf.random.normal([1, length, HEADS * KEY_DIM])
    layer(x[:, :SHORTEST])  # its weights

    @tf.function(jit_compile=False)
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) ** 2)
        return tape.gradient(loss, x)

    return lambda: gradient(x).numpy()


def stack_step(kind, depth):
    """Returns a function that trains a Reformer of a depth for one step."""
    import keras
    import numpy as np

    from kapps import families

    model = families.reformer(
        vocabulary=64, layers=depth, kinds=("local", "lsh"), d_model=64, ffn=256, heads=HEADS, key_dim=KEY_DIM,
        positions=(32, 32), position_widths=(32, 32), rounds=1, reversible=kind == "reversible",
    )  # fmt: skip
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", jit_compile=False)
    tokens = np.random.default_rng(0).integers(1, 64, (1, DEPTH_STEPS))
    return lambda: model.train_on_batch(tokens, tokens)


def measure(kind, size, rounds):
    """Prints the seconds of a step, and the peak memory of this process in MB."""
    step = (stack_step if kind in STACKS else attention_step)(kind, size)
    step()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([statistics.median(seconds), peak]))


def run(kind, size, rounds):
    """Returns (seconds, MB) of a process of its own; None if it needs more memory than there is."""
    command = [
        sys.executable,
        __file__,
        f"--measure={kind}",
        f"--size={size}",
        f"--rounds={rounds}",
    ]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    return json.loads(process.stdout.splitlines()[-1]) if process.returncode == 0 else None


def exponent(sizes, values):
    """Returns the slope of a line through logarithms, over the longest half of the sizes; None of fewer than two."""
    import numpy as np

    points = [(n, v) for n, v in zip(sizes, values, strict=True) if v is not None and v > 0]
    points = points[-max(2, (len(sizes) + 1) // 2) :]
    if len(points) < 2:
        return None
    return float(np.polyfit(*np.log(np.array(points).T), 1)[0])


def tables(kinds, sizes, smallest, rounds, label):
    """Measures kinds at sizes, and prints a table of seconds and one of memory; returns the memory by kind."""
    seconds, memory = ({kind: [] for kind in kinds} for _ in range(2))
    for kind in kinds:
        base = run(kind, smallest, 1)[1]
        for size in sizes:
            result = run(kind, size, rounds)
            seconds[kind].append(result and result[0])
            memory[kind].append(result and max(0.0, result[1] - base))
            print(f"{kind}, {size:,} {label}: {result}", file=sys.stderr, flush=True)
    for title, values, digits in (("seconds", seconds, 4), ("MB", memory, 0)):
        print(f"\n| {label} | " + " | ".join(f"{kind}, {title}" for kind in kinds) + " |")
        print("|" + " --- |" * (1 + len(kinds)))
        for i, size in enumerate(sizes):
            row = [values[kind][i] for kind in kinds]
            cells = ["out of memory" if v is None else f"{v:,.{digits}f}" for v in row]
            print(f"| {size:,} | {' | '.join(cells)} |")
        slopes = [exponent(sizes, values[kind]) for kind in kinds]
        print(f"| exponent | {' | '.join('' if s is None else f'{s:.2f}' for s in slopes)} |")
    return memory


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="*", default=LENGTHS)
    parser.add_argument("--depths", type=int, nargs="*", default=DEPTHS)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plot", help="file for a plot of memory by length: .png, .svg or .pdf")
    parser.add_argument("--measure", choices=(*KINDS, *STACKS), help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.size, options.rounds)
        return
    if options.lengths:
        memory = tables(options.kinds, options.lengths, SHORTEST, options.rounds, "steps")
    if options.depths:
        tables(STACKS, options.depths, 1, options.rounds, "layers")
    if options.plot and options.lengths:
        from kapps import visualize

        lines = {
            kind: (
                [n for n, v in zip(options.lengths, values, strict=True) if v],
                [v for v in values if v],
            )
            for kind, values in memory.items()
        }
        visualize.plot_lines(
            lines, options.plot, "steps", "MB for attention and its gradient", logarithmic=True, marker="o"
        )  # fmt: skip


if __name__ == "__main__":
    main()
