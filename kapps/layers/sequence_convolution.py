"""Convolutions of sequences with padding: masked steps are zeros, and the output keeps the mask."""

import keras
from keras import layers, ops

PADDINGS = ("same", "causal")


def hide_masked_steps(x, mask):
    """Returns x with zeros at the steps that a mask hides, so that a window sees the padding of a shorter sequence.

    Args:
        x: (batch, time, channels).
        mask: bool (batch, time), False for hidden steps; None for none.
    """
    if mask is None:
        return x
    return ops.where(ops.expand_dims(ops.cast(mask, "bool"), -1), x, ops.zeros_like(x))


class MaskedSteps:
    """A mixin of convolutions along time, which reads zeros at masked steps and keeps the mask."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        return super().call(hide_masked_steps(inputs, mask))

    def compute_mask(self, inputs, mask=None):
        del inputs
        keeps_steps = self.strides == (1,) and (
            self.padding in PADDINGS or self.kernel_size == (1,)
        )
        return mask if keeps_steps else None


@keras.saving.register_keras_serializable("kapps")
class SequenceConv1D(MaskedSteps, layers.Conv1D):
    """A `keras.layers.Conv1D` that reads zeros at masked steps, and whose output keeps the mask.

    Arguments and weights are those of `keras.layers.Conv1D`. Input: (batch, steps, channels), any floating dtype.
    Output: (batch, steps', filters); it has a mask only if it has as many steps as the input.
    """

    profile_as = layers.Conv1D  # see `kapps.analysis.register_cost`


@keras.saving.register_keras_serializable("kapps")
class SequenceSeparableConv1D(MaskedSteps, layers.SeparableConv1D):
    """A `keras.layers.SeparableConv1D` that can be causal, reads zeros at masked steps and keeps the mask.

    A depthwise convolution without a bias, then a product of the channels with a bias (Chollet 2016,
    arXiv:1610.02357). With padding="causal", (K - 1) D zeros come before the first step, where D is the dilation, so no
    output depends on a later step. Other arguments and the weights are those of `keras.layers.SeparableConv1D` without
    strides.

    Input: (batch, steps, channels), any floating dtype. Output: (batch, steps, filters).

    Args:
        filters: number of output channels.
        kernel_size: K, the number of steps of the depthwise kernel.
        padding: "same" or "causal".
        **kwargs: dilation_rate, activation, use_bias, initialisers and others of `keras.layers.SeparableConv1D`.
    """

    profile_as = layers.SeparableConv1D  # see `kapps.analysis.register_cost`
    decoding_position = False  # see `kapps.generation.cache_protocol`

    def __init__(self, filters, kernel_size, padding="same", **kwargs):
        if padding not in PADDINGS:
            raise ValueError(
                f'{type(self).__name__}: padding={padding!r} is not "same" or "causal"'
            )
        # Keras's layer does not allow "causal".
        super().__init__(filters, kernel_size, padding="same", **kwargs)
        if self.strides != (1,):
            raise ValueError(
                f"{self.name}: strides={self.strides} is not 1; use keras.layers.SeparableConv1D"
            )
        self.padding = padding

    @property
    def reach(self):
        """The number of earlier inputs that an output of a causal convolution depends on."""
        return (self.kernel_size[0] - 1) * self.dilation_rate[0]

    def call(self, inputs, mask=None):
        x = hide_masked_steps(inputs, mask)
        if self.padding == "causal":
            x = ops.pad(x, ((0, 0), (self.reach, 0), (0, 0)))
        return self.convolve(x, "valid" if self.padding == "causal" else "same")

    def convolve(self, x, padding):
        """Returns both convolutions of x with Keras's padding, the bias and the activation."""
        y = ops.separable_conv(
            x, self.depthwise_kernel, self.pointwise_kernel, padding=padding, data_format="channels_last",
            dilation_rate=self.dilation_rate,
        )  # fmt: skip
        y = y + self.bias if self.use_bias else y
        return y if self.activation is None else self.activation(y)

    # The cache protocol

    def check_decoding(self, **arguments):
        del arguments
        if self.padding != "causal":
            raise ValueError(f'({type(self).__name__}) has no step: it needs padding="causal"')

    def decoding_state(self, batch, length):
        del length
        shape = (batch, self.reach, self.depthwise_kernel.shape[1])
        return {"window": keras.KerasTensor(shape, self.compute_dtype)} if shape[1] else {}

    def decoding_step(self, x, position, state):
        del position
        if not state:
            return self.convolve(x, "valid"), {}
        x = ops.concatenate([state["window"], x], axis=1)
        return self.convolve(x, "valid"), {"window": x[:, 1:]}
