"""The neural Turing machine: a recurrent network that reads and writes the rows of a memory.

[1] Graves 2014, arXiv:1410.5401
[2] Collier 2018, arXiv:1807.08518, https://github.com/MarkPKCollier/NeuralTuringMachine

The cell is `kapps.layers.TuringMachineCell`. A recurrent network has no cache: its file for one step has all state as
inputs and outputs, "machine_memory" and "machine_weights" among them:

    step = kapps.generation.step_model(kapps.ntm_copy(), batch=1)
    kapps.export.tflite(step, "ntm_step.tflite")

Departures from the papers:
- [1] prints 67,561 parameters for the copy task with an LSTM and 17,162 with a feed-forward controller. No reading of its
  text has these numbers; the parameters here are the formula of [2], with and without trained first values.
- Without trained first values the memory is 1e-6 [2], the reads are 0 and all heads start on the first row.
- Heads read the memory before the step's writes, and controller and head parameters are clipped to +-20 [2].
"""

import keras

from kapps import heads
from kapps.builders import sequence_family, variant
from kapps.layers import TuringMachineCell


@sequence_family(shape=(None, 9), classes=8, head=heads.multi_label)
def body(
    x, *, units=100, rows=128, width=20, read_heads=1, write_heads=1, controller="lstm", learned=False
):  # fmt: skip
    """Predicts bits at each step [1].

    Args:
        x: vectors (batch, time, features): bits, and flags that begin and end what is to be read.
        units, rows, width, read_heads, write_heads, controller, learned: as for `kapps.layers.TuringMachineCell`.
    """
    cell = TuringMachineCell(
        units, rows, width, read_heads, write_heads, controller, learned, name="machine_cell"
    )
    return keras.layers.RNN(cell, return_sequences=True, name="machine")(x)


GRAVES, COLLIER = "arXiv:1410.5401", "arXiv:1807.08518"
# fmt: off
#                                                                                                                8 bits and a flag: the formula of [2]
ntm_copy              = variant(body, "ntm_copy",              controller="lstm",                         paper=GRAVES,  params=62_260)
ntm_copy_feed_forward = variant(body, "ntm_copy_feed_forward", controller="feed_forward",                 paper=GRAVES,  params=13_260)
ntm_copy_learned      = variant(body, "ntm_copy_learned",      controller="lstm",         learned=True,   paper=COLLIER, params=65_096)
# fmt: on
