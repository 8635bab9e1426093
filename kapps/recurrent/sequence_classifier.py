"""Sequence classification: recurrent layers over a whole sequence of vectors, then one prediction.

[1] Le 2015, arXiv:1504.00941: images read pixel by pixel
"""

from kapps.builders import sequence_family, variant
from kapps.layers.recurrent_stack import mask_zero_steps, stack


@sequence_family(shape=(None, 12), classes=9)
def sequence_classifier(
    x, *, units=100, layers=None, cell="lstm", merge=None, residual=None, pyramid=None, dropout=0.0, masking=True
):  # fmt: skip
    """Many to one: what recurrent layers have after the last real step; of two directions, after each one's last.

    Args:
        x: vectors.
        units, layers, cell, merge, residual, pyramid, dropout: as for `kapps.layers.recurrent_stack.stack`.
        masking: whether steps of zeros are padding; not where they are values, as in images.
    """
    return stack(
        mask_zero_steps(x, masking), units, layers=layers, cell=cell, merge=merge, residual=residual, pyramid=pyramid,
        dropout=dropout, return_sequences=False,
    )  # fmt: skip


# fmt: off
pixel_lstm = variant(sequence_classifier, "pixel_lstm", units=100, masking=False, shape=(784, 1), classes=10, paper="arXiv:1504.00941", params=41_810)
# fmt: on
