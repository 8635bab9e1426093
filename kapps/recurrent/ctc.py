"""Temporal classification (CTC): a sequence to a shorter sequence of labels without given positions.

[1] Graves 2006, Connectionist temporal classification, ICML: the network for TIMIT, 114,662 weights
[2] Graves 2012, Supervised sequence labelling with recurrent neural networks: chapter 7

    model = kapps.ctc_timit(classifier_activation=None)                 # the loss and the decoding take logits
    model.compile("adam", keras.losses.CTC())
    model.fit(x, labels)                                                # labels from 1, padded with 0
    predictions = kapps.ctc_labels(model.predict(x), beams=100)
    print(kapps.label_error_rate(predictions, labels))

Label 0 is the blank. Masked steps predict the blank with probability 1. The paths of a labelling are then the same as
without those steps, so the loss and the decoding need no lengths.
"""

import keras

from kapps.builders import sequence_family, variant
from kapps.layers import BlankPadding
from kapps.layers.recurrent_stack import mask_zero_steps, stack


def blank_where_padded(x, classes, activation):
    """A head of `classes` logits at each step, the blank included; masked steps predict the blank."""
    x = keras.layers.Dense(classes, dtype="float32", name="head_logits")(x)
    x = BlankPadding(dtype="float32", name="head_padding")(x)
    return keras.layers.Activation(activation or "linear", dtype="float32", name="predictions")(x)


@sequence_family(shape=(None, 26), classes=62, head=blank_where_padded)
def body(
    x, *, units=100, layers=None, cell="peephole", merge="concat", residual=None, pyramid=None, dropout=0.0, masking=True
):  # fmt: skip
    """Recurrent layers whose outputs align with a shorter sequence of labels [1]. Train it without an activation.

    Args:
        x: vectors (batch, time, features); at least as many steps as labels, and one more between two equal labels.
        units, layers, cell, merge, residual, pyramid, dropout: as for `kapps.layers.recurrent_stack.stack`.
        masking: whether steps of zeros are padding.
    """
    x = mask_zero_steps(x, masking)
    return stack(
        x, units, layers=layers, cell=cell, merge=merge, residual=residual, pyramid=pyramid, dropout=dropout
    )  # fmt: skip


# fmt: off
#                                                                                                the paper's number of weights
ctc_timit = variant(body, "ctc_timit", units=100, cell="peephole", merge="concat", paper="Graves 2006", params=114_662)
# fmt: on
