"""Convolutions: the grouped one that trains fast, and the convolution-norm-activation that families are made of."""

import functools

import keras
from keras import layers


@keras.saving.register_keras_serializable("kapps")
class GroupedConv2D(layers.Conv2D):
    """A `keras.layers.Conv2D` with groups whose training step is fast on a CPU.

    Same arguments, same weights (kernel (height, width, channels / groups, filters), bias (filters,)), same
    values; files with weights interchange. Only the path differs, and only on the TensorFlow backend: Keras
    sends a grouped convolution through XLA, which trains hundreds of times too slowly on a CPU; here it is
    TensorFlow's own operation, one convolution in every exported graph too. On a CPU that operation has a
    gradient only in float32 with oneDNN, elsewhere the gradient goes through block-diagonal convolutions.

    Input: (batch, height, width, channels), any floating dtype. Output: (batch, height', width', filters).
    """

    profile_as = layers.Conv2D  # what it costs, for `kapps.profile`

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # `compile(jit_compile="auto")` would put the whole step through XLA, and this layer with it.
        self.supports_jit = self.supports_jit and not _on_tensorflow_cpu()

    def convolution_op(self, inputs, kernel):
        if keras.backend.backend() != "tensorflow" or self._channels_first():
            return super().convolution_op(inputs, kernel)
        return _tensorflow_grouped(inputs, kernel, self.strides, self.padding, self.dilation_rate)

    def call(self, inputs):
        outputs = self.convolution_op(inputs, self.kernel)
        if self.use_bias:
            # Not `keras.ops.add`: TensorFlow fuses its BiasAdd with the convolution, and then refuses groups.
            outputs = outputs + keras.ops.reshape(
                self.bias, (-1, 1, 1) if self._channels_first() else (-1,)
            )
        return outputs if self.activation is None else self.activation(outputs)

    def _channels_first(self):
        return self.data_format == "channels_first"

    def to_keras_layers(self):
        """Returns the `keras.layers.Conv2D` of the same configuration."""
        return layers.Conv2D.from_config(self.get_config())


# Keras names a layer's place in a weights file by its class: with this name, files interchange.
GroupedConv2D.__name__ = "Conv2D"


def _on_tensorflow_cpu():
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def _tensorflow_grouped(x, kernel, strides, padding, dilation):
    import tensorflow as tf

    how = {"strides": strides, "padding": padding.upper(), "dilations": dilation}
    if not _on_tensorflow_cpu() or _cpu_has_gradient(x.dtype.name):
        return tf.nn.conv2d(x, kernel, **how)
    # For the gradient: unlike conv2d's, convolution's exists on every CPU where `dilations` is above 1.
    dense = functools.partial(tf.nn.convolution, **how)

    @tf.custom_gradient
    def grouped(x, kernel):
        def gradient(upstream):
            with tf.GradientTape() as tape:
                tape.watch((x, kernel))
                y = _block_diagonal(dense, x, kernel)  # its value is unused, so the graph drops it
            return tape.gradient(y, (x, kernel), upstream)

        return tf.nn.conv2d(x, kernel, **how), gradient

    return grouped(x, tf.convert_to_tensor(kernel))  # a custom gradient takes no variables


@functools.cache
def _cpu_has_gradient(dtype):
    """Whether this TensorFlow can differentiate a grouped convolution on a CPU; only trying tells."""
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
    """The grouped convolution as dense ones: groups side by side in blocks of about `width` input channels.

    Zeros between the groups of a block cost multiplications but spare calls: 32 groups of 4 channels are
    fastest as 4 blocks of 32 (measured on two cores; one dense block or 32 small ones are slower).
    """
    import tensorflow as tf

    height, across, inner, filters = kernel.shape
    groups = x.shape[-1] // inner
    together = max(
        n for n in range(1, groups + 1) if groups % n == 0 and (n * inner <= width or n == 1)
    )
    blocks, outer = groups // together, filters // groups
    kernel = tf.reshape(kernel, (height, across, inner, blocks, together, outer))
    diagonal = tf.einsum("hwibgo,fg->bhwfigo", kernel, tf.eye(together, dtype=kernel.dtype))
    diagonal = tf.reshape(diagonal, (blocks, height, across, together * inner, together * outer))
    parts = zip(tf.split(x, blocks, axis=-1), tf.unstack(diagonal), strict=True)
    return tf.concat([convolve(part, block) for part, block in parts], axis=-1)


