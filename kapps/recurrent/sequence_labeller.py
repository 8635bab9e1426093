"""Sequence labelling: one label for each step of a sequence of vectors, or for each segment of steps.

[1] Graves 2005, Framewise phoneme classification with bidirectional LSTM and other neural network architectures,
    Neural Networks 18: four networks of about 100,000 weights

Departure from [1]: its networks are trained one sequence at a time, with random weights from -0.1 to 0.1.
"""

from kapps.builders import sequence_family, variant
from kapps.layers import SegmentMean
from kapps.layers.recurrent_stack import mask_zero_steps, stack


@sequence_family(shape=(None, 26), classes=61)
def sequence_labeller(
    x, *, units=93, layers=None, cell="peephole", merge="concat", residual=None, dropout=0.0, segment=None, masking=True
):  # fmt: skip
    """Many to as many: an answer at every step; or, with `segment`, at every so many of them.

    Args:
        x: vectors.
        units, layers, cell, merge, residual, dropout: as for `kapps.layers.recurrent_stack.stack`.
        segment: steps of a segment that has one label, from the mean of what they have; None for each step its own.
        masking: whether steps of zeros are padding.
    """
    x = stack(
        mask_zero_steps(x, masking), units, layers=layers, cell=cell, merge=merge, residual=residual, dropout=dropout
    )  # fmt: skip
    return x if segment is None else SegmentMean(segment, name="segments")(x)


# fmt: off
framewise_rnn   = variant(sequence_labeller, "framewise_rnn", cell="rnn", units=275, merge=None, paper="Graves 2005", params=99_886)
framewise_brnn  = variant(sequence_labeller, "framewise_brnn", cell="rnn", units=185, paper="Graves 2005", params=101_071)
framewise_lstm  = variant(sequence_labeller, "framewise_lstm", cell="peephole", units=140, merge=None, paper="Graves 2005", params=102_541)
framewise_blstm = variant(sequence_labeller, "framewise_blstm", cell="peephole", units=93, paper="Graves 2005", params=101_245)
# fmt: on
