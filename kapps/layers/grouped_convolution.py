"""`GroupedConv2D`: a grouped convolution that trains fast on a CPU."""

import functools

import keras
from keras import layers

from kapps._checked import check_argument
from kapps.layers._faster_form import faster_form_of


@faster_form_of(layers.Conv2D)
class GroupedConv2D(layers.Conv2D):
    """A `keras.layers.Conv2D` with groups whose training step is fast on a CPU.

    It has the arguments of `keras.layers.Conv2D`, the same weights (kernel (height, width, channels / groups,
    filters), bias (filters,)) and computes the same values. Weights files of the two layers are interchangeable.
    The implementation differs on the TensorFlow backend only. There Keras compiles a grouped convolution with XLA,
    and a training step on a CPU is hundreds of times slower. This layer calls TensorFlow's convolution, which is
    also one convolution in an exported graph. On a CPU that operation has a gradient only in float32 with oneDNN;
    otherwise the gradient is computed by block-diagonal convolutions.

    Input: (batch, height, width, channels), any floating dtype. Output: (batch, height', width', filters).
    """

    def __init__(self, *args, **kwargs):
        values = {**dict(zip(("filters", "kernel_size"), args, strict=False)), **kwargs}
        for name in ("filters", "groups"):
            check_argument("GroupedConv2D", name, values.get(name, 1), int)
        if not isinstance(values.get("kernel_size", 1), int | tuple | list):
            raise ValueError(
                f"GroupedConv2D: kernel_size={values['kernel_size']!r} is not an integer or two integers"
            )
        super().__init__(*args, **kwargs)
        # With `compile(jit_compile="auto")` Keras would compile the whole training step with XLA.
        self.supports_jit = self.supports_jit and not _on_tensorflow_cpu()

    def convolution_op(self, inputs, kernel):
        if keras.backend.backend() != "tensorflow" or self._channels_first():
            return super().convolution_op(inputs, kernel)
        return _tensorflow_grouped(inputs, kernel, self.strides, self.padding, self.dilation_rate)

    def call(self, inputs):
        outputs = self.convolution_op(inputs, self.kernel)
        if self.use_bias:
            # Not `keras.ops.add`: TensorFlow fuses its BiasAdd with the convolution, and the fused one has no groups.
            outputs = outputs + keras.ops.reshape(
                self.bias, (-1, 1, 1) if self._channels_first() else (-1,)
            )
        return outputs if self.activation is None else self.activation(outputs)

    def _channels_first(self):
        return self.data_format == "channels_first"


def _on_tensorflow_cpu():
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def _tensorflow_grouped(x, kernel, strides, padding, dilation):
    import tensorflow as tf

    options = {"strides": strides, "padding": padding.upper(), "dilations": dilation}
    if not _on_tensorflow_cpu() or _cpu_has_gradient(x.dtype.name):
        return tf.nn.conv2d(x, kernel, **options)
    # For the gradient: with dilation, `convolution` has a gradient on every CPU and `conv2d` has none.
    dense = functools.partial(tf.nn.convolution, **options)

    @tf.custom_gradient
    def grouped(x, kernel):
        def gradient(upstream):
            with tf.GradientTape() as tape:
                tape.watch((x, kernel))
                y = _block_diagonal(dense, x, kernel)  # the value is unused, so the graph omits it
            return tape.gradient(y, (x, kernel), upstream)

        return tf.nn.conv2d(x, kernel, **options), gradient

    return grouped(x, tf.convert_to_tensor(kernel))  # a custom gradient cannot take a variable


@functools.cache
def _cpu_has_gradient(dtype):
    """Returns whether this TensorFlow differentiates a grouped convolution on a CPU, which only a try shows."""
    import tensorflow as tf

    with tf.init_scope(), tf.device("CPU:0"):
        try:
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=(1, 4, 4, 4),
                filter=tf.ones((3, 3, 2, 4), dtype),
                out_backprop=tf.ones((1, 4, 4, 4), dtype),
                strides=(1, 1, 1, 1),
                padding="SAME",
            )
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            return False
    return True


def _block_diagonal(convolve, x, kernel, width=32):
    """Computes the grouped convolution as dense convolutions, each of several groups.

    A block of groups has about `width` input channels and a block-diagonal kernel. The zeros cost multiplications
    but save calls: 32 groups of 4 channels are fastest as 4 blocks of 32 channels (measured on two cores; one dense
    block or 32 small ones are slower).
    """
    import tensorflow as tf

    height, columns, inner, filters = kernel.shape
    groups = x.shape[-1] // inner
    together = max(
        n for n in range(1, groups + 1) if groups % n == 0 and (n * inner <= width or n == 1)
    )
    blocks, outer = groups // together, filters // groups
    kernel = tf.reshape(kernel, (height, columns, inner, blocks, together, outer))
    diagonal = tf.einsum("hwibgo,fg->bhwfigo", kernel, tf.eye(together, dtype=kernel.dtype))
    diagonal = tf.reshape(diagonal, (blocks, height, columns, together * inner, together * outer))
    parts = zip(tf.split(x, blocks, axis=-1), tf.unstack(diagonal), strict=True)
    return tf.concat([convolve(part, block) for part, block in parts], axis=-1)
