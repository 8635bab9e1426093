"""Lightweight and dynamic convolutions: depthwise kernels that a softmax normalises and that heads share.

[1] Wu 2019, arXiv:1901.10430
[2] their code, fairseq (Ott 2019, arXiv:1904.01038)

[2] cuts the kernel before the softmax where it is longer than the sequence and causal; here, as in the equations, the
softmax is over all steps of the kernel.
"""

import math

import keras
from keras import ops

from kapps._checked import check_argument
from kapps.layers.multi_head_attention import scores_dtype
from kapps.layers.sequence_convolution import PADDINGS, hide_masked_steps


class HeadConvolution(keras.layers.Layer):
    """The base of both layers: kernels of K steps, one for the channels of each head.

    A head is a block of adjacent channels. Input and output: (batch, steps, channels), any floating dtype; masked
    steps are zeros, and the output keeps the mask. The softmax is computed in float32 under any policy.

    Args:
        heads: H; the number of channels is a multiple of it.
        kernel_size: K, odd with padding="same".
        padding: "same", or "causal" for kernels that end at the output's step.
        dropout: fraction of the normalised kernel's values that training drops (DropConnect).
    """

    decoding_position = False  # see `kapps.generation.cache_protocol`

    def __init__(self, heads, kernel_size, padding="same", dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        for option, value, kind in (
            ("heads", heads, int), ("kernel_size", kernel_size, int), ("dropout", dropout, float)
        ):  # fmt: skip
            check_argument(self.name, option, value, kind)
        if padding not in PADDINGS:
            raise ValueError(f'{self.name}: padding={padding!r} is not "same" or "causal"')
        if padding == "same" and kernel_size % 2 == 0:
            raise ValueError(
                f'{self.name}: kernel_size={kernel_size} is even; padding="same" needs an odd number of steps'
            )
        self.heads, self.kernel_size, self.padding, self.dropout = (
            heads,
            kernel_size,
            padding,
            dropout,
        )
        self.kernel_dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self.supports_masking = True

    def build(self, input_shape):
        self.channels = input_shape[-1]
        if self.channels % self.heads:
            raise ValueError(
                f"{self.name}: {self.channels:,} channels are not a multiple of heads={self.heads}; change either"
            )
        self.add_kernel()
        self.built = True

    @property
    def steps_before(self):
        """The number of steps of the kernel before the output's step."""
        return self.kernel_size - 1 if self.padding == "causal" else self.kernel_size // 2

    def normalise(self, scores, training):
        """Returns the softmax of scores (..., K) along the last axis, in their dtype, after dropout."""
        weights = ops.softmax(ops.cast(scores, scores_dtype(scores)), axis=-1)
        return self.kernel_dropout(ops.cast(weights, scores.dtype), training=training)

    def call(self, inputs, training=None, mask=None):
        x = hide_masked_steps(inputs, mask)
        after = self.kernel_size - 1 - self.steps_before
        padded = ops.pad(x, ((0, 0), (self.steps_before, after), (0, 0)))
        return self.convolve(x, padded, training)

    # The cache protocol

    def check_decoding(self, **arguments):
        del arguments
        if self.padding != "causal":
            raise ValueError(f'({type(self).__name__}) has no step: it needs padding="causal"')

    def decoding_state(self, batch, length):
        del length
        shape = (batch, self.kernel_size - 1, self.channels)
        return {"window": keras.KerasTensor(shape, self.compute_dtype)} if shape[1] else {}

    def decoding_step(self, x, position, state):
        del position
        window = ops.concatenate([state["window"], x], axis=1) if state else x
        return self.convolve_window(x, window), {"window": window[:, 1:]} if state else {}

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        options = ("heads", "kernel_size", "padding", "dropout")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

    def cost(self, input_shape, softmaxes, macs=0, groups=1):
        """Returns the cost of the convolution, of softmaxes of K values, and of other products."""
        size = math.prod(input_shape)
        window = {
            "kernel": (self.kernel_size,),
            "strides": (1,),
            "padding": ((self.steps_before, self.kernel_size - 1 - self.steps_before),),
            "dilation": (1,),
            "axes": (1,),
            "groups": groups,
        }
        return {
            "macs": size * self.kernel_size + macs,
            "additions": softmaxes * self.kernel_size,
            "elementwise": 2 * softmaxes * self.kernel_size,
            "window": window,
        }


@keras.saving.register_keras_serializable("kapps")
class LightweightConv1D(HeadConvolution):
    """A depthwise convolution whose kernel is normalised by a softmax and shared by the channels of a head [1, 3].

    y_{t,c} = sum_{k=0..K-1} softmax(W_h)_k x_{t+k-p,c},  h = floor(c H / C)

    p is floor(K / 2), or K - 1 with padding="causal"; x is 0 outside of the sequence. Weights: W (H, K). Arguments,
    inputs and outputs are those of `HeadConvolution`:

    heads (H), kernel_size (K, odd with padding="same"), padding ("same" or "causal"), and dropout, the fraction of the
    normalised kernel's values that training drops.
    """

    def add_kernel(self):
        """Adds W, with Glorot's initialisation of K inputs and H K outputs [2]."""
        limit = math.sqrt(6 / (self.kernel_size * (1 + self.heads)))
        self.kernel = self.add_weight(
            shape=(self.heads, self.kernel_size),
            initializer=keras.initializers.RandomUniform(-limit, limit),
            name="kernel",
        )

    def channel_kernels(self, training=None):
        """Returns the normalised kernel of each channel, (K, channels)."""
        weights = self.normalise(ops.convert_to_tensor(self.kernel), training)
        return ops.transpose(ops.repeat(weights, self.channels // self.heads, axis=0))

    def convolve(self, x, padded, training):
        """Returns the output for x, from x with its padding."""
        del x
        kernel = ops.expand_dims(self.channel_kernels(training), -1)
        return ops.depthwise_conv(padded, kernel, padding="valid", data_format="channels_last")

    def convolve_window(self, x, window):
        """Returns the output (batch, 1, channels) of the last step of a window (batch, K, channels)."""
        del x
        return ops.sum(window * self.channel_kernels(), axis=1, keepdims=True)

    def profile_cost(self, input_shapes, output_shapes):
        """Returns a product for each value and step of the kernel (see `kapps.analysis.register_cost`)."""
        del output_shapes
        return self.cost(input_shapes[0], self.heads, groups=self.channels)


@keras.saving.register_keras_serializable("kapps")
class DynamicConv1D(HeadConvolution):
    """A lightweight convolution whose kernel is computed from each step [1, 4].

    y_{t,c} = sum_{k=0..K-1} softmax(W_h x_t)_k x_{t+k-p,c},  h = floor(c H / C)

    W has no bias. p is floor(K / 2), or K - 1 with padding="causal"; x is 0 outside of the sequence. Weights: the
    transposed W of all heads, `projection` (C, H K). Arguments, inputs and outputs are those of `HeadConvolution`:

    heads (H), kernel_size (K, odd with padding="same"), padding ("same" or "causal"), and dropout, the fraction of the
    normalised kernels' values that training drops.
    """

    def add_kernel(self):
        """Adds W of all heads."""
        shape = (self.channels, self.heads * self.kernel_size)
        self.projection = self.add_weight(shape=shape, name="projection")

    def step_kernels(self, x, training=None):
        """Returns the normalised kernels of each step, (batch, steps, H, K)."""
        batch, steps = ops.shape(x)[:2]
        scores = ops.matmul(x, self.projection)
        return self.normalise(
            ops.reshape(scores, (batch, steps, self.heads, self.kernel_size)), training
        )

    def split_heads(self, x):
        """Returns (batch, steps, H, channels / H) of (batch, steps, channels)."""
        batch, steps = ops.shape(x)[:2]
        return ops.reshape(x, (batch, steps, self.heads, self.channels // self.heads))

    def convolve(self, x, padded, training):
        """Returns the output for x, from x with its padding: a sum of K products, without a matrix of all steps."""
        batch, steps = ops.shape(x)[:2]
        kernels, values = self.step_kernels(x, training), self.split_heads(padded)
        y = sum(kernels[..., k : k + 1] * values[:, k : k + steps] for k in range(self.kernel_size))
        return ops.reshape(y, (batch, steps, self.channels))

    def convolve_window(self, x, window):
        """Returns the output (batch, 1, channels) of the last step of a window (batch, K, channels)."""
        kernels = ops.transpose(self.step_kernels(x)[:, 0], (0, 2, 1))
        y = ops.sum(ops.expand_dims(kernels, -1) * self.split_heads(window), axis=1, keepdims=True)
        return ops.reshape(y, (-1, 1, self.channels))

    def profile_cost(self, input_shapes, output_shapes):
        """Returns the products with W, and one for each value and step of the kernel."""
        del output_shapes
        softmaxes = math.prod(input_shapes[0][:-1]) * self.heads
        macs = softmaxes * self.channels * self.kernel_size
        return self.cost(input_shapes[0], softmaxes, macs)
