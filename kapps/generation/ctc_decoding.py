"""Decoding of networks that are trained with connectionist temporal classification (CTC).

[1] Graves 2006, Connectionist temporal classification, ICML
[2] Graves 2012, Supervised sequence labelling with recurrent neural networks: section 2.3.3, chapter 7
"""

import numpy as np
from keras import ops

from kapps._arrays import as_array
from kapps._values import is_integer


def ctc_labels(logits, beams: int | None = None) -> np.ndarray:
    """Returns the label sequence of each sequence of logits: int32 (batch, longest), padded with 0.

    Args:
        logits: (batch, time, labels), before any activation; label 0 is the blank.
        beams: number of prefixes that a beam search keeps; None for best path decoding, which takes the most likely
            label at each step and does not always find the most likely label sequence [2].

    Raises:
        ValueError: for another shape or number.
    """
    logits = as_array("logits", logits, "float32")
    if logits.ndim != 3 or logits.shape[-1] < 2:
        raise ValueError(
            f"logits are (batch, time, labels), with the blank and at least one label, not {logits.shape}"
        )
    if beams is not None and not is_integer(beams, 1, 1024):
        raise ValueError(
            f"beams is a positive integer, or None for best path decoding, not {beams!r}"
        )
    lengths = np.full(len(logits), logits.shape[1], "int32")
    options = dict(strategy="greedy")
    if beams is not None:
        options = dict(strategy="beam_search", beam_width=beams)
    decoded, _ = ops.ctc_decode(logits, lengths, mask_index=0, **options)
    labels = np.maximum(ops.convert_to_numpy(decoded)[0], 0).astype("int32")  # Keras pads with -1
    return labels[:, : max(1, int(np.count_nonzero(labels, axis=-1).max(initial=0)))]
