"""Throughput of the text pipelines (tokens/s), compared with reading the file and with NumPy.

    python benchmarks/text_pipeline.py [--text FILE] [--characters 100000000]

The text is FILE or made up, and is repeated to the requested length. The pipelines are measured in turns over several
rounds, so that other load on the machine affects all of them. A row is the median of the rounds. A pipeline writes
tokens and targets, int32, which are 8 bytes per token; reading writes 1 byte per character. Pairs are lines of the text
and themselves as their translations; their tokens are those of both sides, and their batches hold tokens, labels and
weights.
"""

import argparse
import os
import pathlib
import statistics
import tempfile
import time

LENGTH, BATCH, PAIR_TOKENS = 35, 1024, 4096
READING = "reading the file (the limit)"


def measure_call(function, *arguments):
    """Returns the seconds of a call."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def measure_batches(dataset, count):
    """Returns the seconds of `count` batches, with the creation of the iterator."""
    start = time.perf_counter()
    iterator = iter(dataset)
    for _ in range(count):
        next(iterator)
    return time.perf_counter() - start


def measure_numpy_rows(corpus, order):
    """Returns the seconds in which NumPy selects the rows of the same shuffled batches."""
    import numpy as np

    from kapps.data import text

    start = time.perf_counter()
    tokens, targets = text.cut_subsequences(corpus, LENGTH)
    for first in range(0, len(order) - BATCH + 1, BATCH):
        rows = order[first : first + BATCH]
        np.take(tokens, rows, axis=0), np.take(targets, rows, axis=0)
    return time.perf_counter() - start


def measure_numpy_streams(corpus, count):
    """Returns the seconds in which NumPy copies the slices of the same streams."""
    start = time.perf_counter()
    stream_length = (len(corpus) - 1) // BATCH
    tokens = corpus[: stream_length * BATCH].reshape(BATCH, stream_length)
    targets = corpus[1 : stream_length * BATCH + 1].reshape(BATCH, stream_length)
    for first in range(0, count * LENGTH, LENGTH):
        tokens[:, first : first + LENGTH].copy(), targets[:, first : first + LENGTH].copy()
    return time.perf_counter() - start


def text_rows(corpus, path):
    """Returns {row: (function that returns seconds, number of tokens)} for the text in a file."""
    import numpy as np

    from kapps.data import text

    vocabulary = text.characters(corpus)
    tokens = vocabulary.encode(corpus)
    steps = text.subsequence_steps_per_epoch(tokens, LENGTH, BATCH)
    order = np.random.default_rng(0).permutation((len(tokens) - 1) // LENGTH)
    shuffled = text.subsequence_dataset(tokens, LENGTH, BATCH)
    streams = text.eval_stream_dataset(tokens, LENGTH, BATCH, remainder=False)
    functions = {
        READING: lambda: measure_call(path.read_bytes),
        "read_text": lambda: measure_call(text.read_text, path),
        "encoding characters": lambda: measure_call(vocabulary.encode, corpus),
        "NumPy: shuffled subsequences": lambda: measure_numpy_rows(tokens, order),
        "subsequence_dataset": lambda: measure_batches(shuffled, steps),
        "NumPy: streams": lambda: measure_numpy_streams(tokens, len(streams)),
        "eval_stream_dataset": lambda: measure_batches(streams, len(streams)),
    }
    return {name: (function, len(tokens)) for name, function in functions.items()}


def pair_rows(corpus):
    """Returns {row: (function that returns seconds, number of tokens)} for lines that are their own translations."""
    from kapps.data import translation

    words = corpus.split()
    lines = [" ".join(words[first : first + 5 + first % 20]) for first in range(0, len(words), 15)]
    vocabularies = translation.learn_vocabularies(lines[:2000], lines[:2000], 1000)
    batches = translation.TokenBatches(vocabularies.encode(lines, lines), PAIR_TOKENS)
    return {
        "encoding pairs to subwords": (
            lambda: measure_call(vocabularies.encode, lines, lines),
            batches.tokens,
        ),
        f"TokenBatches of {PAIR_TOKENS:,}": (
            lambda: measure_batches(batches.train_dataset(), batches.steps_per_epoch),
            batches.tokens,
        ),
    }


def main() -> None:
    """Measures all rows and prints a table."""
    from kapps.data import text

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", help="text file, which is repeated (default: numbers)")
    parser.add_argument(
        "--characters", type=int, default=100_000_000, help="length of the text, in characters"
    )
    parser.add_argument("--rounds", type=int, default=5, help="number of measurements")
    options = parser.parse_args()
    corpus = text.read_text(options.text) if options.text else " ".join(map(str, range(200_000)))
    corpus = (corpus * (options.characters // len(corpus) + 1))[: options.characters]
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "text.txt"
        path.write_text(corpus, encoding="utf-8")
        rows = text_rows(corpus, path) | pair_rows(corpus[: len(corpus) // 20])
        seconds = {name: [] for name in rows}
        for _ in range(options.rounds):
            for name, (measure, _) in rows.items():
                seconds[name].append(measure())
    count = rows[READING][1]
    limit = count / statistics.median(seconds[READING])
    print(
        f"{count:,} tokens, batches of {BATCH} x {LENGTH}, median of {options.rounds} rounds,"
        f" {os.cpu_count()} cores"
    )
    for name, values in seconds.items():
        throughput = rows[name][1] / statistics.median(values)
        print(
            f"{name:36}{throughput / 1e6:9.1f} M tokens/s{throughput / limit:9.3f} of the limit"
            f"  ({min(values):.3f} to {max(values):.3f} s)"
        )


if __name__ == "__main__":
    main()
