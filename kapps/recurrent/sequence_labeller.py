"""Sequence labelling: one label for each step of a sequence of vectors, or for each segment of steps.

[1] Graves 2005, Framewise phoneme classification with bidirectional LSTM and other neural network architectures,
    Neural Networks 18: four networks of about 100,000 weights

Departure from [1]: its networks are trained one sequence at a time, with random weights from -0.1 to 0.1.
"""

from kapps.builders import sequence_family, variant
from kapps.layers import SegmentMean
from kapps.layers.recurrent_stack import mask_zero_steps, stack


@sequence_family(shape=(None, 26), classes=61)
def body(
    x, *, units=93, layers=None, cell="peephole", merge="concat", residual=None, dropout=0.0, segment=None, masking=True
):  # fmt: skip
    """Predicts a label at each step; or, with `segment`, for each segment of steps.

    Args:
        x: vectors (batch, time, features).
        units, layers, cell, merge, residual, dropout: as for `kapps.layers.recurrent_stack.stack`.
        segment: number of steps that share one label, which is predicted from the mean of their outputs; None for a label
            at each step.
        masking: whether steps of zeros are padding.
    """
    x = mask_zero_steps(x, masking)
    x = stack(x, units, layers=layers, cell=cell, merge=merge, residual=residual, dropout=dropout)
    return x if segment is None else SegmentMean(segment, name="segments")(x)


# fmt: off
#                                                                                                        the paper's
framewise_rnn   = variant(body, "framewise_rnn",   cell="rnn",      units=275, merge=None, paper="Graves 2005", params=99_886)
framewise_brnn  = variant(body, "framewise_brnn",  cell="rnn",      units=185,             paper="Graves 2005", params=101_071)
framewise_lstm  = variant(body, "framewise_lstm",  cell="peephole", units=140, merge=None, paper="Graves 2005", params=102_541)
framewise_blstm = variant(body, "framewise_blstm", cell="peephole", units=93,              paper="Graves 2005", params=101_245)
# fmt: on
