"""Transposed convolutions that begin as bilinear interpolation."""

import keras
import numpy as np
from keras import layers, ops


@keras.saving.register_keras_serializable("kapps")
class BilinearKernel(keras.initializers.Initializer):
    """Kernel of a transposed convolution that interpolates each channel (Long 2014, arXiv:1411.4038, section 3.3).

    A kernel of length k has the weights 1 - |i - c| / f, with f = ceil(k / 2) and the centre c = (k - 1) / 2 for even
    k, f - 1 for an odd one. They are the weights of the authors' surgery.py. Other pairs of channels have zeros.
    """

    def __call__(self, shape, dtype=None):
        """Returns the kernel.

        Args:
            shape: (height, width, filters, channels), with as many filters as channels.
            dtype: of the kernel; None for Keras's default.

        Raises:
            ValueError: if the numbers of filters and channels differ.
        """
        height, width, filters, channels = shape
        if filters != channels:
            raise ValueError(
                f"BilinearKernel: {filters} filters for {channels} channels; there must be as many"
            )
        plane = np.outer(_weights(height), _weights(width))
        kernel = plane[:, :, None, None] * np.eye(channels)
        return ops.convert_to_tensor(kernel, dtype=dtype or keras.config.floatx())

    def get_config(self):
        return {}


@keras.saving.register_keras_serializable("kapps")
class BilinearConv2DTranspose(layers.Conv2DTranspose):
    """A `keras.layers.Conv2DTranspose` whose kernel is not trainable if the layer is made with trainable=False.

    Keras makes the kernel of such a layer trainable, so that a model would train it, also after it was loaded from a
    file. It has the arguments and weights of Keras's layer.

    Input: (batch, height, width, channels), any floating dtype. Output: (batch, height', width', filters).
    """

    profile_as = layers.Conv2DTranspose  # `kapps.profile` counts it as this layer

    def build(self, input_shape):
        super().build(input_shape)
        self.kernel.trainable = self.trainable

    def to_keras_layers(self):
        """Returns the `keras.layers.Conv2DTranspose` of the same configuration, whose kernel may be trainable."""
        return layers.Conv2DTranspose.from_config(self.get_config())


def bilinear_upsample(x, strides, *, padding="valid", trainable=False, name):
    """Enlarges a map `strides` times by a transposed convolution, whose kernel has twice as many rows and columns.

    Args:
        x: Keras tensor (batch, height, width, channels).
        strides: the factor.
        padding: "valid" for (height + 1) * strides rows, or "same" for height * strides.
        trainable: whether training changes the kernel. In the authors' code of FCN it stays bilinear.
        name: of the layer.
    """
    return BilinearConv2DTranspose(
        x.shape[-1],
        2 * strides,
        strides=strides,
        padding=padding,
        use_bias=False,
        kernel_initializer=BilinearKernel(),
        trainable=trainable,
        name=name,
    )(x)


def _weights(length):
    """Returns the interpolation weights along one axis."""
    factor = (length + 1) // 2
    centre = factor - 1 if length % 2 else factor - 0.5
    return 1 - np.abs(np.arange(length) - centre) / factor
