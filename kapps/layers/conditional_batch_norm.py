"""Conditional batch normalisation: a scale and a shift of each class."""

import math

import keras
import numpy as np
from keras import layers, ops

from kapps._checked import check_argument


@keras.saving.register_keras_serializable("kapps")
class ClassAffine(layers.Layer):
    """Multiplies each channel by a learned number of the image's class, and adds another one.

    The second half of conditional batch normalisation (Dumoulin 2017, arXiv:1610.07629, equation 5). The numbers are 1
    and 0 at first.

    Inputs: (batch, ..., channels), any floating dtype, and the classes, integers (batch,) below `classes`. Output: as
    the first input.

    Args:
        classes: number of classes.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        check_argument("ClassAffine", "classes", classes, int)
        self.classes = classes

    def build(self, input_shapes):
        shape = (self.classes, input_shapes[0][-1])
        self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")

    def call(self, inputs):
        x, label = inputs
        shape = (-1, *(1,) * (len(x.shape) - 2), x.shape[-1])
        gamma, beta = (
            ops.reshape(ops.take(table, label, axis=0), shape) for table in (self.gamma, self.beta)
        )
        return x * ops.cast(gamma, x.dtype) + ops.cast(beta, x.dtype)

    def compute_output_shape(self, input_shapes):
        return input_shapes[0]

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns a product and a sum for each element (see `kapps.analysis.register_cost`)."""
        del input_shapes
        size = math.prod(output_shapes[0])
        return {"elementwise": size, "additions": size}

    def to_keras_layers(self):
        """Returns the same in Keras's layers."""
        x, label = (layers.Input(y.shape[1:], dtype=y.dtype) for y in self.input)
        channels, options = x.shape[-1], {"dtype": self.dtype_policy}
        shape = (*(1,) * (len(x.shape) - 2), channels)
        gamma, beta = (
            layers.Reshape(shape, **options)(layers.Embedding(self.classes, channels, name=name, **options)(label))
            for name in ("gamma", "beta")
        )  # fmt: skip
        y = layers.Add(**options)([layers.Multiply(**options)([x, gamma]), beta])
        return keras.Model([x, label], y, name=self.name)

    def keras_weights(self):
        """Returns the values of those layers' weights."""
        return [np.asarray(ops.convert_to_numpy(table)) for table in (self.gamma, self.beta)]


def conditional_batch_norm(x, label, classes, momentum, epsilon, name):
    """Batch normalisation whose scale and shift are those of the image's class: 2 channels parameters a class."""
    x = layers.BatchNormalization(
        momentum=momentum, epsilon=epsilon, center=False, scale=False, name=f"{name}_bn"
    )(x)
    return ClassAffine(classes, name=f"{name}_affine")([x, label])
