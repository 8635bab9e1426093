"""Sequence generation from one vector: recurrent layers read the same vector at each step.

[1] Karpathy 2015, The unreasonable effectiveness of recurrent neural networks: one to many
"""

import keras

from kapps.builders import sequence_family, variant
from kapps.layers.recurrent_stack import stack


@sequence_family(shape=(1, 784), classes=27)
def sequence_generator(
    x, *, steps, units=128, layers=None, cell="lstm", residual=None, dropout=0.0
):
    """One to many: recurrent layers read the same vector at each of `steps` steps, and answer at each.

    What was answered is not read again: the layers' states alone tell the steps apart.

    Args:
        x: one vector, as a sequence of one step.
        steps: how many answers there are; shorter ones end in a label that says so.
        units, layers, cell, residual, dropout: as for `kapps.layers.recurrent_stack.stack`.
    """
    if x.shape[1] != 1:
        raise ValueError(
            f"a generator reads one vector, so input_shape is (1, features), not {tuple(x.shape[1:])}"
        )
    x = keras.layers.Reshape((x.shape[-1],), name="vector")(x)
    x = keras.layers.RepeatVector(steps, name="steps")(x)
    return stack(x, units, layers=layers, cell=cell, residual=residual, dropout=dropout)


# fmt: off
digit_speller = variant(sequence_generator, "digit_speller", steps=6, units=128, paper="Karpathy 2015", params=470_939)
# fmt: on
