"""The maximum and the mean over the channels of each pixel."""

import math

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("kapps")
class ChannelPool(layers.Layer):
    """Returns the maximum and the mean over the channels of each pixel, in this order (Woo 2018, arXiv:1807.06521).

    Input: (batch, height, width, channels), any floating dtype. Output: (batch, height, width, 2).

    Args:
        mean_first: whether the mean is the first of the two channels, as in timm.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, mean_first=False, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(mean_first, bool):
            raise ValueError(f"{self.name}: mean_first={mean_first!r} is not True or False")
        self.mean_first = mean_first

    def call(self, inputs):
        parts = [ops.max(inputs, axis=-1, keepdims=True), ops.mean(inputs, axis=-1, keepdims=True)]
        return ops.concatenate(parts[::-1] if self.mean_first else parts, axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 2)

    def get_config(self):
        return {**super().get_config(), "mean_first": self.mean_first}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns a comparison and an addition for each channel but one, and a division (see
        `kapps.analysis.register_cost`)."""
        pixels = math.prod(output_shapes[0]) // 2
        others = pixels * (input_shapes[0][-1] - 1)
        return {"additions": others, "elementwise": others + pixels}

    def to_keras_layers(self):
        """Returns the same in Keras's poolings, which take the width of "channels_first" maps for channels."""
        image = layers.Input(self.input.shape[1:], dtype=self.input.dtype)
        options = {
            "pool_size": (1, self.input.shape[-1]),
            "data_format": "channels_first",
            "dtype": self.dtype_policy,
        }
        parts = [
            layers.MaxPooling2D(**options, name="max")(image),
            layers.AveragePooling2D(**options, name="mean")(image),
        ]
        parts = parts[::-1] if self.mean_first else parts
        output = layers.Concatenate(dtype=self.dtype_policy, name="pair")(parts)
        return keras.Model(image, output, name=self.name)
