"""Sequence classification: recurrent layers over a sequence of vectors, then one prediction for the whole sequence.

[1] Le 2015, arXiv:1504.00941: images read pixel by pixel
"""

from kapps.builders import sequence_family, variant
from kapps.layers.recurrent_stack import mask_zero_steps, stack


@sequence_family(shape=(None, 12), classes=9)
def body(
    x, *, units=100, layers=None, cell="lstm", merge=None, residual=None, pyramid=None, dropout=0.0, masking=True
):  # fmt: skip
    """Classifies by the output of the last step that is not padding; with two directions, of each one's last step.

    Args:
        x: vectors (batch, time, features).
        units, layers, cell, merge, residual, pyramid, dropout: as for `kapps.layers.recurrent_stack.stack`.
        masking: whether steps of zeros are padding; False if zeros are values, as in images.
    """
    x = mask_zero_steps(x, masking)
    return stack(
        x, units, layers=layers, cell=cell, merge=merge, residual=residual, pyramid=pyramid, dropout=dropout,
        return_sequences=False,
    )  # fmt: skip


# fmt: off
#                                                                                          computed from the sizes
pixel_lstm = variant(body, "pixel_lstm", units=100, masking=False, shape=(784, 1), classes=10, paper="arXiv:1504.00941", params=41_810)
# fmt: on
