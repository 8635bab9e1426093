"""`FastLSTM`, `FastGRU` and `FastSimpleRNN`: recurrent layers that train fast on a CPU."""

import keras
from keras import layers, ops

from kapps._checked import check_argument
from kapps.layers._faster_form import faster_form_of


class _FastLoop:
    """The training loop of the layers in this file; see `FastLSTM`."""

    def __init__(self, units, *args, **kwargs):
        check_argument(type(self).__qualname__, "units", units, int)
        super().__init__(units, *args, **kwargs)

    def inner_loop(self, sequences, initial_state, mask, training=False):
        mask = None if mask is None else keras.tree.flatten(mask)[0]
        if not training or not self.has_fast_loop() or (mask is not None and len(mask.shape) != 2):
            return super().inner_loop(sequences, initial_state, mask, training=training)
        from kapps.layers import _recurrence

        cell, sequences = self.cell, ops.cast(sequences, self.compute_dtype)
        mask = None if mask is None else ops.cast(mask, "bool")
        if cell.dropout:
            sequences = sequences * ops.expand_dims(cell.get_dropout_mask(sequences[:, 0]), 1)
        bias, recurrent_bias = None, None
        if cell.use_bias:
            bias = ops.convert_to_tensor(cell.bias)
            if len(bias.shape) == 2:
                bias, recurrent_bias = ops.unstack(bias)
        h, states = _recurrence.run(
            getattr(_recurrence, self.loop_cell),
            sequences,
            ops.convert_to_tensor(cell.kernel),
            ops.convert_to_tensor(cell.recurrent_kernel),
            bias,
            recurrent_bias,
            keras.tree.flatten(initial_state),
            mask=mask,
            reverse=self.go_backwards,
        )
        last = states[0]
        if mask is not None:
            h, last = self._outputs_of_mask(h, last, mask)
        return last, h if self.return_sequences else ops.expand_dims(last, 1), states

    def _outputs_of_mask(self, h, last, mask):
        """Returns the outputs at each step and the last one; steps before the first one that is not masked have 0."""
        mask = ops.flip(mask, axis=1) if self.go_backwards else mask
        if not self.zero_output_for_mask:
            mask = ops.cumsum(ops.cast(mask, "int32"), axis=1) > 0
        zero = ops.zeros((), h.dtype)
        return (
            ops.where(mask[:, :, None], h, zero),
            ops.where(mask[:, -1:], last, zero),
        )

    def has_fast_loop(self):
        """Returns whether training uses the loop of this file; otherwise it uses Keras's."""
        cell = self.cell
        return (
            keras.backend.backend() == "tensorflow"
            and not self.unroll
            and not cell.recurrent_dropout
            and cell.dropout < 1
            and cell.activation is keras.activations.tanh
            and getattr(cell, "recurrent_activation", keras.activations.sigmoid)
            is keras.activations.sigmoid
            and getattr(cell, "implementation", 2) == 2
            and getattr(cell, "reset_after", True)
            and getattr(self, "use_cudnn", "auto") is not True
            and not has_gpu()
        )


def has_gpu():
    """Returns whether TensorFlow has a GPU, where Keras uses cuDNN's kernels."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


@faster_form_of(layers.LSTM)
class FastLSTM(_FastLoop, layers.LSTM):
    """A `keras.layers.LSTM` whose training step is fast on a CPU.

    It has the arguments of `keras.layers.LSTM`, the same weights and computes the same values. Weights files of the two
    layers are interchangeable. The implementation differs in training on the TensorFlow backend without a GPU only: the
    inputs of all steps are projected in one product, the loop has the recurrent part only, and the gradient of each
    weight is one product of all steps. The loop is Keras's where activations are not tanh and sigmoid, with
    recurrent_dropout and with unroll; and without training, so that exported graphs are those of Keras's layer.

    Input: (batch, time, features), any floating dtype. Output: as of `keras.layers.LSTM`.
    """

    loop_cell = "LSTMCell"


@faster_form_of(layers.GRU)
class FastGRU(_FastLoop, layers.GRU):
    """A `keras.layers.GRU` whose training step is fast on a CPU, as that of `FastLSTM`.

    With reset_after=False the loop is Keras's.

    Input: (batch, time, features), any floating dtype. Output: as of `keras.layers.GRU`.
    """

    loop_cell = "GRUCell"


@faster_form_of(layers.SimpleRNN)
class FastSimpleRNN(_FastLoop, layers.SimpleRNN):
    """A `keras.layers.SimpleRNN` whose training step is fast on a CPU, as that of `FastLSTM`.

    Input: (batch, time, features), any floating dtype. Output: as of `keras.layers.SimpleRNN`.
    """

    loop_cell = "SimpleCell"