def conv(
    x,
    filters,
    kernel_size,
    *,
    strides=1,
    dilation=1,
    groups=1,
    padding=None,
    use_bias=False,
    activation=None,
    initializer=None,
    name,
):
    """A convolution, by default padded by kernel_size // 2 on every side, as the papers' code pads it.

    Keras's "same" pads an even map of a strided convolution on the right and bottom only: another network.
    `padding="same"` and `"valid"` are Keras's; a number n pads n on every side, (before, after) that much of each axis,
    so that (0, strides - 1) is what others call ceil mode. `kernel_size` may be (height, width).
    `initializer` is by default He's by fan-out, as in the ResNets' code.
    """
    x, padding = _padded(x, kernel_size, strides, padding, name)
    kind = layers.Conv2D if groups == 1 else GroupedConv2D
    return kind(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        dilation_rate=dilation,
        groups=groups,
        use_bias=use_bias,
        activation=activation,
        kernel_initializer=initializer or _he_normal(),
        name=name,
    )(x)


def conv_relu(x, filters, kernel_size, *, strides=1, groups=1, padding=None, name):
    """`conv` with biases and a ReLU, as networks had it before batch norm.

    Begins as He's initialisation by fan-in draws it: by fan-out the signal fades in a first layer of few inputs.
    """
    return conv(
        x, filters, kernel_size, strides=strides, groups=groups, padding=padding, use_bias=True,
        activation="relu", initializer="he_normal", name=name,
    )  # fmt: skip


def depthwise(x, kernel_size, *, strides=1, padding=None, use_bias=False, name):
    """A convolution of each channel by itself, padded as `conv` pads."""
    x, padding = _padded(x, kernel_size, strides, padding, name)
    return layers.DepthwiseConv2D(
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=use_bias,
        depthwise_initializer=_he_normal(),
        name=name,
    )(x)


def max_pool(x, size=3, *, strides=2, padding=None, name):
    """The largest of each window of features that are not negative, padded as `conv` pads."""
    x, padding = _padded(x, size, strides, padding, name)  # zero is -inf after a ReLU
    return layers.MaxPooling2D(size, strides=strides, padding=padding, name=name)(x)


def _he_normal():
    """A new one for each layer: one that is used twice draws the same numbers twice."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")


def _padded(x, size, strides, padding, name):
    """Returns x, padded by a layer where Keras's own padding is not the symmetric one, and Keras's padding."""
    if isinstance(padding, (int, tuple)):
        sides = padding if isinstance(padding, tuple) else (padding, padding)
        return layers.ZeroPadding2D((sides, sides), name=f"{name}_pad")(x), "valid"
    if padding is not None:
        return x, padding
    height, width = (size, size) if isinstance(size, int) else size
    if strides == 1 and height % 2 and width % 2:
        return x, "same"
    if height > 1 or width > 1:
        x = layers.ZeroPadding2D((height // 2, width // 2), name=f"{name}_pad")(x)
    return x, "valid"


def batch_norm(
    x, *, activation=None, gamma="ones", epsilon=1e-5, momentum=0.9, scale=True, name
):  # fmt: skip
    """Batch norm, and the activation if one is named: layers `<name>` and `<name>_<activation>`.

    Momentum and epsilon are by default those of the ResNet papers' code and of torchvision, not Keras's 0.99 and 1e-3.
    """
    x = layers.BatchNormalization(
        momentum=momentum, epsilon=epsilon, scale=scale, gamma_initializer=gamma, name=name
    )(x)
    return layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x


def conv_bn(
    x, filters, kernel_size, *, strides=1, dilation=1, groups=1, padding=None, activation=None,
    gamma="ones", epsilon=1e-5, momentum=0.9, scale=True, name,
):  # fmt: skip
    """`conv`, then `batch_norm`: layers `<name>`, `<name>_bn` and `<name>_bn_<activation>`.

    The last of a residual branch may take gamma="zeros": each block then begins as the identity, and deep
    networks train from the first step (Goyal 2017, arXiv:1706.02677, section 5.1). That wants shortcuts that
    project; where they pad with zeros, the network begins with most of its channels empty, and learns late.
    """
    x = conv(
        x, filters, kernel_size, strides=strides, dilation=dilation, groups=groups, padding=padding,
        name=name,
    )  # fmt: skip
    how = {"gamma": gamma, "epsilon": epsilon, "momentum": momentum, "scale": scale}
    return batch_norm(x, activation=activation, **how, name=f"{name}_bn")


def depthwise_bn(
    x, kernel_size, *, strides=1, padding=None, activation=None, epsilon=1e-5, momentum=0.9, name
):  # fmt: skip
    """`depthwise`, then `batch_norm`, named as `conv_bn` names them."""
    x = depthwise(x, kernel_size, strides=strides, padding=padding, name=name)
    how = {"epsilon": epsilon, "momentum": momentum}
    return batch_norm(x, activation=activation, **how, name=f"{name}_bn")
