"""`FusedDense`: a dense layer on maps that TensorFlow computes in one operation on a CPU."""

import keras
from keras import layers, ops

from kapps._checked import check_argument
from kapps.layers._faster_form import faster_form_of


@faster_form_of(layers.Dense)
class FusedDense(layers.Dense):
    """A `keras.layers.Dense` on the channels of maps that is fast on a CPU.

    It has the arguments of `keras.layers.Dense`, the same weights (kernel (channels, units), bias (units,)) and
    computes the same values. Weights files of the two layers are interchangeable. The implementation differs on the
    TensorFlow backend only. There Keras adds the bias after the result has the shape of the maps again, and TensorFlow
    computes product, bias and activation one after the other. This layer keeps them together on rows of channels,
    and in inference they are one operation. The layer is Keras's where a size other than the batch is unknown.

    Input: (batch, ..., channels), any floating dtype. Output: (batch, ..., units).
    """

    def __init__(self, units, *args, **kwargs):
        check_argument("FusedDense", "units", units, int)
        super().__init__(units, *args, **kwargs)

    def call(self, inputs, training=None):
        if keras.backend.backend() != "tensorflow" or None in inputs.shape[1:]:
            return super().call(inputs, training=training)
        rows = super().call(ops.reshape(inputs, (-1, inputs.shape[-1])), training=training)
        return ops.reshape(rows, (-1, *inputs.shape[1:-1], self.units))
