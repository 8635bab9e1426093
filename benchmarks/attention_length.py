"""Time and peak memory of attention and its gradient by sequence length, and of reversible layers by depth.

    python benchmarks/attention_length.py --peer_python=/path/to/python/with/torch --plot=length.png
    python benchmarks/attention_length.py --lengths 512 1024 --depths 2 4 --rounds=1

One causal layer with 2 heads, width 64, float32, TensorFlow without XLA, one sequence. Each measurement has a process
of its own; the seconds are the median of rounds after a first run, which traces. The memory is the peak of the
process, less that of the same layer on 16 steps. The last line of each table has exponents: the slope of a line
through the logarithms of length and measurement, over the longest half of the lengths; the plot shows them too.

- full: all pairs of steps. chunked: all pairs, 128 queries at a time.
- window: the last 128 steps. strided, fixed: the Sparse Transformer's patterns with a stride near the square root of
  the length, and 4 summary steps.
- hashed: LSH attention in chunks of 64, 2 rounds, and twice as many buckets as chunks.
- span: adaptive spans of at most 128 steps, with vectors of relative positions.
- torch: all pairs by PyTorch's scaled_dot_product_attention, in the interpreter --peer_python.

The table by depth is for a Reformer on 4,096 steps: a training step with and without recomputed inputs. Its memory is
less that of the same network on 128 steps, which has the same weights and the same graph.
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

HEADS, KEY_DIM, SHORTEST, SPAN = 2, 32, 16, 128
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
DEPTHS = (4, 8, 16, 32)
KINDS = ("full", "chunked", "window", "strided", "fixed", "hashed", "span")
TORCH = "torch"
STACKS = ("ordinary", "reversible")
DEPTH_STEPS, FEW_STEPS = 4096, 128


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
    if kind == "span":
        return span_attention()
    if kind == "hashed":
        return layers.LSHAttention(HEADS, KEY_DIM, buckets=bucket_factors(length, 64), chunk=64)
    stride = 128 if kind == "window" else square_root(length)
    pattern = "local" if kind == "window" else kind
    summary = 4 if kind == "fixed" else None
    return layers.SparseAttention(
        HEADS, KEY_DIM, pattern=pattern, stride=stride, summary=summary, use_bias=False
    )


def span_attention():
    """Returns a function from x to attention with adaptive spans, with its projections."""
    import keras

    from kapps.layers import AdaptiveSpanAttention
    from kapps.layers.relative_position_scores import RelativePositionScores

    width = HEADS * KEY_DIM
    query, key, value, output = (keras.layers.Dense(width, use_bias=False) for _ in range(4))
    positions = RelativePositionScores(HEADS, SPAN)
    attention = AdaptiveSpanAttention(HEADS, SPAN, initial_span=0.5)

    def call(x):
        q = query(x)
        return output(attention([q, key(x), value(x), positions(q)]))

    return call


def torch_step(length):
    """Returns a function that runs PyTorch's attention and its gradient."""
    import torch

    width = HEADS * KEY_DIM
    projections = torch.nn.Linear(width, 3 * width, bias=False)
    output = torch.nn.Linear(width, width, bias=False)
    x = torch.randn(1, length, width, requires_grad=True)

    def step():
        heads = projections(x).reshape(1, length, 3, HEADS, KEY_DIM).permute(2, 0, 3, 1, 4)
        y = torch.nn.functional.scaled_dot_product_attention(*heads, is_causal=True)
        loss = (output(y.transpose(1, 2).reshape(1, length, width)) ** 2).sum()
        return torch.autograd.grad(loss, x)[0].numpy()

    return step


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


def stack_step(kind, depth, steps):
    """Returns a function that trains a Reformer of a depth for one step, on a sequence of `steps` steps."""
    import keras
    import numpy as np

    from kapps import families

    model = families.reformer(
        vocabulary=64, layers=depth, kinds=("local", "lsh"), d_model=64, ffn=256, heads=HEADS, key_dim=KEY_DIM,
        positions=(64, 64), position_widths=(32, 32), rounds=1, reversible=kind == "reversible",
    )  # fmt: skip
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", jit_compile=False)
    tokens = np.random.default_rng(0).integers(1, 64, (1, steps))
    return lambda: model.train_on_batch(tokens, tokens)


def measure(kind, size, rounds, steps):
    """Prints the seconds of a step, and the peak memory of this process in MB."""
    if kind in STACKS:
        step = stack_step(kind, size, steps)
    elif kind == TORCH:
        step = torch_step(size)
    else:
        step = attention_step(kind, size)
    step()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([statistics.median(seconds), peak]))


def run(kind, size, rounds, python=sys.executable, steps=DEPTH_STEPS):
    """Returns (seconds, MB) of a process of its own; None if it needs more memory than there is.

    `steps` is for a Reformer, whose size is its depth; the size of attention is the number of steps.
    """
    command = [
        python,
        __file__,
        f"--measure={kind}",
        f"--size={size}",
        f"--rounds={rounds}",
        f"--steps={steps}",
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


def tables(kinds, sizes, rounds, label, peer_python=None):
    """Measures kinds at sizes, and prints a table of seconds and one of memory; returns both by kind."""
    seconds, memory = ({kind: [] for kind in kinds} for _ in range(2))
    for kind in kinds:
        python = peer_python if kind == TORCH else sys.executable
        base = None if kind in STACKS else run(kind, SHORTEST, 1, python)[1]
        for size in sizes:
            result = run(kind, size, rounds, python)
            if kind in STACKS:
                base = run(kind, size, 1, steps=FEW_STEPS)[1]
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
    return seconds, memory


def plot(lengths, seconds, memory, path):
    """Plots seconds and MB by length on logarithmic axes, with the exponent of each kind in its label."""
    from kapps import visualize

    figure = visualize.new_figure(figsize=(10, 4.2))
    for panel, values, label in zip(
        figure.subplots(1, 2), (seconds, memory), ("seconds", "MB"), strict=True
    ):
        for kind, colour in zip(values, (visualize.BLACK, *visualize.COLOURS), strict=False):
            points = [(n, v) for n, v in zip(lengths, values[kind], strict=True) if v]
            slope = exponent(lengths, values[kind])
            name = kind if slope is None else f"{kind}: {slope:.2f}"
            if points:
                panel.loglog(
                    *zip(*points, strict=True), "o-", color=colour, label=name, markersize=3
                )
        panel.set_xlabel("steps", fontsize=visualize.FONT_SIZE + 1)
        panel.set_ylabel(
            f"{label} for attention and its gradient", fontsize=visualize.FONT_SIZE + 1
        )
        panel.legend(title="exponents", fontsize=visualize.FONT_SIZE)
        panel.grid(alpha=0.25)
    visualize.save_figure(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="*", default=LENGTHS)
    parser.add_argument("--depths", type=int, nargs="*", default=DEPTHS)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--peer_python", help="interpreter with torch; PyTorch is left out without it"
    )
    parser.add_argument("--plot", help="file for a plot by length: .png, .svg or .pdf")
    parser.add_argument("--measure", choices=(*KINDS, TORCH, *STACKS), help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.size, options.rounds, options.steps)
        return
    if options.lengths:
        kinds = (*options.kinds, *[TORCH] * bool(options.peer_python))
        seconds, memory = tables(
            kinds, options.lengths, options.rounds, "steps", options.peer_python
        )
    if options.depths:
        tables(STACKS, options.depths, options.rounds, "layers")
    if options.plot and options.lengths:
        plot(options.lengths, seconds, memory, options.plot)


if __name__ == "__main__":
    main()
