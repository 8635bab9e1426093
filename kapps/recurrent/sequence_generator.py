"""Sequence generation from one vector: recurrent layers read the same vector at each step.

[1] Karpathy 2015, The unreasonable effectiveness of recurrent neural networks: one to many
"""

import keras

from kapps.builders import sequence_family, variant
from kapps.layers.recurrent_stack import stack


@sequence_family(shape=(1, 784), classes=27)
def body(x, *, steps, units=128, layers=None, cell="lstm", residual=None, dropout=0.0):
    """Predicts a label at each of `steps` steps from one vector.

    The predictions are not read again: only the states of the layers differ from step to step.

    Args:
        x: one vector, as a sequence of one step (batch, 1, features).
        steps: number of labels; shorter sequences end in a label that marks the end.
        units, layers, cell, residual, dropout: as for `kapps.layers.recurrent_stack.stack`.
    """
    if x.shape[1] != 1:
        raise ValueError(
            f"sequence_generator reads one vector, so input_shape is (1, features), not {tuple(x.shape[1:])}"
        )
    x = keras.layers.Reshape((x.shape[-1],), name="vector")(x)
    x = keras.layers.RepeatVector(steps, name="steps")(x)
    return stack(x, units, layers=layers, cell=cell, residual=residual, dropout=dropout)


# fmt: off
#                                                                     computed from the sizes
digit_speller = variant(body, "digit_speller", steps=6, units=128, paper="Karpathy 2015", params=470_939)
# fmt: on
