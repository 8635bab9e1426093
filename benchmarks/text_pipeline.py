"""Tokens a second of the text pipelines, beside reading the file and beside plain NumPy.

    python benchmarks/text_pipeline.py [--text FILE] [--characters 100000000]

The text is FILE's, or made up, repeated until it is that long. What is compared takes turns, round after round, and a
row is the median, so that whatever else the machine does falls on all alike. A pipeline delivers tokens and targets,
int32, so each of its tokens is 8 bytes written, where reading delivers the 1 byte that a character has in the file.
Pairs are lines of the text beside themselves, subwords of both sides together, and their batches have tokens, labels
and weights.
"""

import argparse
import os
import pathlib
import statistics
import tempfile
import time

LENGTH, BATCH, PAIRED = 35, 1024, 4096


def first_epoch(batches, count):
    """Returns the seconds of `count` batches, from the iterator's making on."""
    start = time.perf_counter()
    iterator = iter(batches)
    for _ in range(count):
        next(iterator)
    return time.perf_counter() - start


def numpy_rows(corpus, order):
    """Returns the seconds that NumPy takes for the same batches: rows chosen from two views."""
    import numpy as np

    from kapps.data import text

    start = time.perf_counter()
    x, y = text.cut_subsequences(corpus, LENGTH)
    for at in range(0, len(order) - BATCH + 1, BATCH):
        chosen = order[at : at + BATCH]
        np.take(x, chosen, axis=0), np.take(y, chosen, axis=0)
    return time.perf_counter() - start


def numpy_streams(corpus, count):
    """Returns the seconds of copying the same slices of streams."""
    start = time.perf_counter()
    each = (len(corpus) - 1) // BATCH
    x = corpus[: each * BATCH].reshape(BATCH, each)
    y = corpus[1 : each * BATCH + 1].reshape(BATCH, each)
    for at in range(0, count * LENGTH, LENGTH):
        x[:, at : at + LENGTH].copy(), y[:, at : at + LENGTH].copy()
    return time.perf_counter() - start


def pair_rows(text):
    """Returns {row: (function, tokens)} of lines as pairs, each of which is its own translation."""
    from kapps.data import translation

    words = text.split()
    lines = [" ".join(words[at : at + 5 + at % 20]) for at in range(0, len(words), 15)]
    subwords = translation.learn_vocabularies(lines[:2000], lines[:2000], 1000)
    encoded = subwords.encode(lines, lines)
    plan = translation.TokenBatches(encoded, PAIRED)
    return {
        "pairs to subwords": (lambda: timed(subwords.encode, lines, lines), plan.tokens),
        f"pairs, {PAIRED:,} a batch": (
            lambda: first_epoch(plan.train_dataset(), plan.steps_per_epoch),
            plan.tokens,
        ),
    }


def timed(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def measure(flags):
    """Prints the table."""
    import numpy as np

    from kapps.data import text

    corpus = text.read_text(flags.text) if flags.text else " ".join(map(str, range(200_000)))
    corpus = (corpus * (flags.characters // len(corpus) + 1))[: flags.characters]
    vocabulary = text.characters(corpus)
    tokens = vocabulary.encode(corpus)
    count = text.subsequence_steps_per_epoch(tokens, LENGTH, BATCH)
    order = np.random.default_rng(0).permutation((len(tokens) - 1) // LENGTH)
    shuffled = text.subsequence_dataset(tokens, LENGTH, BATCH)
    streams = text.eval_stream_dataset(tokens, LENGTH, BATCH, remainder=False)
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "text.txt"
        file.write_text(corpus, encoding="utf-8")
        rows = {
            "reading the file (the limit)": lambda: timed(file.read_bytes),
            "reading, decoding UTF-8, checking": lambda: timed(text.read_text, file),
            "characters to numbers": lambda: timed(vocabulary.encode, corpus),
            "NumPy: rows at random": lambda: numpy_rows(tokens, order),
            "shuffled": lambda: first_epoch(shuffled, count),
            "NumPy: streams": lambda: numpy_streams(tokens, len(streams)),
            "streams": lambda: first_epoch(streams, len(streams)),
        }
        rows = {name: (row, len(tokens)) for name, row in rows.items()}
        rows |= pair_rows(corpus[: len(corpus) // 20])
        seconds = {name: [] for name in rows}
        for _ in range(flags.rounds):
            for name, (row, _) in rows.items():
                seconds[name].append(row())
    limit = len(tokens) / statistics.median(seconds["reading the file (the limit)"])
    print(
        f"{len(tokens):,} tokens, batches of {BATCH} x {LENGTH}, {flags.rounds} rounds, {os.cpu_count()} cores"
    )
    for name, found in seconds.items():
        rate = rows[name][1] / statistics.median(found)
        print(
            f"{name:36}{rate / 1e6:9.1f} M tokens a second{rate / limit:9.3f} of reading"
            f"  ({min(found):.3f} to {max(found):.3f} s)"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", help="the text that is repeated")
    parser.add_argument("--characters", type=int, default=100_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    measure(parser.parse_args())
