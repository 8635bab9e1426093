"""Decoding of networks that connectionist temporal classification (CTC) trains, and their error rate.

[1] Graves 2006, Connectionist temporal classification, ICML
[2] Graves 2012, Supervised sequence labelling with recurrent neural networks: section 2.3.3, chapter 7
"""

import numpy as np
from keras import ops


def ctc_labels(logits, beams=None):
    """Returns the label sequences that a network spells: int32 (batch, longest), padded by 0.

    Args:
        logits: (batch, time, labels), what follows no activation; blank is 0.
        beams: how many beginnings a beam search keeps; None for the best path, the likeliest label at each step,
            whose labelling need not be the likeliest.

    Raises:
        ValueError: for other shapes or numbers.
    """
    logits = np.asarray(logits, "float32")
    if logits.ndim != 3 or logits.shape[-1] < 2:
        raise ValueError(
            f"logits are (batch, time, labels), the blank and at least one label, not {logits.shape}"
        )
    if beams is not None and (not isinstance(beams, int) or beams < 1):
        raise ValueError(
            f"beams is a whole number from 1, or None for the best path, not {beams!r}"
        )
    lengths = np.full(len(logits), logits.shape[1], "int32")
    how = (
        dict(strategy="greedy") if beams is None else dict(strategy="beam_search", beam_width=beams)
    )
    found, _ = ops.ctc_decode(logits, lengths, mask_index=0, **how)
    found = np.maximum(ops.convert_to_numpy(found)[0], 0).astype(
        "int32"
    )  # what Keras pads by is -1
    return found[:, : max(1, int(np.count_nonzero(found, axis=-1).max(initial=0)))]


def label_error_rate(found, expected):
    """Returns the share of labels that are wrong: all edit distances over all expected labels [2].

    A distance is how many labels must be put in, left out and changed, so the rate may be above 1.

    Args:
        found: sequences of labels from 1, one a row, padded by 0 or of their own lengths.
        expected: as many of them.

    Raises:
        ValueError: for another number of sequences, or where no label is expected.
    """
    if len(found) != len(expected):
        raise ValueError(
            f"{len(found)} sequences are found and {len(expected)} expected; give as many"
        )
    found, expected = (
        [[int(label) for label in row if label] for row in rows] for rows in (found, expected)
    )
    labels = sum(map(len, expected))
    if not labels:
        raise ValueError("no label is expected, so there is no share of them")
    return sum(map(edit_distance, found, expected)) / labels


def edit_distance(a, b):
    """Returns how many labels are put in, left out or changed from one sequence to another."""
    row = list(
        range(len(b) + 1)
    )  # from the first labels of a, none of them yet, to the first j of b
    for i, label in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (label != other))
    return row[-1]
