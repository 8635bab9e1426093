"""Temporal classification: the loss and the decoding against all paths, and PyTorch's loss."""

import itertools
import math

import keras
import numpy as np
import pytest
from small_networks import array, build, random_inputs

import kapps


def labelling_probabilities(probabilities):
    """Returns {labelling: probability} over all paths: repeated labels are merged, then blanks removed."""
    totals = {}
    steps, labels = probabilities.shape
    for path in itertools.product(range(labels), repeat=steps):
        merged = [label for label, _ in itertools.groupby(path)]
        labelling = tuple(label for label in merged if label)
        p = math.prod(probabilities[t, label] for t, label in enumerate(path))
        totals[labelling] = totals.get(labelling, 0) + p
    return totals


def padded_logits(lengths, steps=5):
    """A network's logits of padded sequences, and the probabilities at the steps that are not padding."""
    model = build("ctc")
    x = random_inputs(model, batch=len(lengths), steps=steps)
    for row, length in zip(x, lengths, strict=True):
        row[length:] = 0
    logits = array(model(x)).astype("float64")
    exponentials = np.exp(logits)
    probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return logits, [row[:length] for row, length in zip(probabilities, lengths, strict=True)]


def test_the_loss_sums_all_paths_of_the_steps_without_padding():
    labels = np.array([[1, 2, 0], [3, 3, 0], [2, 0, 0]])
    logits, probabilities = padded_logits((5, 4, 2))
    losses = keras.losses.CTC(reduction="none")(labels, logits.astype("float32"))
    for row, p, loss in zip(labels, probabilities, array(losses), strict=True):
        labelling = tuple(label for label in row.tolist() if label)
        np.testing.assert_allclose(
            loss, -math.log(labelling_probabilities(p)[labelling]), rtol=1e-4
        )


def test_beam_search_finds_the_most_likely_labelling():
    logits, probabilities = padded_logits((5, 3, 4))
    for row, p in zip(kapps.ctc_labels(logits, beams=100), probabilities, strict=True):
        totals = labelling_probabilities(p)
        assert tuple(label for label in row.tolist() if label) == max(totals, key=totals.get)


@pytest.mark.peers
def test_the_loss_is_torchs():
    import torch

    lengths, labels = [5, 4, 2], np.array([[1, 2, 1], [3, 3, 0], [2, 0, 0]])
    logits, _ = padded_logits(lengths)
    losses = keras.losses.CTC(reduction="none")(labels, logits.astype("float32"))
    expected = torch.nn.functional.ctc_loss(
        torch.log_softmax(torch.from_numpy(logits), -1).transpose(0, 1),
        torch.from_numpy(labels), lengths, [3, 2, 1], blank=0, reduction="none",
    )  # fmt: skip
    np.testing.assert_allclose(array(losses), expected.numpy(), rtol=1e-4)
