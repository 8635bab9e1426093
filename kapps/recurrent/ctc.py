"""Temporal classification: a sequence to a shorter sequence of labels, of which nobody says where they begin.

[1] Graves 2006, Connectionist temporal classification, ICML: the network for TIMIT, 114,662 weights
[2] Graves 2012, Supervised sequence labelling with recurrent neural networks: section 2.3.3, chapter 7

    model = kapps.ctc_timit(classifier_activation=None)                 # logits are what the loss and decoding take
    model.compile("adam", keras.losses.CTC())
    model.fit(x, labels)                                                # from 1, padded by 0
    found = kapps.ctc_labels(model.predict(x), beams=100)
    print(kapps.label_error_rate(found, labels))

Label 0 is the blank. Steps that a mask hides say blank for certain: as many paths of the same chance lead to a
labelling as without those steps, so that loss and decoding need no lengths.
"""

import keras
import numpy as np
from keras import ops

from kapps.builders import sequence_family, variant
from kapps.layers import BlankPadding
from kapps.recurrent import stacks
from kapps.recurrent.mappings import padding


def blank_where_padded(x, classes, activation):
    """A head: `classes` logits at each step, the blank's among them; hidden steps say blank for certain."""
    x = keras.layers.Dense(classes, dtype="float32", name="head_logits")(x)
    x = BlankPadding(dtype="float32", name="head_padding")(x)
    return keras.layers.Activation(activation or "linear", dtype="float32", name="predictions")(x)


@sequence_family(shape=(None, 26), classes=62, head=blank_where_padded)
def temporal_classifier(
    x, *, units=100, layers=None, cell="peephole", merge="concat", residual=None, pyramid=None, dropout=0.0, masking=True
):  # fmt: skip
    """Recurrent layers whose outputs spell a shorter sequence of labels [1]. Train it without an activation.

    Args:
        x: vectors; at least as many steps as labels, and one more between two labels that are the same.
        units, layers, cell, merge, residual, pyramid, dropout: as for `kapps.recurrent.stacks.stack`.
        masking: whether steps of zeros are padding.
    """
    return stacks.stack(
        padding(x, masking), units, layers=layers, cell=cell, merge=merge, residual=residual, pyramid=pyramid,
        dropout=dropout,
    )  # fmt: skip


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


# fmt: off
#                                                                                                        the paper's number of weights
ctc_timit = variant(temporal_classifier, "ctc_timit", units=100, cell="peephole", merge="concat", paper="Graves 2006", params=114_662)
# fmt: on
