"""Channel split, channel shuffle, and channels of zeros."""

import keras
from keras import layers

from kapps._checked import check_argument


def split_channels(x, first, *, name):
    """Returns the first `first` channels and the rest, as layers `<name>_first` and `<name>_rest`."""
    # "channels_first" makes the channels of (height, width, channels) the last cropped axis.
    parts = {"first": (0, x.shape[-1] - first), "rest": (first, 0)}
    return [
        layers.Cropping2D(((0, 0), crop), data_format="channels_first", name=f"{name}_{part}")(x)
        for part, crop in parts.items()
    ]


@keras.saving.register_keras_serializable("kapps")
class ChannelShuffle(layers.Layer):
    """Channel shuffle: interleaves the channels of `groups` groups, so that 0 1 2 | 3 4 5 becomes 0 3 1 4 2 5.

    It reshapes the channels to (groups, channels / groups), transposes and flattens them (Zhang 2017,
    arXiv:1707.01083). Each group of the next grouped convolution then reads channels of all groups.

    Input and output: (batch, height, width, channels), any dtype. The channels are a multiple of `groups`.
    """

    def __init__(self, groups: int, **kwargs):
        check_argument("ChannelShuffle", "groups", groups, int)
        super().__init__(**kwargs)
        self.groups = groups

    def build(self, input_shape):
        if input_shape[-1] % self.groups:
            raise ValueError(
                f"{self.name}: {input_shape[-1]} channels are not a multiple of {self.groups} groups"
            )
        self.built = True

    def call(self, inputs):
        _, height, width, channels = keras.ops.shape(inputs)
        # Rank 3, not 5: the runtimes of phones are faster with few axes.
        x = keras.ops.reshape(inputs, (-1, self.groups, channels // self.groups))
        x = keras.ops.transpose(x, (0, 2, 1))
        return keras.ops.reshape(x, (-1, height, width, channels))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "groups": self.groups}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns no cost, since values only move within their pixel (see `kapps.analysis.register_cost`)."""
        del input_shapes, output_shapes
        return {}

    def to_keras_layers(self):
        """Returns the same in Keras's reshaping layers, which need a fixed height and width."""
        _, height, width, channels = self.input.shape
        if None in (height, width):
            raise ValueError(
                f"{self.name}: portable=True needs a fixed height and width for a channel shuffle; "
                "give them in input_shape, for example (224, 224, 3)"
            )
        steps = [
            layers.Input((height, width, channels)),
            layers.Reshape((height * width, self.groups, channels // self.groups)),
            layers.Permute((1, 3, 2)),
            layers.Reshape((height, width, channels)),
        ]
        return keras.Sequential(steps, name=self.name)


@keras.saving.register_keras_serializable("kapps")
class PadChannels(layers.Layer):
    """Appends channels of zeros.

    Input: (batch, ..., channels), any dtype. Output: (batch, ..., `width`).

    Args:
        width: number of channels of the output, at least that of the input.
    """

    pointwise = True  # see `kapps.generation.cache_protocol`

    def __init__(self, width: int, **kwargs):
        super().__init__(**kwargs)
        check_argument(self.name, "width", width, int)
        self.width = width
        self.supports_masking = True

    def build(self, input_shape):
        if input_shape[-1] > self.width:
            raise ValueError(
                f"{self.name}: an input of {input_shape[-1]:,} channels is wider than width={self.width:,}"
            )
        self.built = True

    def call(self, inputs):
        rank = len(inputs.shape)
        return keras.ops.pad(inputs, (*[(0, 0)] * (rank - 1), (0, self.width - inputs.shape[-1])))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.width)

    def get_config(self):
        return {**super().get_config(), "width": self.width}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns no operations (see `kapps.analysis.register_cost`)."""
        del input_shapes, output_shapes
        return {}


def channel_shuffle(x, groups, *, name):
    """Applies `ChannelShuffle`, or nothing for one group."""
    return ChannelShuffle(groups, name=name)(x) if groups > 1 else x
